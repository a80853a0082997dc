"""Performance figures of one series of simple net daily returns; nothing here looks at arms.

Moments divide by T, as the gate's statistic does, so that the Sharpe ratio is the same number
everywhere in this package. The risk-free rate is 0. A figure that does not exist is None, never
infinite or NaN: a ratio whose denominator is 0 (no losing day, no drawdown, returns that never
change), a spread of a single session, and what overflows. One exception, shared with the gate: a
series that stayed flat has the Sharpe ratio 0, for holding nothing is what it is compared with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transfergate.evaluation.transactions import Transactions

SESSIONS_PER_YEAR = 252
FLAT_RATIO = 1e-24
"""A series whose variance is below this fraction of its mean square has no risk but rounding."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Performance:
    """Figures of one series; all but the counts and ratios are fractions, None where not defined.

    ``n_transactions``, ``average_profit`` and ``average_loss`` (per transaction, see
    :mod:`transfergate.evaluation.transactions`) are None where positions are not known.
    """

    n_sessions: int
    annualised_return: float | None
    annualised_volatility: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float | None
    calmar: float | None
    hit_rate: float | None
    annualised_turnover: float | None
    n_transactions: float | None = None
    average_profit: float | None = None
    average_loss: float | None = None

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values, ready for JSON."""
        return asdict(self)


def performance(
    returns: ArrayLike,
    turnover: ArrayLike | None = None,
    transactions: Transactions | None = None,
) -> Performance:
    """All figures of one series at once.

    Args:
        returns: Simple net returns per session, shape (T,).
        turnover: Absolute change of position per session, shape (T,), if known.
        transactions: The round trips behind the series, if known.
    """
    series = _series(returns)
    return Performance(
        n_sessions=len(series),
        annualised_return=annualised_return(series),
        annualised_volatility=annualised_volatility(series),
        sharpe=_defined_sharpe(series),
        sortino=sortino_ratio(series),
        max_drawdown=max_drawdown(series) if len(series) else None,
        calmar=calmar_ratio(series),
        hit_rate=hit_rate(series),
        annualised_turnover=None if turnover is None else annualised_turnover(turnover),
        n_transactions=None if transactions is None else transactions.per_seed,
        average_profit=None if transactions is None else transactions.average_profit,
        average_loss=None if transactions is None else transactions.average_loss,
    )


def equity_curve(returns: ArrayLike) -> FloatArray:
    """Value of 1 invested at the start, after each session: the running product of 1 + r.

    A return of -1 or less is ruin: the equity is 0 from then on. Shape (T,).
    """
    growth = np.maximum(1.0 + _series(returns), 0.0)
    curve: FloatArray = np.cumprod(growth, dtype=np.float64)
    return curve


def drawdown_curve(returns: ArrayLike) -> FloatArray:
    """Equity over its running peak, the start included, less 1; in [-1, 0], shape (T,)."""
    equity = equity_curve(returns)
    peak = np.maximum(np.maximum.accumulate(equity), 1.0) if len(equity) else equity
    curve: FloatArray = equity / peak - 1.0
    return curve


def annualised_return(returns: ArrayLike) -> float | None:
    """Geometric: (product of 1 + r)^(252/T) - 1; -1 after ruin, None for an empty series.

    Source: Bacon (2008), Practical Portfolio Performance Measurement, ch. 2.
    """
    equity = equity_curve(returns)
    if len(equity) == 0:
        return None
    with np.errstate(over="ignore"):
        return _finite(float(np.power(equity[-1], SESSIONS_PER_YEAR / len(equity)) - 1.0))


def annualised_volatility(returns: ArrayLike) -> float | None:
    """sqrt(252) times the standard deviation (divisor T); None below two sessions."""
    series = _series(returns)
    return None if len(series) < 2 else sqrt(SESSIONS_PER_YEAR) * float(series.std())


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


def sortino_ratio(returns: ArrayLike) -> float | None:
    """sqrt(252) times mean over downside deviation; None without a losing day.

    The downside deviation is the root of the mean of min(r, 0)^2 over all T sessions, gains
    counting as 0 and not as missing. Source: Sortino & van der Meer (1991), Downside risk; the
    divisor as in Rollinger & Hoffman (2013), Sortino: a 'sharper' ratio.
    """
    series = _series(returns)
    downside = sqrt(float(np.mean(np.square(np.minimum(series, 0.0))))) if len(series) > 1 else 0.0
    if downside == 0.0:
        return None
    return _finite(sqrt(SESSIONS_PER_YEAR) * float(series.mean()) / downside)


def max_drawdown(returns: ArrayLike) -> float:
    """Deepest fall of the equity below its running peak, the start included; in [-1, 0].

    Source: Magdon-Ismail & Atiya (2004), Maximum Drawdown.
    """
    return float(np.min(drawdown_curve(returns), initial=0.0))


def calmar_ratio(returns: ArrayLike) -> float | None:
    """Annualised return over the size of the maximum drawdown; None where it never fell.

    Over the whole record, not the last 36 months. Source: Young (1991), Calmar ratio: a smoother
    tool, Futures 20(1).
    """
    deepest = max_drawdown(returns)
    yearly = annualised_return(returns)
    return None if deepest == 0.0 or yearly is None else _finite(yearly / -deepest)


def hit_rate(returns: ArrayLike) -> float | None:
    """Share of winning sessions among those that won or lost; None if none did.

    A session without a return, as when nothing is held, is neither. Source: Bacon (2008), ch. 3
    ("percentage gain ratio"), without sessions at 0.
    """
    series = _series(returns)
    decided = int(np.count_nonzero(series))
    return None if decided == 0 else int(np.count_nonzero(series > 0.0)) / decided


def annualised_turnover(turnover: ArrayLike) -> float:
    """252 times the mean absolute change of position per session; 2 is one round trip a year."""
    series = _series(turnover)
    return 0.0 if len(series) == 0 else SESSIONS_PER_YEAR * float(series.mean())


def _defined_sharpe(series: FloatArray) -> float | None:
    """The Sharpe ratio; None for one session, and for a return that never changes and is not 0."""
    ratio = sharpe_ratio(series)
    if len(series) < 2 or (ratio == 0.0 and float(series.mean()) != 0.0):
        return None
    return _finite(ratio)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _series(values: ArrayLike) -> FloatArray:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"expected one series of shape (T,), found shape {series.shape}")
    return series
