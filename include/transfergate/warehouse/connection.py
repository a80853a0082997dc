"""Opening the one DuckDB file: bounded wait for its lock, schema brought up to date."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from transfergate.errors import WarehouseBusy, WarehouseError
from transfergate.storage import content_hash
from transfergate.warehouse.checkpoints import checkpoint, leave_to_us, mend

log = logging.getLogger(__name__)

_IN_MEMORY = ":memory:"
_POLL_SECONDS = 0.1
# Macros are left out: to list them takes as long as to make them again.
_TABLES_AND_TRIGGERS = """
select sql from (
    select sql from duckdb_tables() where database_name = current_database() and not temporary
    union all
    select sql from duckdb_triggers() where database_name = current_database()
)
order by sql
"""


@contextmanager
def open_warehouse(
    path: Path, sql_dir: Path, wait_seconds: float, threads: int = 1
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Hold the warehouse for writing; create or update its schema first.

    While one process holds it, every other is refused, readers included: hold it briefly.

    Args:
        path: The DuckDB file; created with its folder if there is none. ``:memory:`` is none.
        sql_dir: Its ``staging/*.sql`` run in order of their names, in one transaction; each may
            run any number of times. Not again where the file says that they, by this DuckDB,
            gave the tables and triggers that it has.
        wait_seconds: How long to wait for another process to let go.
        threads: What DuckDB may use.

    Yields:
        An open connection, in no transaction, with nothing in a log. It is closed afterwards; what
        was not committed by then is lost.

    Raises:
        WarehouseBusy: If another process still holds the file; names it.
        WarehouseError: If the file is torn; says what to do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    conn = _connect(path, wait_seconds)
    opened = None if str(path) == _IN_MEMORY else os.open(path, os.O_RDONLY)
    try:
        leave_to_us(conn)
        conn.execute(f"set threads = {int(threads)}")
        conn.execute("set timezone = 'UTC'")
        _bring_up_to_date(conn, sql_dir)
        _write_log(conn, path, opened)
        yield conn
        with suppress(duckdb.TransactionException):
            conn.rollback()  # of what was left open
        _write_log(conn, path, opened)
    finally:
        conn.close()
        if opened is not None:
            os.close(opened)


def _write_log(conn: duckdb.DuckDBPyConnection, path: Path, opened: int | None) -> None:
    if opened is None:
        return
    log_file = path.with_name(path.name + ".wal")
    # A compaction has given the name to another file: the log is none of its own.
    mine = os.path.samestat(os.fstat(opened), path.stat())
    if mine and log_file.exists() and log_file.stat().st_size:
        checkpoint(conn, path, opened)


def limit_memory(conn: duckdb.DuckDBPyConnection, megabytes: int) -> None:
    """Let DuckDB hold so much; beyond it, it writes beside the warehouse file."""
    conn.execute(f"set memory_limit = '{int(megabytes)} MB'")


@contextmanager
def transaction(conn: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of what is done within, or, if anything goes wrong, nothing of it."""
    conn.execute("begin")
    try:
        yield
        conn.execute("commit")
    except BaseException:
        conn.execute("rollback")
        raise


def _bring_up_to_date(conn: duckdb.DuckDBPyConnection, sql_dir: Path) -> None:
    files = sorted((sql_dir / "staging").glob("*.sql"))
    scripts = [file.read_text(encoding="utf-8") for file in files]
    if _applied(conn) == _fingerprint(conn, scripts):
        return
    with transaction(conn):
        for script in scripts:
            conn.execute(script)
        now = {"fingerprint": _fingerprint(conn, scripts)}
        conn.execute("delete from staging_applied")
        conn.execute("insert into staging_applied values ($fingerprint)", now)


def _applied(conn: duckdb.DuckDBPyConnection) -> str | None:
    try:
        rows = conn.execute("select fingerprint from staging_applied").fetchall()
    except duckdb.CatalogException:  # a new file, or one of an earlier version
        return None
    return str(rows[0][0]) if rows else None


def _fingerprint(conn: duckdb.DuckDBPyConnection, scripts: Sequence[str]) -> str:
    """Of the scripts, DuckDB, tables and triggers: a table or trigger that is gone is missed."""
    found = conn.execute(_TABLES_AND_TRIGGERS).fetchall()
    return content_hash(duckdb.__version__, *scripts, *(str(sql) for (sql,) in found), length=32)


def _connect(path: Path, wait_seconds: float) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + wait_seconds
    waiting = False
    while True:
        try:
            mend(path)
            return duckdb.connect(str(path))
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise
            if time.monotonic() >= deadline:
                raise WarehouseBusy(
                    f"{path}: still held after {wait_seconds:g} s, expected it to be free; "
                    f"{_holder(error)}. Wait until that process is done or end it, or allow more "
                    f"time with TRANSFERGATE_WAREHOUSE_WAIT_SECONDS"
                ) from error
            if not waiting:
                log.info("waiting up to %g s for %s: %s", wait_seconds, path, _holder(error))
                waiting = True
            time.sleep(_POLL_SECONDS)
        except duckdb.Error as error:
            if "Corrupt database file" not in str(error):
                raise
            raise WarehouseError(
                f"{path}: {str(error).splitlines()[0]}. A process that was killed, or a machine "
                f"that lost its power, while DuckDB wrote its catalogue may leave such a file: "
                f"restore the last backup, or put the file aside and ingest the source again; "
                f"what was delivered since lies in the landing zone"
            ) from error


def _holder(error: Exception) -> str:
    # DuckDB says "Conflicting lock is held in /usr/bin/python3.11 (PID 123). See also …".
    text = str(error)
    start = text.find("Conflicting lock")
    return text[start:].split(". ")[0] if start >= 0 else text.splitlines()[0]
