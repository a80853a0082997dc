"""The DuckDB warehouse: bars as append-only revisions, and what SQL makes of them.

The only importer of duckdb. One process at a time may hold the file, readers included: open it,
do one short transaction, let go.
"""

from transfergate.warehouse.checks import History, derive_checks, read_history
from transfergate.warehouse.connection import limit_memory, open_warehouse
from transfergate.warehouse.instruments import list_instruments
from transfergate.warehouse.loads import LoadCounts, load_batch, stored_counts
from transfergate.warehouse.reference import check_reference
from transfergate.warehouse.releases import Release, release_rows
from transfergate.warehouse.selection import select_bars
from transfergate.warehouse.symbols import map_symbols, read_symbols

__all__ = [
    "History",
    "LoadCounts",
    "Release",
    "check_reference",
    "derive_checks",
    "limit_memory",
    "list_instruments",
    "load_batch",
    "map_symbols",
    "open_warehouse",
    "read_history",
    "read_symbols",
    "release_rows",
    "select_bars",
    "stored_counts",
]
