"""Rewriting the DuckDB file without the blocks that deleted rows left behind."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from duckdb import DuckDBPyConnection

from transfergate.errors import WarehouseError
from transfergate.storage import sync_path
from transfergate.warehouse.connection import open_warehouse

log = logging.getLogger(__name__)

_SUFFIX = ".compacting"


@dataclass(frozen=True)
class Compaction:
    """Sizes of the warehouse file in bytes, before and after."""

    bytes_before: int
    bytes_after: int


def compact_warehouse(path: Path, sql_dir: Path, wait_seconds: float) -> Compaction:
    """Copy every table into a fresh file and put it in the old one's place by one rename.

    A crash leaves the old file, or the new one with the same rows; never less.

    Args:
        path: The DuckDB file.
        sql_dir: Brings the schema up to date first.
        wait_seconds: How long to wait for another process to let go of the file.

    Raises:
        WarehouseError: If the copy does not hold the same number of rows in every table; the old
            file stays.
        WarehouseBusy: If another process still holds the file.
    """
    fresh = path.with_name(path.name + _SUFFIX)
    with open_warehouse(path, sql_dir, wait_seconds) as conn:
        # Whatever an interrupted compaction left: nobody else writes while the file is held.
        _remove(fresh)
        before = path.stat().st_size
        (name,) = conn.execute("select current_database()").fetchall()[0]
        conn.execute(f"attach '{_quoted(fresh)}' as compacted")
        conn.execute(f'copy from database "{name}" to compacted')
        _compare(conn, str(name))
        conn.execute("checkpoint compacted")
        conn.execute("detach compacted")
        sync_path(fresh)
        os.replace(fresh, path)
        sync_path(path.parent)
    after = path.stat().st_size
    log.info("warehouse compacted from %d to %d bytes", before, after)
    return Compaction(before, after)


def _compare(conn: DuckDBPyConnection, name: str) -> None:
    rows = {}
    for database in (name, "compacted"):
        tables = conn.execute(
            "select table_name from duckdb_tables() where database_name = ? order by 1", [database]
        ).fetchall()
        rows[database] = {
            table: conn.execute(f'select count(*) from "{database}"."{table}"').fetchall()[0][0]
            for (table,) in tables
        }
    if rows[name] != rows["compacted"]:
        raise WarehouseError(
            f"compacting {name}: expected the rows of {rows[name]} in the copy, found "
            f"{rows['compacted']}; the warehouse was left as it is: run it again, and look at the "
            f"disk if it happens twice"
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
