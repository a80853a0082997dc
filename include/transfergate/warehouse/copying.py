"""A consistent copy of the DuckDB file, for a backup."""

from __future__ import annotations

import shutil
from pathlib import Path

from transfergate.storage import sync_path
from transfergate.warehouse.connection import open_warehouse


def copy_warehouse(path: Path, sql_dir: Path, wait_seconds: float, target: Path) -> int:
    """Copy the file while nobody else has it and nothing of it is in a log; returns its bytes.

    Args:
        path: The DuckDB file.
        sql_dir: Brings the schema up to date first.
        wait_seconds: How long to wait for another process to let go of the file.
        target: The copy; overwritten.

    Raises:
        WarehouseBusy: If another process still holds the file.
    """
    with open_warehouse(path, sql_dir, wait_seconds):
        shutil.copyfile(path, target)
    sync_path(target)
    return target.stat().st_size
