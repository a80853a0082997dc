"""Performance figures of one series of simple net daily returns; nothing here looks at arms.

Moments divide by T, as the gate's statistic does, so that the Sharpe ratio is the same number
everywhere in this package. The risk-free rate is 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

SESSIONS_PER_YEAR = 252
FLAT_RATIO = 1e-24
"""A series whose variance is below this fraction of its mean square has no risk but rounding."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Performance:
    """Figures of one series; all but the counts are fractions, None where not defined."""

    n_sessions: int
    annualised_return: float
    annualised_volatility: float
    sharpe: float
    max_drawdown: float
    annualised_turnover: float | None

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values, ready for JSON."""
        return asdict(self)


def performance(returns: ArrayLike, turnover: ArrayLike | None = None) -> Performance:
    """All figures of one series at once.

    Args:
        returns: Simple net returns per session, shape (T,).
        turnover: Absolute change of position per session, shape (T,), if known.
    """
    series = _series(returns)
    return Performance(
        n_sessions=len(series),
        annualised_return=annualised_return(series),
        annualised_volatility=annualised_volatility(series),
        sharpe=sharpe_ratio(series),
        max_drawdown=max_drawdown(series),
        annualised_turnover=None if turnover is None else annualised_turnover(turnover),
    )


def equity_curve(returns: ArrayLike) -> FloatArray:
    """Value of 1 invested at the start, after each session: the running product of 1 + r.

    A return of -1 or less is ruin: the equity is 0 from then on. Shape (T,).
    """
    growth = np.maximum(1.0 + _series(returns), 0.0)
    curve: FloatArray = np.cumprod(growth, dtype=np.float64)
    return curve


def annualised_return(returns: ArrayLike) -> float:
    """Geometric: (product of 1 + r)^(252/T) - 1; 0 for an empty series, -1 after ruin.

    Source: Bacon (2008), Practical Portfolio Performance Measurement, ch. 2.
    """
    equity = equity_curve(returns)
    if len(equity) == 0:
        return 0.0
    return float(equity[-1] ** (SESSIONS_PER_YEAR / len(equity)) - 1.0)


def annualised_volatility(returns: ArrayLike) -> float:
    """sqrt(252) times the standard deviation (divisor T)."""
    series = _series(returns)
    return 0.0 if len(series) == 0 else sqrt(SESSIONS_PER_YEAR) * float(series.std())


def sharpe_ratio(returns: ArrayLike) -> float:
    """Annualised: sqrt(252) times mean over standard deviation; 0 for a series without risk.

    Source: Sharpe (1994), The Sharpe Ratio; annualised as for independent returns.
    """
    series = _series(returns)
    if len(series) == 0:
        return 0.0
    mean = float(series.mean())
    centred = series - mean
    variance = float(centred @ centred) / len(series)
    if variance <= FLAT_RATIO * (variance + mean * mean):
        return 0.0
    return sqrt(SESSIONS_PER_YEAR) * mean / sqrt(variance)


def max_drawdown(returns: ArrayLike) -> float:
    """Deepest fall of the equity below its running peak, the start included; in [-1, 0].

    Source: Magdon-Ismail & Atiya (2004), Maximum Drawdown.
    """
    equity = np.concatenate(([1.0], equity_curve(returns)))
    return float(np.min(equity / np.maximum.accumulate(equity) - 1.0))


def annualised_turnover(turnover: ArrayLike) -> float:
    """252 times the mean absolute change of position per session; 2 is one round trip a year."""
    series = _series(turnover)
    return 0.0 if len(series) == 0 else SESSIONS_PER_YEAR * float(series.mean())


def _series(values: ArrayLike) -> FloatArray:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"expected one series of shape (T,), found shape {series.shape}")
    return series
