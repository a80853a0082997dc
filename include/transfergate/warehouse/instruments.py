"""What is traded: instruments beside the bars on file."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from transfergate.storage.bars import INSTRUMENT_SCHEMA
from transfergate.storage.landing import Reference


def read_instruments(
    conn: duckdb.DuckDBPyConnection, source: str, reference: Reference
) -> pa.Table:
    """Instruments of a source in ``INSTRUMENT_SCHEMA``; those of a batch go over those on file."""
    conn.register("batch_instruments", reference.instruments.select(INSTRUMENT_SCHEMA.names))
    try:
        found = conn.sql(_CURRENT, params={"source": source}).to_arrow_table()
    finally:
        conn.unregister("batch_instruments")
    return found.cast(INSTRUMENT_SCHEMA)


def list_instruments(
    conn: duckdb.DuckDBPyConnection, source: str, moment: datetime
) -> list[dict[str, Any]]:
    """Every ticker that has bars or an instrument, as known at a moment, sorted.

    Returns:
        The columns of ``INSTRUMENT_SCHEMA``, then ``first_session, last_session`` and ``bars``;
        ``currency`` is the instrument's, else that of the last bar.
    """
    rows: list[dict[str, Any]] = (
        conn.sql(
            "from instruments_listed($source, $moment) order by ticker",
            params={"source": source, "moment": moment},
        )
        .to_arrow_table()
        .to_pylist()
    )
    return rows


def own_indices(conn: duckdb.DuckDBPyConnection, source: str, moment: datetime) -> dict[str, str]:
    """Ticker -> the index that its instrument names, as known at a moment; others are left out."""
    rows = conn.execute(
        "select ticker, index_ticker from instruments_as_of($source, $moment::timestamptz) "
        "where index_ticker <> '' order by ticker",
        {"source": source, "moment": moment.isoformat()},
    ).fetchall()
    return {str(ticker): str(index) for ticker, index in rows}


_CURRENT = f"""
select {", ".join(INSTRUMENT_SCHEMA.names)}
from (
    select *, 1 as priority from batch_instruments
    union all by name
    select {", ".join(INSTRUMENT_SCHEMA.names)}, 0 as priority
    from instruments_as_of($source, 'infinity'::timestamptz)
)
qualify row_number() over (partition by ticker order by priority desc) = 1
order by ticker
"""
