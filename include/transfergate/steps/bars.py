"""Step that reads bars as they were known at a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from transfergate.errors import SourceError
from transfergate.settings import Settings
from transfergate.warehouse import open_warehouse, select_bars


def read_bars(
    settings: Settings,
    ticker: str,
    *,
    source: str | None = None,
    as_of: str | None = None,
    adjusted: bool = False,
    start: str | None = None,
    end: str | None = None,
) -> pa.Table:
    """Bars of one ticker as the warehouse knew them at a moment, sorted by session.

    Args:
        settings: Settings.
        ticker: Whose.
        source: Name of a source; None for the default one.
        as_of: ISO date (its end, in UTC) or moment (UTC where it names no zone); None for now.
        adjusted: Prices adjusted for splits and dividends, with ``raw_close, factor`` and
            ``adjusted_by``; else as received, with ``batch_id`` and ``known_at``.
        start: First session (ISO date).
        end: Last session (ISO date).

    Raises:
        SourceError: If a date cannot be read, or there is no such bar; says what there is.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    name = source or settings.ingest.source
    moment = parse_moment(as_of) if as_of else datetime.now(UTC)
    first, last = _day("start", start), _day("end", end)
    if first and last and first > last:
        raise SourceError(f"start {first} is after end {last}: exchange the two dates")
    with open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        bars, known = select_bars(conn, name, ticker, moment, adjusted=adjusted)
    if not bars.num_rows and not known:
        raise SourceError(
            f"{ticker} of source {name!r}: no bar of this source was loaded by "
            f"{moment.isoformat()}: run transfergate ingest --source {name} first, or name a later "
            f"moment"
        )
    if not bars.num_rows:
        shown = ", ".join(known[:20]) + (f", … ({len(known)} in all)" if len(known) > 20 else "")
        raise SourceError(
            f"{ticker} of source {name!r}: no bar as of {moment.isoformat()}; there are bars of "
            f"{shown}: name one of these, a later moment, or ingest it first"
        )
    days = bars["session_date"].to_pylist()
    inside = [(not first or day >= first) and (not last or day <= last) for day in days]
    return bars.filter(pa.array(inside))


def write_csv(bars: pa.Table, path: Path) -> None:
    """Write bars as CSV with a header.

    Raises:
        SourceError: If the file cannot be written.
    """
    _write(path, lambda: csv.write_csv(bars, path))


def write_parquet(bars: pa.Table, path: Path) -> None:
    """Write bars as Parquet.

    Raises:
        SourceError: If the file cannot be written.
    """
    _write(path, lambda: pq.write_table(bars, path, compression="zstd"))


def _write(path: Path, write: Callable[[], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be written ({error.strerror or str(error).splitlines()[0]}); name a "
            f"file in a folder that you may write to"
        ) from error


def parse_moment(text: str) -> datetime:
    """Read a moment; a date alone means its last microsecond in UTC.

    Raises:
        SourceError: If the text is neither.
    """
    try:
        return datetime.combine(date.fromisoformat(text), time.max, UTC)
    except ValueError:
        pass  # no date alone, in any of the ways that ISO writes one
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError as error:
        raise SourceError(
            f"as of {text!r}: neither a date nor a moment, expected ISO such as 2018-02-07 or "
            f"2018-02-07T22:00:00+00:00: correct it"
        ) from error


def _day(name: str, text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise SourceError(
            f"{name} {text!r} is no date, expected ISO such as 2018-02-07: correct it"
        ) from error
