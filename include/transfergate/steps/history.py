"""What a batch is judged against besides its own rows: reference data and the warehouse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa

from transfergate import warehouse
from transfergate.calendars import exchange_sessions
from transfergate.settings import Settings
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import BAR_SCHEMA, LANDING_SCHEMA
from transfergate.storage.landing import Reference, read_landing

_OLDEST_SESSION = date(1900, 1, 1)


def landed_reference(store: ArtefactStore, landing: Iterable[str]) -> Reference:
    """Actions, instruments and symbols of several fetches, as one."""
    parts = [read_landing(store, key)[1] for key in sorted(set(landing))]
    return Reference(
        **{
            part.name: pa.concat_tables([getattr(reference, part.name) for reference in parts])
            for part in fields(Reference)
        }
    )


def known_history(
    settings: Settings, source: str, bars: pa.Table, reference: Reference
) -> warehouse.History:
    """What the warehouse knows now around a batch; holds the warehouse while it reads.

    Raises:
        BarsRejected: If the reference data cannot be stored or contradicts itself.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    with warehouse.open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        warehouse.check_reference(conn, source, reference)
        return warehouse.read_history(conn, source, bars, reference)


def described_rows(
    settings: Settings, calendar: str, bars: pa.Table, history: warehouse.History
) -> pd.DataFrame:
    """Rows with their relational checks; without them where the columns break the contract."""
    if not bars.schema.remove_metadata().equals(LANDING_SCHEMA):
        raw: pd.DataFrame = bars.to_pandas(date_as_object=False)
        return raw
    dates = bars["session_date"].drop_null()
    # A day ahead for exchanges east of Greenwich; a later bar is on no session that there was.
    today = datetime.now(UTC).date() + timedelta(days=1)
    days = [max(_OLDEST_SESSION, min(day, today)) for day in set(dates.to_pylist())] or [today]
    sessions = exchange_sessions(calendar, min([*days, *history.days]), max([*days, *history.days]))
    frame = warehouse.derive_checks(
        bars.select(BAR_SCHEMA.names), sessions, settings.sql_dir, history
    )
    if bars["unreadable"].null_count < bars.num_rows:
        frame["unreadable"] = bars["unreadable"].to_pandas()
    return frame
