"""The step that lists what a source trades, as known at a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from transfergate.errors import SourceError
from transfergate.settings import Settings
from transfergate.steps.bars import parse_moment
from transfergate.steps.described import last_described
from transfergate.warehouse import list_instruments, open_warehouse


def instruments(
    settings: Settings, *, source: str | None = None, as_of: str | None = None
) -> dict[str, Any]:
    """Every ticker with bars or an instrument, with what counts for it.

    Args:
        settings: Settings.
        source: Name of a source; None for the default one.
        as_of: ISO date (its end, in UTC) or moment (UTC where it names no zone); None for now.

    Returns:
        ``source, as_of`` and ``instruments``: of each the columns of ``INSTRUMENT_SCHEMA`` with
        ``first_session, last_session`` (ISO dates or None) and ``bars``. Where the source says
        nothing of a ticker, ``exchange``, ``currency`` and ``cost_bps`` are those of the settings.

    Raises:
        SourceError: If the moment cannot be read, or nothing was known then.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    name = source or settings.ingest.source
    params = last_described(settings, name)
    moment = parse_moment(as_of) if as_of else datetime.now(UTC)
    with open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        rows = list_instruments(conn, name, moment)
    if not rows:
        raise SourceError(
            f"source {name!r}: neither bars nor instruments as of {moment.isoformat()}, expected "
            f"at least one: ingest it first, or name another source or a later moment"
        )
    for row in rows:
        row["exchange"] = row["exchange"] or params.calendar
        row["currency"] = row["currency"] or params.currency
        row["cost_bps"] = row["cost_bps"] or settings.market.cost_bps
        for end in ("first_session", "last_session"):
            row[end] = row[end].isoformat() if row[end] else None
    return {"source": name, "as_of": moment.isoformat(), "instruments": rows}
