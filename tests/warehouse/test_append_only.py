"""Nothing that was once known can be changed by a statement; this tries them all."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from transfergate.settings import PROJECT_ROOT
from transfergate.storage.bars import ACTION_SCHEMA, BAR_SCHEMA, INSTRUMENT_SCHEMA, SYMBOL_SCHEMA
from transfergate.storage.landing import Reference
from transfergate.warehouse import load_batch, open_warehouse

TABLES = {
    "bar_revisions": "ticker",
    "corporate_actions": "ticker",
    "instruments": "ticker",
    "symbols": "symbol",
    "quarantine": "ticker",
    "batches": "source",
}
WRITES = (
    "update {table} set {column} = 'X'",
    "update {table} set {column} = 'X' where false",
    "update {table} set batch_id = 'other'",
    "delete from {table}",
    "delete from {table} where {column} = 'A'",
    "delete from {table} as a using batches as b where a.batch_id = b.batch_id",
    "truncate {table}",
    "merge into {table} using (select 'A' as k) as n on {table}.{column} = n.k "
    "when matched then update set {column} = 'X'",
    "merge into {table} using (select 'A' as k) as n on {table}.{column} = n.k "
    "when matched then delete",
    "merge into {table} using (select 'Z' as k) as n on {table}.{column} = n.k "
    "when not matched by source then delete",
    "insert or replace into {table} from {table}",
    "insert into {table} from {table} on conflict (batch_id) do update set {column} = 'X'",
    "with gone as (delete from {table} returning *) from gone",
    "alter table {table} drop column {column}",
    "alter table {table} alter {column} type blob",
    "alter table {table} rename {column} to other",
    "alter table {table} rename to other",
)
BACKDATED = {
    "bar_revisions": "select * replace (9.0 as close) from bar_revisions",
    "corporate_actions": "select * replace (9.0 as value) from corporate_actions",
    "instruments": "select * replace (9.0 as cost_bps) from instruments",
    "symbols": "select * replace ('B' as ticker) from symbols",
    "quarantine": "select * replace (9 as row_id) from quarantine",
    "batches": "select * replace ('b0' as batch_id, known_at - interval 1 day as known_at) "
    "from batches",
}


@pytest.fixture(scope="module")
def warehouse():
    with open_warehouse(Path(":memory:"), PROJECT_ROOT / "sql", 1.0) as conn:
        bar: dict[str, Any] = {
            "ticker": "A", "session_date": date(2020, 1, 6), "open": 1.0, "high": 2.0,
            "low": 0.5, "close": 1.5,
        }  # fmt: skip
        refused = pa.schema(
            [("row_id", pa.int64()), *BAR_SCHEMA, ("reasons", pa.list_(pa.string()))]
        )
        load_batch(
            conn,
            source="s",
            batch_id="b1",
            accepted=pa.Table.from_pylist([bar], schema=BAR_SCHEMA),
            quarantine=pa.Table.from_pylist(
                [{**bar, "row_id": 1, "reasons": ["x"]}], schema=refused
            ),
            received=2,
            known_at=datetime(2020, 1, 6, 22, tzinfo=UTC),
            reference=Reference(
                pa.Table.from_pylist(
                    [{"ticker": "A", "effect_date": date(2020, 1, 6), "kind": "split",
                      "value": 2.0}], schema=ACTION_SCHEMA
                ),
                pa.Table.from_pylist([{"ticker": "A", "cost_bps": 1.0}], schema=INSTRUMENT_SCHEMA),
                pa.Table.from_pylist([{"symbol": "a", "ticker": "A"}], schema=SYMBOL_SCHEMA),
            ),
        )  # fmt: skip
        yield conn


def content(conn: duckdb.DuckDBPyConnection, table: str) -> str:
    return str(conn.execute(f"select {table}::varchar from {table}").fetchall())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("write", WRITES)
def test_no_statement_changes_or_removes_what_is_known(warehouse, table, write):
    before = content(warehouse, table)
    assert len(before) > 20
    with pytest.raises(duckdb.Error, match=r"append-only|triggers|depend on it|UNIQUE"):
        warehouse.execute(write.format(table=table, column=TABLES[table]))
    assert content(warehouse, table) == before


@pytest.mark.parametrize("table", BACKDATED)
def test_no_row_can_be_slipped_into_the_past(warehouse, table, tmp_path):
    before = content(warehouse, table)
    file = tmp_path / "rows.csv"
    warehouse.execute(f"copy ({BACKDATED[table]}) to '{file}' (header)")
    for write in (f"insert into {table} {BACKDATED[table]}", f"copy {table} from '{file}'"):
        with pytest.raises(duckdb.Error, match=f"{table} is append-only: batch b. is"):
            warehouse.execute(write)
    assert content(warehouse, table) == before


def test_a_refused_write_undoes_its_whole_transaction(warehouse):
    before = content(warehouse, "bar_revisions")
    warehouse.execute("begin")
    warehouse.execute(
        "insert into bar_revisions select * replace (now() as known_at) from bar_revisions"
    )
    with pytest.raises(duckdb.Error, match="append-only"):
        warehouse.execute("delete from bar_revisions where close = 1.5")
    warehouse.execute("rollback")
    assert content(warehouse, "bar_revisions") == before


def test_a_trigger_that_somebody_dropped_is_back_when_the_warehouse_opens(tmp_path):
    file = tmp_path / "warehouse.duckdb"
    for _ in range(2):
        with open_warehouse(file, PROJECT_ROOT / "sql", 1.0) as conn:
            with pytest.raises(duckdb.Error, match="append-only"):
                conn.execute("delete from bar_revisions")
            conn.execute("drop trigger bar_revisions_are_not_deleted on bar_revisions")
            conn.execute("delete from bar_revisions")
