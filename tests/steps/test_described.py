from __future__ import annotations

from pathlib import Path

import pytest

from transfergate import steps
from transfergate.settings import Settings
from transfergate.steps.described import last_described, source_params

ROWS = "ticker,date,open,high,low,close\nA,07.02.2018,1,2,0.5,1.5\nA,08.02.2018,1,2,0.5,1.5\n"
TEXT = 'calendar = "XFRA"\n[[formats]]\ndate_format = "%d.%m.%Y"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "a.csv").write_text(ROWS)
    (tmp_path / "vendor" / "source.toml").write_text(TEXT)
    return tmp_path / "vendor"


def test_a_described_folder_is_ingested_and_known_to_those_who_never_see_it(folder, tmp_path):
    settings = Settings(home=tmp_path / "home")
    plan = steps.plan_ingest(settings, source="files", data=str(folder))
    assert source_params(settings, plan).calendar == "XFRA"
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch = steps.validate_bars(settings, plan, landing)
    assert steps.load_bars(settings, plan, batch)["loaded"] == 2
    assert last_described(settings, "files").calendar == "XFRA"


def test_another_description_is_another_batch_and_one_taken_away_is_forgotten(folder, tmp_path):
    settings = Settings(home=tmp_path / "home")

    def batch() -> str:
        plan = steps.plan_ingest(settings, source="files", data=str(folder))
        return steps.validate_bars(settings, plan, [steps.fetch_bars(settings, plan, ["A"])])

    first = batch()
    assert batch() == first
    (folder / "source.toml").write_text(TEXT.replace("[[", 'currency = "EUR"\n[universe]\n[['))
    assert batch() != first
    (folder / "a.csv").write_text(
        ROWS.replace("07.02.2018", "2018-02-07").replace("08.02.2018", "2018-02-08")
    )
    (folder / "source.toml").unlink()
    batch()
    assert last_described(settings, "files").calendar == "XNYS"
