"""Loading one judged batch, in one transaction: all of it, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from transfergate.errors import BarsRejected
from transfergate.progress import Progress
from transfergate.storage.bars import BAR_SCHEMA
from transfergate.storage.landing import Reference
from transfergate.warehouse.connection import transaction
from transfergate.warehouse.reference import append_reference, new_facts

log = logging.getLogger(__name__)

_STORED = (
    *("batch_id", "source", "received", "loaded", "new_revisions", "unchanged", "quarantined"),
    *("tickers", "first_session", "last_session"),
)
_VALUES = ("open", "high", "low", "close", "volume", "adj_close", "currency")
_DIFFERS = " or ".join(f"current.{name} is distinct from new.{name}" for name in _VALUES)
_BARS = ", ".join(f"new.{name}" for name in BAR_SCHEMA.names)
_ROWS_AT_ONCE = 2_000_000
_APPEND = f"""
insert into bar_revisions by name
select {_BARS}, $source as source, $batch_id as batch_id, $moment as known_at
from accepted_bars as new
left join (
    from bars_as_of($source, $moment) where ticker between $first and $last
) as current using (ticker, session_date)
where new.ticker between $first and $last and (current.batch_id is null or {_DIFFERS})
order by ticker, session_date
"""
_PRESENT = f"""
select count(distinct (ticker, session_date)), count(distinct ticker),
    min(session_date), max(session_date)
from accepted_bars as new
inner join (
    from bars_as_of($source, $moment) where ticker between $first and $last
) as current using (ticker, session_date)
where new.ticker between $first and $last and not ({_DIFFERS})
"""


@dataclass(frozen=True)
class LoadCounts:
    """What a load did; ``received = loaded + quarantined``, ``loaded = new + unchanged``."""

    batch_id: str
    source: str
    received: int
    loaded: int
    new_revisions: int
    unchanged: int
    quarantined: int
    tickers: int
    first_session: date | None
    last_session: date | None
    known_at: datetime
    already_loaded: bool
    new_actions: int = 0
    new_instruments: int = 0
    new_symbols: int = 0

    def to_json(self) -> dict[str, Any]:
        """The same under the same names; dates and the moment as ISO text."""
        values = asdict(self)
        for name in ("first_session", "last_session", "known_at"):
            values[name] = values[name].isoformat() if values[name] else None
        return values


def load_batch(
    conn: duckdb.DuckDBPyConnection,
    *,
    source: str,
    batch_id: str,
    accepted: pa.Table | Path,
    quarantine: pa.Table | Path,
    received: int,
    known_at: datetime,
    reference: Reference | None = None,
) -> LoadCounts:
    """Append what changed of bars and reference data, the refused rows, and the batch's counts.

    A bar or fact equal to its current revision adds nothing; one that the batch does not bring
    stays as it is. A batch that is there already is left
    as it is. ``known_at`` is moved to just after the last load where it is not later, so
    that no two loads share a moment.

    Args:
        conn: An open warehouse, in no transaction; left in none.
        source: Where the bars come from; sources never mix.
        batch_id: Names the batch; loading it again is a no-op.
        accepted: The bars' columns, one row per ticker and session; or a Parquet file of them,
            which is read by ranges of tickers.
        quarantine: ``row_id int64``, the bars' columns, ``reasons list<string>``, and what else
            the quarantine's table holds; or a Parquet file of them.
        received: Rows of the batch before they were judged.
        known_at: When the batch became known, with a time zone.
        reference: Actions, instruments and symbols that came with the bars; None for none.

    Raises:
        BarsRejected: If rows were lost or invented on the way, or reference data cannot be
            stored; nothing is loaded.
    """
    facts = reference or Reference()
    with transaction(conn):
        counts = stored_counts(conn, batch_id)
        if counts is None:
            moment = next_moment(conn, known_at)
            append_reference(conn, source=source, batch_id=batch_id, reference=facts, moment=moment)
            counts = append_bars(conn, source, batch_id, accepted, quarantine, received, moment)
    log.info(
        "batch %s of %s: %d received, %d loaded (%d new), %d quarantined%s",
        *(counts.batch_id, counts.source, counts.received, counts.loaded, counts.new_revisions),
        *(counts.quarantined, ", was loaded before" if counts.already_loaded else ""),
    )
    return counts


def stored_counts(conn: duckdb.DuckDBPyConnection, batch_id: str) -> LoadCounts | None:
    """Counts of a batch that is in the warehouse, else None."""
    rows = conn.execute(
        """
        select batch_id, source, received_rows, loaded_rows, new_revisions, unchanged_rows,
            quarantined_rows, tickers, first_session, last_session, epoch_us(known_at)
        from batches where batch_id = ?
        """,
        [batch_id],
    ).fetchall()
    if not rows:
        return None
    *values, microseconds = rows[0]
    return LoadCounts(
        **dict(zip(_STORED, values, strict=True)),
        known_at=moment_of(microseconds),
        already_loaded=True,
        **new_facts(conn, batch_id),
    )


def append_bars(
    conn: duckdb.DuckDBPyConnection,
    source: str,
    batch_id: str,
    accepted: pa.Table | Path,
    quarantine: pa.Table | Path,
    received: int,
    moment: datetime,
) -> LoadCounts:
    """Append accepted bars that changed and refused rows, and the batch's row, last.

    For callers that hold a transaction; the arguments are those of ``load_batch``, with ``moment``
    from ``next_moment``.
    """
    load = {"source": source, "batch_id": batch_id, "moment": moment}
    with _readable(conn, "accepted_bars", accepted), _readable(conn, "refused_rows", quarantine):
        ranges = _ranges(conn)
        parts = Progress(f"batch {batch_id}: loaded", len(ranges), "parts")
        for first, last in parts.over(ranges):
            conn.execute(_APPEND, {**load, "first": first, "last": last})
        conn.execute(
            """
            insert into quarantine by name
            select refused_rows.*, ? as batch_id, ? as source
            from refused_rows order by row_id
            """,
            [batch_id, source],
        )
        counts = _count(conn, source, batch_id, ranges, received, moment)
    _record(conn, counts)
    return counts


@contextmanager
def _readable(conn: duckdb.DuckDBPyConnection, name: str, rows: pa.Table | Path) -> Iterator[None]:
    conn.register(name, conn.read_parquet(str(rows)) if isinstance(rows, Path) else rows)
    try:
        yield
    finally:
        conn.unregister(name)


def _ranges(conn: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    # First and last ticker of parts of the batch, each of about _ROWS_AT_ONCE rows or one ticker:
    # memory does not grow with the batch.
    rows = conn.execute(
        "select ticker, count(*) from accepted_bars group by ticker order by ticker"
    ).fetchall()
    found: list[tuple[str, str]] = []
    filled = _ROWS_AT_ONCE
    for ticker, count in rows:
        if filled + count > _ROWS_AT_ONCE:
            found.append((ticker, ticker))
            filled = 0
        found[-1] = (found[-1][0], ticker)
        filled += count
    return found


def next_moment(conn: duckdb.DuckDBPyConnection, known_at: datetime) -> datetime:
    """The moment to date a load with: the given one, or just after the last load."""
    if known_at.tzinfo is None:
        raise ValueError(f"known_at {known_at} has no time zone; give one, such as UTC")
    # As a number, because DuckDB hands time zones to Python through pytz, which nobody needs.
    (last,) = _one(conn, "select epoch_us(max(known_at)) from batches")
    if last is None:
        return known_at.astimezone(UTC)
    return max(known_at.astimezone(UTC), moment_of(last + 1))


def moment_of(microseconds: int) -> datetime:
    """A moment in UTC from microseconds since 1970."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _count(
    conn: duckdb.DuckDBPyConnection,
    source: str,
    batch_id: str,
    ranges: Sequence[tuple[str, str]],
    received: int,
    moment: datetime,
) -> LoadCounts:
    # Counted from what stands in the tables, not from what was meant to be written: each bar
    # that was accepted is now the current one, once.
    (new,) = _one(conn, "select count(*) from bar_revisions where batch_id = ?", batch_id)
    (refused,) = _one(conn, "select count(*) from quarantine where batch_id = ?", batch_id)
    (accepted,) = _one(conn, "select count(*) from accepted_bars")
    asked = {"source": source, "moment": moment}
    parts = [
        conn.execute(_PRESENT, {**asked, "first": first, "last": last}).fetchall()[0]
        for first, last in ranges
    ]
    present, tickers = (sum(part[place] for part in parts) for place in (0, 1))
    days = [part[2:] for part in parts if part[0]]
    if present + refused != received or present != accepted or present < new:
        raise BarsRejected(
            f"batch {batch_id} of {source}: {present} rows in the warehouse and {refused} in "
            f"quarantine, expected {received} received together; nothing was loaded. Delete "
            f"batches/{batch_id} below the artefact root and validate the batch again"
        )
    return LoadCounts(
        *(batch_id, source, received, present, new, present - new, refused, tickers),
        min((first for first, _ in days), default=None),
        max((last for _, last in days), default=None),
        *(moment, False),
        **new_facts(conn, batch_id),
    )


def _record(conn: duckdb.DuckDBPyConnection, counts: LoadCounts) -> None:
    conn.execute(
        """
        insert into batches (batch_id, source, known_at, received_rows, loaded_rows,
            new_revisions, unchanged_rows, quarantined_rows, tickers, first_session, last_session)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
            *(counts.batch_id, counts.source, counts.known_at, counts.received, counts.loaded),
            *(counts.new_revisions, counts.unchanged, counts.quarantined, counts.tickers),
            *(counts.first_session, counts.last_session),
        ],
    )


def _one(conn: duckdb.DuckDBPyConnection, query: str, *values: Any) -> tuple[Any, ...]:
    # fetchall, because a result that is not read to its end blocks the connection.
    (row,) = conn.execute(query, list(values)).fetchall()
    return tuple(row)
