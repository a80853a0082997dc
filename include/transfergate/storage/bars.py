"""The bars table that crosses every border of the ingest: its columns and its bytes."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

PRICES = ("open", "high", "low", "close")
BAR_SCHEMA = pa.schema(
    [
        ("ticker", pa.string()),
        ("session_date", pa.date32()),
        *((name, pa.float64()) for name in PRICES),
        ("volume", pa.float64()),
        ("adj_close", pa.float64()),
        ("currency", pa.string()),
    ]
)
"""One row is one ticker's session, as received: nulls, duplicates and nonsense included."""


def parquet_bytes(table: pa.Table) -> bytes:
    """Encode as Parquet; equal tables give equal bytes (no time stamps, fixed row groups)."""
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(None).combine_chunks(),
        sink,
        compression="zstd",
        row_group_size=1 << 20,
        store_schema=True,
    )
    return sink.getvalue()


def read_parquet(content: bytes) -> pa.Table:
    """Decode what :func:`parquet_bytes` wrote."""
    return pq.read_table(io.BytesIO(content))
