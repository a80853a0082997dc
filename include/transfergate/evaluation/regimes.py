"""Results by regime of the market: a description of where a difference came from, no verdict.

A session's regime is what was known before it opened. Volatility: the standard deviation of the
market's last 21 returns, *high* when above the median of all such values so far (63 sessions of
market are needed first). Trend: *up* when the market rose over its last 63 sessions. Calendar
years need no market. Each slice is a further look at the same record, and with several slices one
of them looks striking by chance: so none gets a verdict, a p-value or a vote.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from transfergate.evaluation.gate.statistic import sharpe_difference
from transfergate.evaluation.ledger import REQUIRED_ARMS
from transfergate.evaluation.metrics import sharpe_ratio

FloatArray = NDArray[np.float64]
Dates = NDArray[np.datetime64]

VOLATILITY_SESSIONS = 21
TREND_SESSIONS = 63
MIN_MARKET_SESSIONS = TREND_SESSIONS
"""Sessions of market before the first session that gets a regime."""
MIN_SLICE_SESSIONS = 42
"""A shorter slice is counted, but shows no figures."""


@dataclass(frozen=True)
class Market:
    """What regimes are read from.

    Attributes:
        name: In words, as the report shows it.
        dates: Sessions, ascending, shape (D,).
        returns: Simple returns, dated at the session's close, shape (D,).
    """

    name: str
    dates: Dates
    returns: FloatArray


@dataclass(frozen=True)
class Labels:
    """The regime of every session of a market, and of the one after its last; arrays (D + 1,).

    0 and 1 index :data:`REGIMES`; -1 where too little was known.
    """

    market: Market
    volatility: NDArray[np.int8]
    trend: NDArray[np.int8]


REGIMES = {"volatility": ("low", "high"), "trend": ("down", "up")}


def label_market(market: Market) -> Labels:
    """Give every session its regimes, from returns before it only."""
    n = len(market.returns)
    volatility = np.full(n + 1, -1, dtype=np.int8)
    trend = np.full(n + 1, -1, dtype=np.int8)
    growth = np.concatenate(([0.0], np.cumsum(np.log(np.maximum(1.0 + market.returns, 1e-12)))))
    if n >= MIN_MARKET_SESSIONS:
        windows = sliding_window_view(market.returns, VOLATILITY_SESSIONS)
        seen: list[float] = []
        for t, current in enumerate(windows.std(axis=1).tolist(), VOLATILITY_SESSIONS):
            insort(seen, current)
            if t >= MIN_MARKET_SESSIONS:
                volatility[t] = current > _median(seen)
        trend[MIN_MARKET_SESSIONS:] = growth[TREND_SESSIONS:] > growth[:-TREND_SESSIONS]
    return Labels(market, volatility, trend)


def slices(arms: Mapping[str, tuple[Dates, FloatArray]], labels: Labels | None) -> dict[str, Any]:
    """Describe one ticker's record regime by regime.

    Args:
        arms: Per arm its sessions and seed-mean net returns, each of shape (T,); without
            ``finetuned`` and ``scratch`` on the same sessions there is nothing to slice.
        labels: Of the market; None where there is none to read regimes from.

    Returns:
        ``{"market": name | None, "unlabelled_sessions": int, "slices": [{"by", "label",
        "n_sessions", "sharpe": {arm: float | None}, "delta_sharpe", "se_time"}, ...]}``, ready for
        JSON. ``se_time`` is the standard error over time alone; figures of a slice below
        :data:`MIN_SLICE_SESSIONS` are None.
    """
    pair = [arms[arm][0] for arm in REQUIRED_ARMS if arm in arms]
    if len(pair) < len(REQUIRED_ARMS) or not np.array_equal(pair[0], pair[1]):
        return {"market": None, "unlabelled_sessions": 0, "slices": []}
    dates = pair[0]
    unlabelled = 0
    rows = []
    if labels is not None:
        before = np.searchsorted(labels.market.dates, dates, side="left")
        unlabelled = int(np.count_nonzero(labels.volatility[before] < 0))
    for by, label, inside in _groups(dates, labels):
        if inside.any():
            rows.append({"by": by, "label": label, **_figures(arms, dates, inside)})
    return {
        "market": None if labels is None else labels.market.name,
        "unlabelled_sessions": unlabelled,
        "slices": rows,
    }


def _groups(dates: Dates, labels: Labels | None) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """What to slice by, the slice's name, and its sessions, shape (T,)."""
    if labels is not None:
        before = np.searchsorted(labels.market.dates, dates, side="left")
        for by, own in (("volatility", labels.volatility), ("trend", labels.trend)):
            for code, label in enumerate(REGIMES[by]):
                yield by, label, own[before] == code
    years = dates.astype("datetime64[Y]")
    for year in np.unique(years):
        yield "year", str(year), years == year


def _figures(
    arms: Mapping[str, tuple[Dates, FloatArray]], dates: Dates, inside: NDArray[np.bool_]
) -> dict[str, Any]:
    n = int(np.count_nonzero(inside))
    enough = n >= MIN_SLICE_SESSIONS
    chosen = dates[inside]
    sharpe: dict[str, float | None] = {}
    for arm, (own_dates, returns) in arms.items():
        own = returns[np.isin(own_dates, chosen, assume_unique=True)]
        sharpe[arm] = sharpe_ratio(own) if len(own) >= MIN_SLICE_SESSIONS else None
    row: dict[str, Any] = {"n_sessions": n, "sharpe": sharpe, "delta_sharpe": None, "se_time": None}
    if enough:
        difference = sharpe_difference(arms["finetuned"][1][inside], arms["scratch"][1][inside])
        row["delta_sharpe"] = difference.delta
        row["se_time"] = None if difference.identical else difference.se_time
    return row


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return 0.5 * (ordered[middle - 1] + ordered[middle])
