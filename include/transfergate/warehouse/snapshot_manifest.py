"""What a snapshot's manifest says beside its files: sessions, instruments, what makes its id."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from transfergate.storage.bars import INSTRUMENT_SCHEMA
from transfergate.warehouse.batch_bars import FeatureRun
from transfergate.warehouse.sessions import sessions_between
from transfergate.warehouse.snapshot_files import BaseSnapshot

ORDINAL_ORIGIN = date(1990, 1, 1)


def snapshot_sessions(
    conn: DuckDBPyConnection, market: pa.Table, calendar: str, base: BaseSnapshot | None
) -> dict[str, Any]:
    """Say which sessions a snapshot covers.

    Args:
        conn: The warehouse, in no transaction.
        market: Sums behind the market's returns: a row for each session with a bar.
        calendar: A code of ``exchange_calendars``.
        base: The snapshot that it starts from.

    Returns:
        ``sessions`` (ISO dates of the calendar's and of all traded ones), and
        ``first_session_ordinal`` (number of the first in the calendar since 1990-01-01).
    """
    traded = traded_sessions(market)
    first, last = traded[0], traded[-1]
    day = timedelta(days=1)
    if base and (old := traded_sessions(base.market)) == traded[: len(old)]:
        # What the base says up to its last session stands.
        later = set(traded[len(old) :])
        if len(later) < (last - old[-1]).days:
            later |= set(sessions_between(conn, calendar, old[-1] + day, last))
        before = base.manifest["sessions"]
        return {
            "sessions": [*before, *(session.isoformat() for session in sorted(later))],
            "first_session_ordinal": base.manifest["first_session_ordinal"],
        }
    since, until = min(first, ORDINAL_ORIGIN), max(last, ORDINAL_ORIGIN)
    known = sessions_between(conn, calendar, since, until)
    ordinal = bisect_left(known, first) - bisect_left(known, ORDINAL_ORIGIN)
    sessions = sorted({*traded, *known[bisect_left(known, first) : bisect_right(known, last)]})
    return {
        "sessions": [session.isoformat() for session in sessions],
        "first_session_ordinal": ordinal,
    }


def traded_sessions(market: pa.Table) -> list[date]:
    """Sessions on which a published ticker has a bar."""
    days = market.filter(pc.greater(market["bars"], 0))["session_date"].to_numpy()
    found: list[date] = days.astype("datetime64[D]").tolist()
    return found


def instruments_of(
    conn: DuckDBPyConnection, run: FeatureRun, tickers: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What was said of tickers as of the run's moment: ticker -> fields that are not null."""
    table = conn.sql(
        f"select {', '.join(INSTRUMENT_SCHEMA.names)} "
        "from instruments_as_of($source, $as_of::timestamptz) "
        "where list_contains($tickers, ticker) order by ticker",
        params={
            "source": run.source,
            "as_of": run.as_of.isoformat(),
            "tickers": list(tickers),
        },
    ).to_arrow_table()
    return {
        row.pop("ticker"): {name: value for name, value in row.items() if value is not None}
        for row in table.to_pylist()
    }


def identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """The part of a manifest that its id is a hash of."""
    # What a rebuild needs is no content: when it was known, which files held the SQL.
    # Values, not files: another version of the Parquet writer is no other snapshot.
    contents = {name: entry["content"] for name, entry in manifest["files"].items()}
    others = ("files", "recent", "restart", "feature_names", "as_of")
    kept = {name: value for name, value in manifest.items() if name not in others}
    return kept | {"settled": contents, "recent": manifest["recent"]["content"]}
