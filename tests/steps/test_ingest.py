from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from subprocess import run

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from transfergate import quality, steps
from transfergate.errors import BarsRejected, SourceError
from transfergate.settings import IngestParams, Settings, SourceParams, SyntheticParams
from transfergate.sources import SyntheticSource
from transfergate.storage import ArtefactStore
from transfergate.warehouse import open_warehouse


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    synthetic = SyntheticParams(n_sessions=120, n_sources=3)
    return Settings(
        home=tmp_path / "var",
        ingest=IngestParams(source="synthetic", batch_tickers=2),
        sources={"synthetic": SourceParams(kind="synthetic", synthetic=synthetic)},
        warehouse_wait_seconds=0.2,
    )


def ingest(settings: Settings, **asked):
    plan = steps.plan_ingest(settings, **asked)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    return steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))


def tree(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def write_bars(folder: Path, settings: Settings, change=lambda frame: frame) -> str:
    synthetic = SyntheticSource(settings.source("synthetic").synthetic)
    frame = synthetic.fetch(synthetic.tickers(), None, None).to_pandas()
    folder.mkdir(exist_ok=True)
    change(frame).to_csv(folder / "bars.csv", index=False)
    return str(folder)


def revisions(settings: Settings) -> int:
    with duckdb.connect(str(settings.warehouse_path)) as conn:
        (row,) = conn.execute("select count(*) from bar_revisions").fetchall()
        return row[0]


def test_a_plan_names_everything_the_source_has_in_batches(settings):
    assert steps.plan_ingest(settings) == {
        "source": "synthetic", "start": None, "end": None, "data": None, "description": {},
        "ticker_batches": [["OPPOSED", "SHARED"], ["SRC01", "SRC02"], ["SRC03", "^SYN"]],
    }  # fmt: skip
    plan = steps.plan_ingest(settings, source="sample", tickers=["MSFT", "FB"], start="2012-06-01")
    assert (plan["source"], plan["ticker_batches"], plan["start"]) == (
        "sample", [["FB", "MSFT"]], "2012-06-01"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tickers": ["NOPE"]}, "no bars for NOPE.*OPPOSED"),
        ({"start": "2020-02-30"}, "start '2020-02-30' is no date"),
        ({"start": "2020-02-02", "end": "2020-01-01"}, "exchange the two dates"),
        ({"source": "files", "data": "/nowhere/at/all"}, "not a folder"),
    ],
)
def test_a_plan_that_cannot_be_met_is_refused_with_a_reason(settings, asked, message):
    with pytest.raises(SourceError, match=message):
        steps.plan_ingest(settings, **asked)


def test_bars_arrive_and_a_second_run_changes_nothing(settings):
    first = ingest(settings)
    assert (first["received"], first["loaded"], first["quarantined"]) == (720, 720, 0)
    assert (first["tickers"], first["last_session"]) == (6, "2020-12-31")
    assert first["already_loaded"] is False
    assert Path(first["report"]).is_file()
    before = tree(settings.artefact_root)
    second = ingest(settings)
    assert second == {**first, "already_loaded": True}
    assert tree(settings.artefact_root) == before
    assert revisions(settings) == 720


def test_order_and_repetition_of_fetches_do_not_matter(settings):
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    once = steps.validate_bars(settings, plan, landing)
    accepted = settings.artefact_root / "batches" / once / "accepted.parquet"
    content = accepted.read_bytes()
    assert steps.validate_bars(settings, plan, [*landing[::-1], landing[0]]) == once
    assert accepted.read_bytes() == content


def test_overlapping_ranges_load_only_what_is_new(settings):
    ingest(settings, end="2020-12-01")
    second = ingest(settings, start="2020-11-20", end="2020-12-11")
    # Seven sessions from 11-20 to 12-01, eight after.
    assert (second["unchanged"], second["new_revisions"]) == (7 * 6, 8 * 6)


def test_bad_rows_go_to_quarantine_in_table_and_file_with_reasons(settings, tmp_path):
    def change(frame):
        frame.loc[[5, 200], "high"] = -1.0
        return pd.concat([frame, frame.iloc[[9]]])

    loaded = ingest(settings, source="files", data=write_bars(tmp_path / "in", settings, change))
    assert (loaded["received"], loaded["loaded"], loaded["quarantined"]) == (721, 718, 3)
    file = settings.artefact_root / "batches" / loaded["batch_id"] / "quarantine.parquet"
    rows = pq.read_table(file).to_pylist()
    assert [row["reasons"][0] for row in rows] == ["high_positive", "high_positive", "no_copy"]
    with open_warehouse(settings.warehouse_path, settings.sql_dir, 1) as conn:
        stored = conn.sql("select row_id, high, reasons from quarantine order by row_id")
        assert stored.to_arrow_table().to_pylist() == [
            {name: row[name] for name in ("row_id", "high", "reasons")} for row in rows
        ]


def test_a_refused_batch_loads_nothing_and_names_its_report(settings, tmp_path):
    folder = write_bars(tmp_path / "in", settings, lambda frame: frame.assign(low=-1.0))
    plan = steps.plan_ingest(settings, source="files", data=folder)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    with pytest.raises(BarsRejected, match=r"nothing was loaded: bad_tickers.*Look at ") as refused:
        steps.validate_bars(settings, plan, landing)
    page = Path(str(refused.value).split("Look at ")[1].split(", then")[0])
    assert "The whole batch is refused" in page.read_text()
    batch_id = page.stem
    assert not (settings.artefact_root / "batches" / batch_id / "accepted.parquet").exists()
    with pytest.raises(BarsRejected, match="was refused and cannot be loaded: bad_tickers"):
        steps.load_bars(settings, plan, batch_id)
    with pytest.raises(BarsRejected, match="never judged"):
        steps.load_bars(settings, plan, "unknown")


def test_a_batch_that_ends_too_early_is_refused(settings):
    assert ingest(settings, end="2021-01-08")["loaded"] == 720
    with pytest.raises(BarsRejected, match="fresh: expected the last session is 2021-01-04"):
        ingest(settings, end="2021-01-11")


def test_a_correction_is_a_new_revision_and_a_fall_in_rows_warns(settings, tmp_path):
    ingest(settings, source="files", data=write_bars(tmp_path / "in", settings))

    def change(frame):
        frame.loc[3, "volume"] += 1.0
        return frame.iloc[:300]

    folder = write_bars(tmp_path / "in", settings, change)
    second = ingest(settings, source="files", data=folder)
    assert (second["new_revisions"], second["unchanged"]) == (1, 299)
    assert revisions(settings) == 721
    assert re_found("row_count", Path(second["report"]).read_text())


def re_found(rule: str, page: str) -> bool:
    row = next(line for line in page.split("<tr>") if f"<code>{rule}</code>" in line)
    return "broken" in row


def test_other_rules_judge_the_same_bars_anew(settings):
    first = ingest(settings)
    source = settings.source("synthetic")
    stricter = source.model_copy(
        update={"quality": source.quality.model_copy(update={"max_abs_return": 0.01})}
    )
    changed = settings.model_copy(update={"sources": {"synthetic": stricter}})
    second = ingest(changed)
    assert second["batch_id"] != first["batch_id"]
    assert (second["new_revisions"], second["unchanged"]) == (0, 720)


def test_a_crash_between_commit_and_record_is_made_good(settings):
    first = ingest(settings)
    record = settings.artefact_root / "batches" / first["batch_id"] / "batch.json"
    content = record.read_bytes()
    record.unlink()
    assert ingest(settings) == {**first, "already_loaded": True}
    assert record.read_bytes() == content


@pytest.mark.parametrize("place", ["write_batch_page", "write_index"])
def test_pages_of_a_load_that_was_interrupted_show_it_as_loaded(settings, monkeypatch, place):
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch_id = steps.validate_bars(settings, plan, landing)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(quality, place, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            steps.load_bars(settings, plan, batch_id)
    again = ingest(settings)
    assert (again["batch_id"], again["already_loaded"]) == (batch_id, True)
    docs = settings.artefact_root / "data_docs"
    for page in (docs / "index.html", docs / "batches" / f"{batch_id}.html"):
        assert "not loaded" not in page.read_text()
        assert again["known_at"][:19].replace("T", " ") in page.read_text()


def test_a_busy_warehouse_fails_the_load_and_a_retry_does_it(settings):
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch_id = steps.validate_bars(settings, plan, landing)
    settings.warehouse_path.parent.mkdir(exist_ok=True, parents=True)
    code = (
        "import os; from pathlib import Path; from transfergate import steps; "
        "from transfergate.errors import WarehouseBusy; "
        "from transfergate.settings import Settings\n"
        f"s = Settings(home=Path({str(settings.home)!r}), warehouse_wait_seconds=0.2)\n"
        f"try: steps.load_bars(s, {plan!r}, {batch_id!r})\n"
        "except WarehouseBusy as e: os._exit(3 if 'PID' in str(e) else 4)\n"
    )
    with duckdb.connect(str(settings.warehouse_path)):
        assert run([sys.executable, "-c", code], check=False).returncode == 3
    assert steps.load_bars(settings, plan, batch_id)["new_revisions"] == 720


def test_planning_and_loading_import_neither_great_expectations_nor_torch(settings):
    code = (
        "import sys; from transfergate import steps; from transfergate.settings import Settings; "
        "steps.plan_ingest(Settings(), source='sample'); "
        "sys.exit(bool({'great_expectations', 'torch', 'airflow'} & set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_week_that_is_filled_in_is_not_held_against_years(settings):
    """Fewer rows than the batch before are no news where fewer days were asked for."""
    whole = steps.plan_ingest(settings, source="sample", tickers=["IBM"])
    week = steps.plan_ingest(
        settings, source="sample", tickers=["IBM"], start="2012-07-02", end="2012-07-06"
    )
    store = ArtefactStore(settings.artefact_root)
    rules = []
    for plan in (whole, week):
        batch_id = steps.validate_bars(settings, plan, [steps.fetch_bars(settings, plan, ["IBM"])])
        steps.load_bars(settings, plan, batch_id)
        report = store.read_json(f"batches/{batch_id}/validation.json")
        rules.append([one["rule"] for one in report["expectations"]])
        assert report["refusals"] == []
        assert [one for one in report["expectations"] if not one["passed"]] == []
    assert "row_count" not in rules[1]
