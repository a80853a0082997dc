from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from transfergate.errors import WarehouseBusy, WarehouseError
from transfergate.settings import PROJECT_ROOT
from transfergate.warehouse import open_warehouse
from transfergate.warehouse.compaction import compact_warehouse

SQL = PROJECT_ROOT / "sql"


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    with open_warehouse(path, SQL, 0) as conn:
        conn.execute("create table ballast as select random() as x from range(1_000_000)")
        conn.execute(
            "insert into bar_revisions by name select 's' as source, 'T' as ticker, "
            "date '2020-01-01' + i::integer as session_date, 1 as open, 1 as high, 1 as low, "
            "1 as close, 'b' as batch_id, now() as known_at from range(1000) t(i)"
        )
    with open_warehouse(path, SQL, 0) as conn:
        conn.execute("drop table ballast")
    return path


def bars(path: Path) -> list[tuple]:
    with open_warehouse(path, SQL, 0) as conn:
        return conn.execute("select * from bar_revisions order by session_date").fetchall()


def test_the_file_shrinks_and_every_row_is_still_there(warehouse):
    before = bars(warehouse)
    done = compact_warehouse(warehouse, SQL, 0)
    assert done.bytes_after < done.bytes_before / 2
    assert warehouse.stat().st_size == done.bytes_after
    assert bars(warehouse) == before
    assert sorted(p.name for p in warehouse.parent.iterdir()) == ["warehouse.duckdb"]


def test_bars_are_append_only_after_a_compaction_too(warehouse):
    compact_warehouse(warehouse, SQL, 0)
    with open_warehouse(warehouse, SQL, 0) as conn:
        for write in ("update bar_revisions set open = 2", "delete from bar_revisions"):
            with pytest.raises(duckdb.Error, match="append-only"):
                conn.execute(write)


def test_what_an_interrupted_compaction_left_is_thrown_away(warehouse):
    left = warehouse.with_name("warehouse.duckdb.compacting")
    left.write_bytes(b"half a file")
    before = bars(warehouse)
    compact_warehouse(warehouse, SQL, 0)
    assert bars(warehouse) == before
    assert not left.exists()


def test_a_warehouse_in_use_is_left_alone(warehouse):
    code = (
        f"import duckdb, time; held = duckdb.connect({str(warehouse)!r}); "
        "print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        with pytest.raises(WarehouseBusy):
            compact_warehouse(warehouse, SQL, 0.2)
    finally:
        holder.kill()
        holder.wait()


def test_a_copy_that_lacks_rows_is_not_put_in_place(warehouse, monkeypatch):
    from transfergate.warehouse import compaction

    honest = compaction._compare

    def lossy(conn, name):
        conn.execute("create table compacted.lost as select 1 as row")
        honest(conn, name)

    monkeypatch.setattr(compaction, "_compare", lossy)
    before = bars(warehouse)
    with pytest.raises(WarehouseError, match="left as it is"):
        compact_warehouse(warehouse, SQL, 0)
    assert bars(warehouse) == before
