"""What a batch is judged against besides its own rows: reference data and the warehouse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from transfergate import warehouse
from transfergate.settings import Settings
from transfergate.steps.sessions import ExchangeSessions
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import BAR_SCHEMA, LANDING_SCHEMA, SYMBOL_SCHEMA
from transfergate.storage.landing import Reference, read_landed_reference


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
    settings: Settings, source: str, bars: pa.Table, reference: Reference
) -> tuple[pa.Table, warehouse.History]:
    """A batch with its symbols mapped, and what the warehouse knows now around it.

    Holds the warehouse while it reads. Rows that break the landing zone's columns stay as they are.

    Raises:
        BarsRejected: If the reference data cannot be stored or contradicts itself.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    sound = bars.schema.remove_metadata().equals(LANDING_SCHEMA)
    with warehouse.open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        warehouse.check_reference(conn, source, reference)
        symbols = SYMBOL_SCHEMA.empty_table()
        if sound:
            received = pc.coalesce(bars["symbol"], bars["ticker"]).unique()
            symbols = warehouse.read_symbols(
                conn, source, pa.table({"symbol": received}), reference
            )
            bars = warehouse.map_symbols(conn, bars, symbols)
        history = warehouse.read_history(conn, source, bars, reference)
    return bars, replace(history, symbols=symbols)


def tickers_asked(plan: dict[str, Any], bars: pa.Table) -> tuple[str, ...]:
    """Tickers that a batch should hold: asked for, symbols replaced by what they stood for."""
    asked = {ticker for batch in plan["ticker_batches"] for ticker in batch}
    if "symbol" not in bars.column_names:
        return tuple(sorted(asked))
    pairs = bars.select(["symbol", "ticker"]).group_by(["symbol", "ticker"]).aggregate([])
    stood_for: dict[str, set[str]] = {}
    for pair in pairs.filter(pc.is_valid(pairs["symbol"])).to_pylist():
        stood_for.setdefault(pair["symbol"], set()).update({pair["ticker"]} - {None})
    held = set().union(*stood_for.values())
    wanted = [stood_for.get(name, {name}) if name not in held else {name} for name in asked]
    return tuple(sorted(set().union(*wanted)))


def described_rows(
    settings: Settings,
    markets: Sequence[ExchangeSessions],
    bars: pa.Table,
    history: warehouse.History,
) -> pd.DataFrame:
    """Rows with their relational checks; without them where the columns break the contract.

    Each exchange's tickers are checked by its own sessions. Columns that say something of a few
    rows are there only with such rows: ``unreadable``, ``special_session`` and ``unknown_symbol``.
    """
    if not bars.schema.remove_metadata().equals(LANDING_SCHEMA):
        raw: pd.DataFrame = bars.to_pandas(date_as_object=False)
        return raw
    frames = []
    others = {ticker for market in markets[1:] for ticker in market.tickers}
    for market in markets:
        # Rows without a ticker go with the source's own exchange.
        mine = _among(bars, market.tickers)
        rows = np.flatnonzero(~_among(bars, others) if market is markets[0] else mine)
        if not len(rows) and len(markets) > 1:
            continue
        part = bars.select(BAR_SCHEMA.names).take(pa.array(rows))
        frame = warehouse.derive_checks(part, market.sessions, settings.sql_dir, history)
        frame["row_id"] = rows[frame["row_id"]]
        special = frame["session_date"].isin(pd.to_datetime(sorted(market.special)))
        frame["special_session"] = special & ~frame["off_calendar"]
        frames.append(frame)
    whole = pd.concat(frames).sort_values("row_id", ignore_index=True)
    if not whole["special_session"].any():
        del whole["special_session"]
    if bars["unreadable"].null_count < bars.num_rows:
        whole["unreadable"] = bars["unreadable"].to_pandas()
    unknown = pc.if_else(pc.is_null(bars["ticker"]), bars["symbol"], None)
    if unknown.null_count < bars.num_rows:
        whole["unknown_symbol"] = unknown.to_pandas()
    return whole


def _among(bars: pa.Table, tickers: Iterable[str]) -> npt.NDArray[np.bool_]:
    names = pa.array(sorted(tickers), pa.string())
    return np.asarray(pc.is_in(bars["ticker"], value_set=names))
