"""The tensorised market: features and returns of many tickers on one session calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from transfergate.errors import MarketError


@dataclass(frozen=True)
class Panel:
    """Exogenous data of N tickers over T sessions; row n, session t was known at t's close.

    Attributes:
        tickers: N names, in row order.
        sessions: ``datetime64[D]``, shape (T,), strictly increasing.
        features: float32 (N, T, F); 0 where a value is missing (see ``ready``).
        overnight: float64 (N, T): open_t / previous close - 1; spans a gap of missing sessions.
        intraday: float64 (N, T): close_t / open_t - 1. Both are 0 in a missing session.
        tradable: bool (N, T): session t has a bar with an open, and an earlier close is known.
        ready: bool (N, T): all features of session t are finite.
        cost_rate: optional float64 (N, T): cost per unit of turnover executed in session t, as a
            fraction; where it is NaN, or all of it None, ``MarketParams.cost_bps`` counts.
        feature_names: Of the F columns, where they have names.
    """

    tickers: tuple[str, ...]
    sessions: npt.NDArray[np.datetime64]
    features: Tensor
    overnight: Tensor
    intraday: Tensor
    tradable: Tensor
    ready: Tensor
    cost_rate: Tensor | None = None
    feature_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        n, t = len(self.tickers), len(self.sessions)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor) and tuple(value.shape[:2]) != (n, t):
                raise MarketError(
                    f"panel field {field.name}: expected shape ({n}, {t}, ...), one row a ticker "
                    f"and one column a session, found {tuple(value.shape)}; rebuild the panel"
                )

    @property
    def n_sessions(self) -> int:
        """Number of sessions T."""
        return len(self.sessions)

    @property
    def n_features(self) -> int:
        """Number of features F."""
        return int(self.features.shape[2])

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.features.device

    def to(self, device: torch.device | str) -> Panel:
        """Copy every tensor to a device; the panel itself is unchanged."""
        return Panel(
            self.tickers,
            self.sessions,
            self.features.to(device),
            self.overnight.to(device),
            self.intraday.to(device),
            self.tradable.to(device),
            self.ready.to(device),
            None if self.cost_rate is None else self.cost_rate.to(device),
            self.feature_names,
        )

    def row(self, ticker: str) -> int:
        """Row of a ticker.

        Raises:
            MarketError: If the ticker is not in the panel.
        """
        try:
            return self.tickers.index(ticker)
        except ValueError:
            raise MarketError(
                f"ticker {ticker!r} is not in the panel; it has {len(self.tickers)}: "
                f"{', '.join(self.tickers[:20])}; add it when the panel is built"
            ) from None


def build_panel(
    tables: Mapping[str, pa.Table],
    sessions: Sequence[date],
    features: Sequence[str],
    cost_bps: Mapping[str, float] | None = None,
) -> Panel:
    """Lay tables of bars and features out on one calendar.

    Column t of every tensor depends on rows dated t or earlier only. Rows dated outside
    ``sessions`` are ignored.

    Args:
        tables: Ticker -> table with ``session_date, open, close`` (adjusted prices) and one
            column per feature, sorted by date.
        sessions: The calendar, strictly increasing.
        features: Names of the feature columns, in the order that the policy sees.
        cost_bps: Ticker -> its own cost in basis points of turnover; others pay the market's.

    Raises:
        MarketError: If a column is missing, dates repeat or fall, or a price is 0.
    """
    calendar = np.asarray(sessions, dtype="datetime64[D]")
    if len(calendar) == 0 or not tables or bool((np.diff(calendar).astype(int) <= 0).any()):
        raise MarketError(
            f"panel: expected at least one ticker and a strictly increasing calendar, found "
            f"{len(tables)} tickers and {len(calendar)} sessions; check the snapshot's manifest"
        )
    rows = [_ticker_row(ticker, table, calendar, features) for ticker, table in tables.items()]
    return Panel(
        tickers=tuple(tables),
        sessions=calendar,
        features=torch.from_numpy(np.stack([row.features for row in rows])),
        overnight=torch.from_numpy(np.stack([row.overnight for row in rows])),
        intraday=torch.from_numpy(np.stack([row.intraday for row in rows])),
        tradable=torch.from_numpy(np.stack([row.tradable for row in rows])),
        ready=torch.from_numpy(np.stack([row.ready for row in rows])),
        cost_rate=_cost_rate(tuple(tables), len(calendar), cost_bps or {}),
        feature_names=tuple(features),
    )


def _cost_rate(
    tickers: Sequence[str], n_sessions: int, cost_bps: Mapping[str, float]
) -> Tensor | None:
    if not set(tickers) & set(cost_bps):
        return None
    own = [cost_bps.get(ticker, float("nan")) * 1e-4 for ticker in tickers]
    return torch.tensor(own, dtype=torch.float64)[:, None].repeat(1, n_sessions)


@dataclass(frozen=True)
class _Row:
    features: npt.NDArray[np.float32]
    overnight: npt.NDArray[np.float64]
    intraday: npt.NDArray[np.float64]
    tradable: npt.NDArray[np.bool_]
    ready: npt.NDArray[np.bool_]


def _ticker_row(
    ticker: str,
    table: pa.Table,
    calendar: npt.NDArray[np.datetime64],
    features: Sequence[str],
) -> _Row:
    missing = {"session_date", "open", "close", *features} - set(table.column_names)
    if missing:
        raise MarketError(
            f"{ticker}: columns {sorted(missing)} are missing, found {table.column_names}; "
            f"build the snapshot with these features"
        )
    dates = table["session_date"].to_numpy().astype("datetime64[D]")
    if bool((np.diff(dates).astype(int) <= 0).any()):
        raise MarketError(f"{ticker}: session_date must increase strictly; sort, drop repeats")
    position = np.searchsorted(calendar, dates)
    on_calendar = (position < len(calendar)) & (calendar[position % len(calendar)] == dates)
    index = position[on_calendar]

    def column(name: str) -> npt.NDArray[np.float64]:
        out = np.full(len(calendar), np.nan)
        values = table[name].to_numpy().astype(np.float64)
        out[index] = values[on_calendar]
        return out

    overnight, intraday, tradable = _returns(ticker, column("open"), column("close"), calendar)
    stacked = np.stack([column(name) for name in features], axis=-1).astype(np.float32)
    finite = np.isfinite(stacked)
    return _Row(
        features=np.where(finite, stacked, np.float32(0.0)),
        overnight=overnight,
        intraday=intraday,
        tradable=tradable,
        ready=np.asarray(finite.all(axis=-1)),
    )


def _returns(
    ticker: str,
    opens: npt.NDArray[np.float64],
    closes: npt.NDArray[np.float64],
    calendar: npt.NDArray[np.datetime64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    for name, price in (("open", opens), ("close", closes)):
        bad = np.flatnonzero(price == 0)
        if len(bad):
            raise MarketError(
                f"{ticker} {calendar[bad[0]]}: {name} is 0, expected a price that a return can be "
                f"measured from ({len(bad)} such bars); quarantine them before the snapshot"
            )
    bars = np.flatnonzero(np.isfinite(closes))
    previous = np.full(len(closes), np.nan)
    previous[bars[1:]] = closes[bars[:-1]]
    linked = np.isfinite(previous)
    tradable = linked & np.isfinite(opens)
    entry = np.where(tradable, opens, closes)  # without an open, the whole move is overnight
    overnight = np.where(linked, _simple_return(np.where(linked, previous, 1.0), entry), 0.0)
    intraday = np.where(tradable, _simple_return(np.where(tradable, opens, 1.0), closes), 0.0)
    return overnight, intraday, tradable


def _simple_return(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    # Gain of one unit of exposure: (after - before) / |before|, so that a fall below zero, and a
    # rise out of it, keep their signs. Above zero, after / before - 1 to the bit.
    gain: npt.NDArray[np.float64] = np.sign(before) * (after / before - 1.0)
    return gain
