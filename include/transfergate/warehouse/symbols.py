"""Which ticker a vendor's symbol stood for when, applied to a batch before it is judged."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from transfergate.errors import BarsRejected
from transfergate.storage.bars import LANDING_SCHEMA, SYMBOL_SCHEMA
from transfergate.storage.landing import Reference


def read_symbols(
    conn: duckdb.DuckDBPyConnection, source: str, symbols: pa.Table, reference: Reference
) -> pa.Table:
    """The map of the symbols that a batch holds: entries of the batch go over those on file.

    Args:
        conn: The warehouse; only read.
        source: Of the batch.
        symbols: Column ``symbol``: the symbols that were received.
        reference: What came with the batch.

    Returns:
        In ``SYMBOL_SCHEMA``, sorted.

    Raises:
        BarsRejected: If a symbol stood for two tickers on one day; names both.
    """
    conn.register("received_symbols", symbols)
    conn.register("batch_symbols", reference.symbols.select(SYMBOL_SCHEMA.names))
    try:
        found = conn.sql(_MAP, params={"source": source}).to_arrow_table().cast(SYMBOL_SCHEMA)
        conn.register("symbol_map", found)
        torn = conn.execute(_TORN).fetchall()
        conn.unregister("symbol_map")
    finally:
        conn.unregister("received_symbols")
        conn.unregister("batch_symbols")
    if torn:
        shown = "; ".join(f"{s} for {one} and for {other} on {day}" for s, one, other, day in torn)
        raise BarsRejected(
            f"symbols of {source}: one symbol stands for two tickers on one day: {shown}. Nothing "
            f"was loaded: correct the dates in the map of symbols; an entry with the same symbol "
            f"and first_date goes over the one on file, and one without a ticker takes it back"
        )
    return found


def map_symbols(bars: pa.Table, symbols: pa.Table) -> pa.Table:
    """Give each row the ticker that its symbol stood for on its session.

    Args:
        bars: In ``LANDING_SCHEMA``. Rows that carry a ticker and a symbol are left as they are.
        symbols: What ``read_symbols`` returned.

    Returns:
        The rows in their order. Of a row whose symbol is in the map, ``symbol`` is what was
        received; ``ticker`` is null where no entry covers its session. A symbol that the map does
        not know is a ticker, and a row without a date keeps what it has.
    """
    if not symbols.num_rows:
        return bars
    numbered = bars.append_column("row_number", pa.array(range(bars.num_rows), pa.int64()))
    with duckdb.connect(":memory:") as conn:
        conn.execute("set threads = 1")
        conn.register("received_bars", numbered)
        conn.register("symbol_map", symbols)
        mapped = conn.sql(_MAPPED).to_arrow_table()
    return mapped.select(LANDING_SCHEMA.names).cast(LANDING_SCHEMA)


_MAP = """
select symbol, ticker, first_date, last_date
from (
    select *, 1 as priority from batch_symbols
    union all by name
    select symbol, ticker, first_date, last_date, 0 as priority
    from symbols_as_of($source, 'infinity'::timestamptz)
)
where symbol in (select symbol from received_symbols)
qualify row_number() over (partition by symbol, first_date order by priority desc) = 1
    and ticker is not null
order by symbol, first_date nulls first
"""
_TORN = """
select one.symbol, one.ticker, other.ticker, other.first_date
from symbol_map as one
inner join symbol_map as other
    on one.symbol = other.symbol and one.ticker <> other.ticker
    and coalesce(one.first_date, '-infinity') <= coalesce(other.first_date, '-infinity')
    and coalesce(one.last_date, 'infinity') >= coalesce(other.first_date, '-infinity')
order by all limit 3
"""
_MAPPED = """
select
    bar.* replace (
        case when known.symbol is null or bar.session_date is null then bar.ticker else entry.ticker
        end as ticker,
        coalesce(bar.symbol, known.symbol) as symbol
    )
from received_bars as bar
left join (select distinct symbol from symbol_map) as known
    on known.symbol = coalesce(bar.symbol, bar.ticker)
    and (bar.symbol is null or bar.ticker is null)
left join (
    -- Entries of one ticker may overlap.
    select distinct on (bar.row_number) bar.row_number, map.ticker
    from received_bars as bar
    inner join symbol_map as map
        on map.symbol = coalesce(bar.symbol, bar.ticker)
        and bar.session_date between coalesce(map.first_date, '-infinity')
        and coalesce(map.last_date, 'infinity')
) as entry using (row_number)
order by bar.row_number
"""
