"""Rows of the ledger: their columns, and what is checked before they are written."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transfergate.errors import StorageConflict

REQUIRED_ARMS = ("finetuned", "scratch")
REFERENCE_ARMS = ("zero_shot", "buy_hold", "champion", "ridge", "random")
ARMS = REQUIRED_ARMS + REFERENCE_ARMS

SCHEMA = pa.schema(
    [
        pa.field("recipe", pa.string(), nullable=False),
        pa.field("ticker", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("session_date", pa.date32(), nullable=False),
        pa.field("net_return", pa.float64(), nullable=False),
        pa.field("position", pa.float64(), nullable=False),
        pa.field("turnover", pa.float64(), nullable=False),
        pa.field("cost", pa.float64(), nullable=False),
        pa.field("model_version", pa.string()),
    ]
)


def normalise(
    recipe: str, ticker: str, fold: int, arm: str, rows: pa.Table, version: str | None = None
) -> pa.Table:
    """Contract columns and types, sorted by seed and session.

    Raises:
        ValueError: If the arm is unknown or a column is missing.
        StorageConflict: If a (seed, session) stands twice.
    """
    if arm not in ARMS:
        raise ValueError(f"{ticker}: unknown arm {arm!r}, expected one of {', '.join(ARMS)}")
    wanted = SCHEMA.names[4:-1]
    missing = [name for name in wanted if name not in rows.column_names]
    if missing or rows.num_rows == 0:
        raise ValueError(
            f"{ticker} {arm}, fold {fold}: rows lack {missing}; expected {wanted} and at least "
            f"one row, found {rows.num_rows} rows of {rows.column_names}"
        )
    n = rows.num_rows
    columns = {
        "recipe": pa.array([recipe] * n),
        "ticker": pa.array([ticker] * n),
        "fold": pa.array(np.full(n, fold), pa.int32()),
        "arm": pa.array([arm] * n),
        **{name: rows[name].combine_chunks() for name in wanted},
        "model_version": pa.array([version] * n, pa.string()),
    }
    table = (
        pa.table(columns)
        .cast(SCHEMA)
        .sort_by([("seed", "ascending"), ("session_date", "ascending")])
    )
    if table.group_by(["seed", "session_date"]).aggregate([]).num_rows != n:
        raise StorageConflict(f"{ticker} {arm}, fold {fold}: a (seed, session_date) stands twice")
    return table.combine_chunks()


def parquet_bytes(table: pa.Table) -> bytes:
    """The same rows give the same bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=1 << 20)
    return sink.getvalue()
