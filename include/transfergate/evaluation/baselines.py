"""Reference policies on the same sessions, under the same arithmetic: what any arm must face.

All take a one-ticker view of the panel (numpy, float64) and return a :class:`Path`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.metrics import sharpe_ratio
from transfergate.evaluation.splits import Fold, Window

FloatArray = NDArray[np.float64]
Choose = Callable[[int, int], int]
"""(session t, previous position index) -> index of the position to hold from session t + 1."""

RIDGE_PENALTIES = (10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class TickerMarket:
    """One ticker's market.

    Attributes:
        features: z-scores, shape (T, F); NaN where not ready.
        ready: All features known at the close of t, shape (T,).
        net_returns: ``[t, k, a]`` simple net return, dated t + 1, of deciding at the close of t
            to go from position k to a, shape (T, P, P); where no trade is possible, a is k.
        next_position: ``[t, k, a]`` index of the position held after that, shape (T, P, P).
        positions: The grid, shape (P,).
        cost_rate: Cost per unit of absolute turnover, as a fraction.
    """

    features: FloatArray
    ready: NDArray[np.bool_]
    net_returns: FloatArray
    next_position: NDArray[np.int64]
    positions: FloatArray
    cost_rate: float

    @property
    def flat(self) -> int:
        """Index of the flat position."""
        return int(np.flatnonzero(self.positions == 0.0)[0])


@dataclass(frozen=True)
class Path:
    """What one policy did on consecutive sessions; every array has shape (T',)."""

    net_return: FloatArray
    position: FloatArray
    turnover: FloatArray
    cost: FloatArray


def walk(market: TickerMarket, test: Window, choose: Choose) -> Path:
    """Run a policy over a test slice: start flat, decide at the close, trade at the next open.

    The first decision is taken at ``test.first - 1`` and paid for in session ``test.first``. Who
    loses everything has a return of -1 there, and holds nothing from then on.
    """
    n = test.sessions
    net, position, turnover = np.zeros(n), np.zeros(n), np.zeros(n)
    held = market.flat
    for i, t in enumerate(range(test.first - 1, test.stop - 1)):
        action = choose(t, held)
        net[i] = max(market.net_returns[t, held, action], -1.0)
        new = int(market.next_position[t, held, action])
        turnover[i] = abs(market.positions[new] - market.positions[held])
        position[i] = market.positions[new]
        held = new
        if net[i] == -1.0:
            break
    return Path(net, position, turnover, turnover * market.cost_rate)


def buy_and_hold(market: TickerMarket, test: Window) -> Path:
    """Hold the largest position of the grid throughout."""
    longest = len(market.positions) - 1
    return walk(market, test, lambda t, held: longest)


def flat(market: TickerMarket, test: Window) -> Path:
    """Hold nothing."""
    return walk(market, test, lambda t, held: market.flat)


def random_policy(market: TickerMarket, test: Window, rng: np.random.Generator) -> Path:
    """Draw each session's position uniformly from the grid."""
    draws = rng.integers(len(market.positions), size=test.sessions)
    return walk(market, test, lambda t, held: int(draws[t - (test.first - 1)]))


def ridge_policy(market: TickerMarket, fold: Fold, test: Window) -> Path:
    """Trade a ridge regression's forecast of the next held return, net of the cost to get there.

    The penalty is the one of :data:`RIDGE_PENALTIES` with the best Sharpe ratio on the fold's
    validation window; flat if none is positive there. Nothing after ``fold.validation.stop`` is
    used. Source: Hoerl & Kennard (1970), doi:10.1080/00401706.1970.10488634.
    """
    long = len(market.positions) - 1
    rows = np.arange(fold.train.first, fold.train.stop - 1)
    rows = rows[market.ready[rows]]
    best: tuple[float, Choose | None] = (0.0, None)
    if len(rows) > market.features.shape[1]:
        x, y = market.features[rows], market.net_returns[rows, long, long]
        for penalty in RIDGE_PENALTIES:
            choose = _forecast_policy(market, _ridge(x, y, penalty))
            score = sharpe_ratio(walk(market, fold.validation, choose).net_return)
            if score > best[0]:
                best = (score, choose)
    return flat(market, test) if best[1] is None else walk(market, test, best[1])


def _ridge(x: FloatArray, y: FloatArray, penalty: float) -> FloatArray:
    gram = x.T @ x + penalty * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, x.T @ y), dtype=np.float64)


def _forecast_policy(market: TickerMarket, weights: FloatArray) -> Choose:
    forecast = np.nan_to_num(market.features) @ weights
    cost = market.cost_rate * np.abs(market.positions[None, :] - market.positions[:, None])

    def choose(t: int, held: int) -> int:
        if not market.ready[t]:
            return held
        return int(np.argmax(forecast[t] * market.positions - cost[held]))

    return choose
