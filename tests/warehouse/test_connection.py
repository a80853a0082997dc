from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from transfergate.errors import WarehouseBusy
from transfergate.settings import PROJECT_ROOT
from transfergate.warehouse import open_warehouse

SQL = PROJECT_ROOT / "sql"


@contextmanager
def held_elsewhere(file: Path, seconds: float):
    code = (
        f"import duckdb, time; conn = duckdb.connect({str(file)!r}); "
        f"print('held', flush=True); time.sleep({seconds})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_held_warehouse_is_refused_after_a_bounded_wait_naming_the_holder(tmp_path):
    file = tmp_path / "warehouse.duckdb"
    with held_elsewhere(file, 30) as holder:
        started = time.monotonic()
        message = rf"still held after 0\.3 s.*PID {holder.pid}.*WAREHOUSE_WAIT_SECONDS"
        with pytest.raises(WarehouseBusy, match=message), open_warehouse(file, SQL, 0.3):
            pass
        assert time.monotonic() - started < 5


def test_a_warehouse_that_is_let_go_in_time_opens(tmp_path):
    file = tmp_path / "warehouse.duckdb"
    with held_elsewhere(file, 0.5), open_warehouse(file, SQL, 20) as conn:
        assert conn.execute("select count(*) from batches").fetchall() == [(0,)]


def test_what_is_no_warehouse_fails_at_once(tmp_path):
    file = tmp_path / "warehouse.duckdb"
    file.write_bytes(b"not a database" * 1000)
    with (
        pytest.raises(duckdb.IOException, match="not a valid DuckDB"),
        open_warehouse(file, SQL, 60),
    ):
        pass


def test_opening_again_keeps_tables_and_their_rows(tmp_path):
    file = tmp_path / "deep" / "warehouse.duckdb"
    with open_warehouse(file, SQL, 1) as conn:
        conn.execute(
            "insert into quarantine (batch_id, source, row_id, reasons) values ('b', 's', 0, [])"
        )
    with open_warehouse(file, SQL, 1) as conn:
        assert conn.execute("select batch_id from quarantine").fetchall() == [("b",)]
