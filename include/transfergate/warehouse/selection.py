"""Reading one ticker's bars as they were known at a moment."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pyarrow as pa

_MOMENT = "strftime(known_at at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%f+00:00')"


def select_bars(
    conn: duckdb.DuckDBPyConnection, source: str, ticker: str, moment: datetime, *, adjusted: bool
) -> tuple[pa.Table, list[str]]:
    """Bars of one ticker, sorted by session, and which tickers the source has.

    Args:
        conn: The warehouse; only read.
        source: Sources never mix.
        ticker: Whose bars.
        moment: Revisions known by then, with a time zone.
        adjusted: Columns of ``bars_adjusted`` in place of those of ``bars_as_of``.

    Returns:
        The table, moments as text in ISO form, UTC; and the tickers with a bar at that moment,
        sorted, which are looked up only where the table is empty.
    """
    relation = "bars_adjusted" if adjusted else "bars_as_of"
    columns = "*" if adjusted else f"* replace ({_MOMENT} as known_at)"
    given = {"source": source, "moment": moment}
    table = conn.sql(
        f"select {columns} from {relation}($source, $moment) where ticker = $ticker "
        f"order by session_date",
        params={**given, "ticker": ticker},
    ).to_arrow_table()
    if table.num_rows:
        return table, []
    known = conn.execute(
        "select distinct ticker from bars_as_of($source, $moment) order by ticker", given
    ).fetchall()
    return table, [str(row[0]) for row in known]
