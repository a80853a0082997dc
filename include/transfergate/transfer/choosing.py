"""Which choice of the grid an arm takes, from what its choices earned in validation.

A Sharpe ratio over half a year has a standard error of 1.4: the best of a few choices is mostly the
luckiest. So the rule is Breiman's: of all choices within one standard error of the best, the first,
the grid being ordered from the most restrained to the least. A choice that learns from noise
has to beat a safe one by more than chance explains. Flat where the choice earned nothing.

Source: Breiman, Friedman, Olshen & Stone 1984, section 3.4.3 (the one-standard-error rule).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.metrics import SESSIONS_PER_YEAR


@dataclass(frozen=True)
class Validated:
    """What the choices of one arm and fold showed in validation, in grid order.

    Attributes:
        sharpe: Annualised Sharpe ratio of each choice; 0 for one that held nothing.
        behind: By how many standard errors of the paired difference each is below the best.
    """

    sharpe: tuple[float, ...]
    behind: tuple[float, ...]


def validated(net_return: NDArray[np.float64]) -> Validated:
    """Compare choices on the same sessions; volatilities count as known.

    Args:
        net_return: Mean over seeds of each choice's daily returns, (choices, sessions).
    """
    spread = net_return.std(axis=1, keepdims=True)
    scaled = np.divide(net_return, spread, out=np.zeros_like(net_return), where=spread > 1e-12)
    daily = scaled.mean(axis=1)
    gaps = scaled[np.argmax(daily)] - scaled
    error = gaps.std(axis=1) / math.sqrt(net_return.shape[1])
    behind = np.divide(gaps.mean(axis=1), error, out=np.zeros_like(daily), where=error > 1e-12)
    sharpe = daily * math.sqrt(SESSIONS_PER_YEAR)
    return Validated(tuple(map(float, sharpe)), tuple(map(float, behind)))


def preferred(behind: Sequence[float], margin: float) -> int:
    """Index of the first choice that is at most ``margin`` standard errors below the best."""
    return next(index for index, lag in enumerate(behind) if lag <= margin)


def taken(sharpe: Sequence[float], behind: Sequence[float], margin: float) -> int | None:
    """The choice that an arm trades with; None, flat, where the preferred one earned nothing."""
    index = preferred(behind, margin)
    return index if sharpe[index] > 0.0 else None
