"""The DuckDB warehouse: bars as append-only revisions, and what SQL makes of them.

The only importer of duckdb. One process at a time may hold the file, readers included: open it,
do one short transaction, let go.
"""

from transfergate.warehouse.checks import derive_checks
from transfergate.warehouse.connection import open_warehouse
from transfergate.warehouse.loads import LoadCounts, load_batch

__all__ = ["LoadCounts", "derive_checks", "load_batch", "open_warehouse"]
