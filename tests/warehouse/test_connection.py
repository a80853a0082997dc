from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from transfergate.errors import WarehouseBusy, WarehouseError
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


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A copy of ``sql/`` whose last script counts how often it ran."""
    folder = tmp_path / "sql"
    shutil.copytree(SQL / "staging", folder / "staging")
    counter = "create table if not exists runs (n int); insert into runs values (1);"
    (folder / "staging/99_runs.sql").write_text(counter)
    return folder


def runs(file: Path, scripts: Path) -> int:
    with open_warehouse(file, scripts, 1) as conn:
        ((count,),) = conn.execute("select count(*) from runs").fetchall()
    return int(count)


def test_scripts_that_gave_this_schema_do_not_run_again(tmp_path, scripts):
    file = tmp_path / "warehouse.duckdb"
    assert [runs(file, scripts) for _ in range(3)] == [1, 1, 1]


def test_other_scripts_or_another_duckdb_bring_the_schema_up_to_date(
    tmp_path, scripts, monkeypatch
):
    file = tmp_path / "warehouse.duckdb"
    runs(file, scripts)
    macro = scripts / "staging/98_macro.sql"
    macro.write_text("create or replace macro answer() as 41;")
    assert runs(file, scripts) == 2
    macro.write_text("create or replace macro answer() as 42;")
    assert runs(file, scripts) == 3
    monkeypatch.setattr(duckdb, "__version__", "99.0.0")
    assert runs(file, scripts) == 4
    with open_warehouse(file, scripts, 1) as conn:
        assert conn.execute("select answer()").fetchall() == [(42,)]
    # The version before is brought back by the next process that has it.
    monkeypatch.undo()
    macro.write_text("create or replace macro answer() as 41;")
    assert runs(file, scripts) == 5
    with open_warehouse(file, scripts, 1) as conn:
        assert conn.execute("select answer()").fetchall() == [(41,)]


@pytest.mark.parametrize(
    "loss",
    [
        "drop trigger bar_revisions_are_not_updated on bar_revisions",
        "drop table calendar_spans",
        "drop table staging_applied",
        "delete from staging_applied",
    ],
)
def test_what_was_dropped_by_hand_is_there_again(tmp_path, loss):
    file = tmp_path / "warehouse.duckdb"
    with open_warehouse(file, SQL, 1) as conn:
        conn.execute(loss)
    with open_warehouse(file, SQL, 1) as conn:
        assert conn.execute("select count(*) from staging_applied").fetchall() == [(1,)]
        assert conn.execute("select count(*) from calendar_spans").fetchall() == [(0,)]
        with pytest.raises(duckdb.Error, match="append-only"):
            conn.execute("update bar_revisions set open = 1")


def test_a_script_that_fails_leaves_the_schema_as_it_was(tmp_path, scripts):
    file = tmp_path / "warehouse.duckdb"
    runs(file, scripts)
    changed = scripts / "staging/98_changed.sql"
    changed.write_text("create table half_done (n int); select error('cut off');")
    for _ in range(2):
        with pytest.raises(duckdb.Error, match="cut off"), open_warehouse(file, scripts, 1):
            pass
    changed.unlink()
    assert runs(file, scripts) == 1
    with open_warehouse(file, scripts, 1) as conn, pytest.raises(duckdb.CatalogException):
        conn.execute("from half_done")


def test_a_torn_file_is_refused_in_words(tmp_path):
    """As a kill leaves it amid the block of the catalogue, which DuckDB writes in place."""
    file = tmp_path / "warehouse.duckdb"
    with open_warehouse(file, SQL, 1.0):
        pass
    with file.open("r+b") as content:
        content.seek(3 * 4096 + 2 * 4096)
        content.write(b"torn" * 1024)
    told = r"warehouse\.duckdb: Corrupt.*restore the last backup"
    with pytest.raises(WarehouseError, match=told), open_warehouse(file, SQL, 1.0):
        raise AssertionError("a torn file was opened")
