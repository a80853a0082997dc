"""An ingest by small portions leaves what one by large portions leaves, byte for byte."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from transfergate import steps
from transfergate.errors import BarsRejected
from transfergate.settings import Settings, SyntheticParams
from transfergate.sources import SyntheticSource
from transfergate.steps import rows
from transfergate.storage.bars import BAR_SCHEMA, parquet_bytes, write_parquet_rows
from transfergate.warehouse import loads


def messy() -> pd.DataFrame:
    """Tickers of two exchanges, a renamed one, bad rows, a copy, a stray row, a Saturday."""
    source = SyntheticSource(SyntheticParams(n_sessions=120, n_sources=7))
    frame = source.fetch(source.tickers(), None, None).to_pandas().drop(columns=["adj_close"])
    frame.loc[[5, 200, 201], "high"] = -1.0
    frame.loc[130:150, "ticker"] = "OLDNAME"
    frame.loc[[33], "ticker"] = None
    frame.loc[600:700, ["open", "high", "low", "close"]] /= 2.0
    later = frame[frame["session_date"] == frame["session_date"].max()]
    saturday = later.assign(session_date=pd.Timestamp("2021-01-02").date())
    junk = frame.iloc[[9, 10, 11]].assign(ticker=["A B", "<b>", "x" * 40])
    return pd.concat([frame, frame.iloc[[9]], saturday, junk])


def ingested(home: Path, folder: Path) -> tuple[dict[str, bytes], list[tuple]]:
    source = {"kind": "files", "root": str(folder), "symbols": "symbols.csv",
              "instruments": "instruments.csv"}  # fmt: skip
    settings = Settings(
        home=home, sources={"vendor": source}, ingest={"source": "vendor", "batch_tickers": 3}
    )
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch = steps.validate_bars(settings, plan, landing)
    loaded = steps.load_bars(settings, plan, batch)
    assert loaded["loaded"] + loaded["quarantined"] == loaded["received"]
    kept = settings.artefact_root / "batches" / batch
    files = {path.name: path.read_bytes() for path in kept.iterdir() if path.name != "batch.json"}
    with duckdb.connect(str(settings.warehouse_path)) as conn:
        table = "select * exclude (known_at) from bar_revisions"
        return files, [*conn.execute(table).fetchall(), *conn.execute("from quarantine").fetchall()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "in"
    home.mkdir()
    messy().to_csv(home / "bars.csv", index=False)
    (home / "symbols.csv").write_text("symbol,ticker,first_date,last_date\nOLDNAME,SHARED,,\n")
    (home / "instruments.csv").write_text("ticker,exchange\nSRC02,XNAS\nSRC05,24/7\n")
    return home


def test_portions_leave_the_same_files_and_tables(tmp_path, folder, monkeypatch):
    files, table = ingested(tmp_path / "large", folder)
    assert {"accepted.parquet", "quarantine.parquet", "findings.parquet"} < set(files)
    monkeypatch.setattr(rows, "PORTION_ROWS", 200)
    monkeypatch.setattr(loads, "_ROWS_AT_ONCE", 150)
    assert ingested(tmp_path / "small", folder) == (files, table)


def test_junk_names_are_set_apart_and_condemn_no_batch(tmp_path, folder):
    files, _ = ingested(tmp_path / "var", folder)
    table = pd.read_parquet(pa.BufferReader(files["quarantine.parquet"]))
    junk = table[table["ticker"].isin(["A B", "<b>", "x" * 40])]
    assert [list(why) for why in junk["reasons"]] == [["ticker_name"]] * 3


def test_many_junk_names_refuse_the_batch_by_their_rows(tmp_path, folder):
    frame = pd.read_csv(folder / "bars.csv")
    half = frame.index % 2 == 0
    frame.loc[half, "ticker"] = "no name " + frame.index[half].astype(str)
    frame.to_csv(folder / "bars.csv", index=False)
    with pytest.raises(BarsRejected, match="bad_rows: expected at most 20% of"):
        ingested(tmp_path / "var", folder)


def test_rows_written_table_by_table_are_the_bytes_of_all_at_once(tmp_path, monkeypatch):
    source = SyntheticSource(SyntheticParams(n_sessions=120, n_sources=7))
    table = source.fetch(source.tickers(), None, None)
    monkeypatch.setattr("transfergate.storage.bars._GROUP_ROWS", 500)
    parts = [table.slice(start, 130) for start in range(0, table.num_rows, 130)]
    assert write_parquet_rows(tmp_path / "rows", BAR_SCHEMA, parts) == table.num_rows
    assert (tmp_path / "rows").read_bytes() == parquet_bytes(table)
