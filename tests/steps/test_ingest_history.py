"""A batch is judged beside what is on file; an action that arrives later explains a jump."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from transfergate import steps
from transfergate.calendars import exchange_sessions
from transfergate.errors import BarsRejected
from transfergate.settings import Settings
from transfergate.sources.base import bars_table
from transfergate.steps.bars import read_bars
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import ACTION_SCHEMA, INSTRUMENT_SCHEMA, read_parquet
from transfergate.storage.landing import Reference, publish_landing

DAYS = exchange_sessions("XNYS", date(2015, 1, 1), date(2015, 6, 30))
SPLIT = {"ticker": "AAA", "effect_date": DAYS[60], "kind": "split", "value": 2.0}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, sources={"files": {"kind": "files", "prices": "raw"}})


def bars(first: int, last: int) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frames = []
    for ticker in ("AAA", "BBB"):
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.005, 90)))
        if ticker == "AAA":
            close[60:] /= 2
        frame = pd.DataFrame({"ticker": ticker, "session_date": pd.to_datetime(list(DAYS[:90]))})
        for name in ("open", "high", "low", "close"):
            frame[name] = close
        frames.append(frame.iloc[first:last])
    return pd.concat(frames, ignore_index=True)


def ingest(settings: Settings, frame: pd.DataFrame, *actions: dict[str, Any]) -> dict[str, Any]:
    store = ArtefactStore(settings.artefact_root)
    reference = Reference(
        pa.Table.from_pylist(list(actions), schema=ACTION_SCHEMA),
        pa.Table.from_pylist([{"ticker": "AAA", "cost_bps": 3.0}], schema=INSTRUMENT_SCHEMA),
    )
    key = publish_landing(store, "files", bars_table(frame), reference)
    plan = {"source": "files", "start": None, "end": None, "data": None,
            "ticker_batches": [["AAA", "BBB"]]}  # fmt: skip
    return steps.load_bars(settings, plan, steps.validate_bars(settings, plan, [key]))


def reasons(settings: Settings, loaded: dict[str, Any]) -> set[tuple[str, ...]]:
    path = settings.artefact_root / "batches" / loaded["batch_id"] / "quarantine.parquet"
    return {tuple(row["reasons"]) for row in read_parquet(path.read_bytes()).to_pylist()}


def test_a_jump_at_the_border_waits_until_an_action_explains_it(settings):
    first = ingest(settings, bars(0, 60))
    assert (first["quarantined"], first["new_instruments"]) == (0, 1)
    second = ingest(settings, bars(60, 63))
    assert (second["loaded"], second["quarantined"], second["new_instruments"]) == (3, 3, 0)
    assert reasons(settings, second) == {("suspected_split",)}
    third = ingest(settings, bars(63, 66))
    assert (third["loaded"], third["quarantined"]) == (3, 3)
    # The same bars once more: known, with nothing new.
    assert ingest(settings, bars(63, 66)) == {**third, "already_loaded": True}
    # The reviewer adds the action; the rows that waited are delivered again, and load.
    fourth = ingest(settings, bars(60, 66), SPLIT)
    assert (fourth["quarantined"], fourth["new_revisions"], fourth["new_actions"]) == (0, 3 + 3, 1)
    adjusted = read_bars(settings, "AAA", source="files", adjusted=True)
    assert set(adjusted["factor"].to_pylist()) == {1.0, 2.0}
    assert adjusted.to_pandas()["close"].pct_change().abs().max() < 0.05


def test_an_action_on_file_counts_for_bars_that_come_later_alone(settings):
    ingest(settings, bars(0, 60), SPLIT)
    later = ingest(settings, bars(60, 66))
    assert (later["quarantined"], later["new_actions"]) == (0, 0)


def test_rows_judged_before_an_action_are_judged_anew_with_it(settings):
    ingest(settings, bars(0, 60))
    waiting = ingest(settings, bars(60, 63))
    assert waiting["quarantined"] == 3
    ingest(settings, bars(50, 60), SPLIT)
    again = ingest(settings, bars(60, 63))
    assert again["batch_id"] != waiting["batch_id"]
    assert (again["quarantined"], again["new_revisions"]) == (0, 3)


def test_an_impossible_action_is_refused_before_rows_are_judged(settings):
    with pytest.raises(BarsRejected, match=r"actions of files: .*expected .*split or dividend"):
        ingest(settings, bars(0, 60), {**SPLIT, "kind": "merger"})


def test_a_split_that_is_taken_back_is_reported_for_the_jump_that_it_leaves(settings):
    ingest(settings, bars(0, 90), SPLIT)
    loaded = ingest(settings, bars(88, 90), {**SPLIT, "value": None})
    assert (loaded["loaded"], loaded["quarantined"]) == (4, 0)
    store = ArtefactStore(settings.artefact_root)
    report = store.read_json(f"batches/{loaded['batch_id']}/validation.json")
    (found,) = [item for item in report["expectations"] if item["rule"] == "retracted_split"]
    assert (found["severity"], found["passed"]) == ("warning", False)
    assert found["found"] == f"AAA {DAYS[60]}: 2 new shares for one old"
    page = store.path(f"data_docs/batches/{loaded['batch_id']}.html").read_text()
    assert "taken back" in page


def test_expectations_beside_bars_are_found_by_the_folders_url(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    bars(0, 60).to_csv(folder / "bars.csv", index=False)
    (folder / "own.toml").write_text(
        '[[expectations]]\nexpectation = "ExpectColumnValuesToBeBetween"\nrule = "dear"\n'
        'column = "close"\nmin_value = 1000\nseverity = "warning"\n'
    )
    source = {"kind": "files", "root": folder.as_uri(), "expectations": "own.toml",
              "ignore": ["*.toml"]}  # fmt: skip
    settings = Settings(home=tmp_path / "var", sources={"files": source})
    plan = steps.plan_ingest(settings, source="files")
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch = steps.validate_bars(settings, plan, landing)
    report = ArtefactStore(settings.artefact_root).read_json(f"batches/{batch}/validation.json")
    assert [item["rows"] for item in report["expectations"] if item["rule"] == "dear"] == [120]
