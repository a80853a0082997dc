"""The bars table that crosses every border of the ingest: its columns and its bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

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

LANDING_SCHEMA = pa.schema(
    [
        *BAR_SCHEMA,
        ("origin", pa.string()),
        ("line", pa.int64()),
        ("unreadable", pa.string()),
        ("symbol", pa.string()),
    ]
)
"""Bars and where they were found: file or endpoint, line in it from 1 (null where there is none),
the text of cells that could not be read, as JSON of column -> text (null where all could), and the
vendor's symbol. Where a source says itself which ticker a symbol stood for, both are there; a
symbol without a ticker stood for none that is known. Else ``ticker`` is what was received, and
``symbol`` is null until the map of symbols is applied."""

ACTION_SCHEMA = pa.schema(
    [
        ("ticker", pa.string()),
        ("effect_date", pa.date32()),
        ("kind", pa.string()),
        ("value", pa.float64()),
    ]
)
"""Corporate actions. ``effect_date``: first session on the new basis. ``kind`` ``split``: new
shares per old share; ``dividend``: cash per share held before. A null value retracts the action."""

INSTRUMENT_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("ticker", "name", "asset_class", "sector")),
        *((name, pa.string()) for name in ("exchange", "currency", "index_ticker")),
        ("cost_bps", pa.float64()),
    ]
)
"""What is traded; ``exchange`` is a calendar's code, cost in basis points of turnover."""

SYMBOL_SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("ticker", pa.string()),
        ("first_date", pa.date32()),
        ("last_date", pa.date32()),
    ]
)
"""Which ticker a vendor's symbol stood for, both dates included; null dates are open."""


_GROUP_ROWS = 1 << 20


def parquet_bytes(table: pa.Table) -> bytes:
    """Encode as Parquet; equal tables give equal bytes (no time stamps, fixed row groups)."""
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(None).combine_chunks(),
        sink,
        compression="zstd",
        row_group_size=_GROUP_ROWS,
        store_schema=True,
    )
    return sink.getvalue()


def write_parquet_rows(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write tables one after another as one file; returns the number of rows.

    The bytes are those that :func:`parquet_bytes` gives for all rows at once; memory is that of a
    row group and of one table.

    Args:
        path: The file.
        schema: Of every table.
        tables: Rows in their order.
    """
    rows = 0
    waiting = schema.empty_table()
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=True) as writer:
        for table in tables:
            rows += table.num_rows
            waiting = pa.concat_tables([waiting, table.replace_schema_metadata(None)])
            while waiting.num_rows >= _GROUP_ROWS:
                writer.write_table(waiting.slice(0, _GROUP_ROWS).combine_chunks(), _GROUP_ROWS)
                waiting = waiting.slice(_GROUP_ROWS)
        if waiting.num_rows or not rows:
            writer.write_table(waiting.combine_chunks(), _GROUP_ROWS)
    return rows


def read_parquet(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Decode what :func:`parquet_bytes` wrote, or some of its columns."""
    return pq.read_table(io.BytesIO(content), columns=columns)
