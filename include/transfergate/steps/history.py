"""What a batch is judged against besides its own rows: reference data and the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from transfergate import warehouse
from transfergate.settings import Settings
from transfergate.steps.rows import (
    BatchRows,
    are_sound,
    ordered_keys,
    read_rows,
    received_symbols,
)
from transfergate.steps.sessions import ExchangeSessions
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import BAR_SCHEMA
from transfergate.storage.landing import Reference, read_landed_bars, read_landed_reference

_EPOCH = date(1970, 1, 1)


def landed_reference(store: ArtefactStore, landing: Iterable[str]) -> Reference:
    """Actions, instruments and symbols of several fetches, as one."""
    parts = [read_landed_reference(store, key) for key in sorted(set(landing))]
    return Reference(
        **{
            part.name: pa.concat_tables([getattr(reference, part.name) for reference in parts])
            for part in fields(Reference)
        }
    )


def known_history(
    settings: Settings, source: str, store: ArtefactStore, landing: Sequence[str]
) -> tuple[BatchRows | pa.Table, warehouse.History]:
    """The rows of a batch with their symbols mapped, and what the warehouse knows around them.

    Holds the warehouse while it reads.

    Args:
        settings: Settings.
        source: Name of the source.
        store: The artefact root.
        landing: Landing keys.

    Returns:
        The rows; where the columns of a fetch break the contract, all of them as they came.

    Raises:
        BarsRejected: If the reference data cannot be stored or contradicts itself.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    keys = ordered_keys(store, landing)
    reference = landed_reference(store, keys)
    with warehouse.open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        warehouse.limit_memory(conn, settings.warehouse.memory_limit_mb)
        warehouse.check_reference(conn, source, reference)
        if not are_sound(store, keys):
            tables = [read_landed_bars(store, key) for key in keys]
            received = pa.concat_tables(tables, promote_options="permissive")
            return received, warehouse.read_history(conn, source, received, reference)
        received_names = received_symbols(store, keys)
        symbols = warehouse.read_symbols(conn, source, received_names, reference)
        rows = read_rows(store, keys, symbols)
        history = warehouse.read_history(conn, source, rows.keyed, reference)
    return rows, replace(history, symbols=symbols)


def tickers_asked(plan: dict[str, Any], rows: BatchRows | pa.Table) -> tuple[str, ...]:
    """Tickers that a batch should hold: asked for, symbols replaced by what they stood for."""
    asked = {ticker for batch in plan["ticker_batches"] for ticker in batch}
    if not isinstance(rows, BatchRows):
        return tuple(sorted(asked))
    stood_for = {symbol: tickers - {None} for symbol, tickers in rows.stood_for.items()}
    held = set().union(*stood_for.values())
    wanted = [stood_for.get(name, {name}) if name not in held else {name} for name in asked]
    return tuple(sorted(set().union(*wanted)))


def last_sessions(rows: BatchRows, markets: Sequence[ExchangeSessions]) -> dict[str, date | None]:
    """Exchange -> last session of its tickers in the batch with a bar that makes sense."""
    found: dict[str, date | None] = {}
    for market, members in zip(markets, _members(markets, rows.names), strict=True):
        days = pd.unique(rows.days[rows.priced & np.append(members, False)[rows.codes]])
        known = np.array([_number(day) for day in market.sessions], np.int64)
        days = days[np.isin(days, known)]
        found[market.exchange] = _EPOCH + timedelta(days=int(days.max())) if len(days) else None
    return found


def described_portions(
    settings: Settings,
    store: ArtefactStore,
    rows: BatchRows,
    markets: Sequence[ExchangeSessions],
    history: warehouse.History,
) -> Iterator[pd.DataFrame]:
    """Rows with their relational checks, some tickers after the others.

    Each exchange's tickers are checked by its own sessions. ``row_id`` is the row's number in the
    batch. Columns that say something of a few rows are there only where the batch has such rows:
    ``unreadable``, ``special_session`` and ``unknown_symbol``.
    """
    last = last_sessions(rows, markets)
    special = any(market.special for market in markets)
    for row_ids, bars in rows.portions(store):
        frame = _described(settings, markets, bars, history, last)
        if not special:
            del frame["special_session"]
        if rows.unreadable:
            frame["unreadable"] = bars["unreadable"].to_pandas()
        if rows.unknown_symbols:
            unknown = pc.if_else(pc.is_null(bars["ticker"]), bars["symbol"], None)
            frame["unknown_symbol"] = unknown.to_pandas()
        frame["row_id"] = row_ids
        yield frame.sort_values("row_id", ignore_index=True)


def _described(
    settings: Settings,
    markets: Sequence[ExchangeSessions],
    bars: pa.Table,
    history: warehouse.History,
    last: Mapping[str, date | None],
) -> pd.DataFrame:
    frames = []
    others = {ticker for market in markets[1:] for ticker in market.tickers}
    for market in markets:
        # Rows without a ticker go with the source's own exchange.
        mine = ~_among(bars, others) if market is markets[0] else _among(bars, market.tickers)
        rows = np.flatnonzero(mine)
        if not len(rows) and len(markets) > 1:
            continue
        part = bars.select(BAR_SCHEMA.names).take(pa.array(rows))
        frame = warehouse.derive_checks(
            part, market.sessions, settings.sql_dir, history, last[market.exchange]
        )
        frame["row_id"] = rows[frame["row_id"]]
        special = frame["session_date"].isin(pd.to_datetime(sorted(market.special)))
        frame["special_session"] = special & ~frame["off_calendar"]
        frames.append(frame)
    return pd.concat(frames).sort_values("row_id", ignore_index=True)


def _members(
    markets: Sequence[ExchangeSessions], names: Sequence[str]
) -> Iterator[npt.NDArray[np.bool_]]:
    # Of each market, which of the tickers trade there; what no other one has is the first's.
    others = {ticker for market in markets[1:] for ticker in market.tickers}
    for market in markets:
        first = market is markets[0]
        yield np.array(
            [name not in others if first else name in market.tickers for name in names], bool
        )


def _number(day: date) -> int:
    return (day - _EPOCH).days


def _among(bars: pa.Table, tickers: Iterable[str]) -> npt.NDArray[np.bool_]:
    names = pa.array(sorted(tickers), pa.string())
    return np.asarray(pc.is_in(bars["ticker"], value_set=names))
