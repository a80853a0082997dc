"""Learning curves: out-of-sample Sharpe against steps and seconds, and what is read off them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch

from transfergate.market import Panel, dynamics
from transfergate.settings import MarketParams


@dataclass(frozen=True)
class Point:
    """One evaluation: training seconds and trained steps so far, Sharpe out of sample."""

    seconds: float
    steps: int
    sharpe: float


@dataclass
class Curve:
    """The evaluations of one training, in order."""

    points: list[Point] = field(default_factory=list)

    def add(self, seconds: float, steps: int, sharpe: float) -> None:
        self.points.append(Point(seconds, steps, sharpe))

    def seconds_to(self, sharpe: float) -> float:
        """Training seconds at the first evaluation that reaches a Sharpe; inf if none does."""
        return next((p.seconds for p in self.points if p.sharpe >= sharpe), math.inf)

    def after_steps(self, steps: int) -> float:
        """Sharpe of the last evaluation within so many steps; 0 (untrained, flat) before any."""
        return next((p.sharpe for p in reversed(self.points) if p.steps <= steps), 0.0)

    def after_seconds(self, seconds: float) -> float:
        """Sharpe of the last evaluation within so many seconds; 0 before any."""
        return next((p.sharpe for p in reversed(self.points) if p.seconds <= seconds), 0.0)


def median_seconds(curves: Sequence[Curve], sharpe: float, cap: float) -> tuple[float, bool]:
    """Median seconds to a Sharpe over seeds; where it is not reached, the cap and True."""
    found = median(curve.seconds_to(sharpe) for curve in curves)
    return (cap, True) if found > cap else (found, False)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def sharpe_of_positions(panel: Panel, market: MarketParams, positions: np.ndarray) -> float:
    """Mean over tickers of the annualised Sharpe of positions (N, T - 1) chosen at each close."""
    met = dynamics.outcomes(panel, market)
    after = torch.from_numpy(positions)
    before = torch.cat([torch.zeros(len(after), 1, dtype=after.dtype), after[:, :-1]], 1)
    parts = (part[:, :-1] for part in (met.held, met.traded, met.cost_rate))
    net = dynamics.net_return(before, after, *parts)
    sharpe = torch.nan_to_num(net.mean(1) / net.std(1, correction=0)) * math.sqrt(252)
    return float(sharpe.mean())


def follow(panel: Panel, market: MarketParams, table: np.ndarray) -> np.ndarray:
    """Positions (N, T - 1) from actions by (ticker, session, previous position), from flat."""
    decisions = table.shape[1] - 1
    actions = torch.from_numpy(table[:, :decisions]).transpose(0, 1)
    executable = dynamics.outcomes(panel, market).executable[:, :decisions].T
    held = dynamics.follow(actions, executable, dynamics.flat_index(market))[1:].T
    return np.array(market.positions)[held.numpy()]
