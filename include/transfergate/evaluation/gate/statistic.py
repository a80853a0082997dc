"""The per-ticker statistic: difference of two Sharpe ratios and its two standard errors.

Everything is in annualised Sharpe units (one year has 252 sessions), with moments that divide
by T. Sources: Ledoit & Wolf (2008), Robust performance hypothesis testing with the Sharpe ratio
(the influence series); Andrews (1991) and Andrews & Monahan (1992) (kernel, bandwidth,
prewhitening).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from transfergate.evaluation.metrics import FLAT_RATIO, SESSIONS_PER_YEAR

FloatArray = NDArray[np.float64]

MAX_AUTOREGRESSION = 0.9
PARZEN_RATE = 2.6614
"""Andrews' constant for the Parzen kernel."""
SINGLE_SEED_SPREAD = 0.5
"""Assumed spread of a seed's annualised Sharpe ratio where one seed leaves nothing to measure."""
IDENTICAL_RATIO = 1e-9
"""Two arms whose influence series differ by less than this fraction are one arm but for scale."""


@dataclass(frozen=True)
class SharpeInfluence:
    """Daily Sharpe ratio of series along the last axis, and each session's influence on it.

    Attributes:
        sharpe: Mean over standard deviation, shape (...,); 0 where flat.
        influence: psi, shape (..., T); 0 where flat.
        risk_free: The series has no variance, shape (...,).
    """

    sharpe: FloatArray
    influence: FloatArray
    risk_free: NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """Difference of annualised Sharpe ratios, left minus right.

    Attributes:
        delta: Difference of annualised Sharpe ratios.
        influence: psi of the difference (daily), shape (T,).
        se_time: Standard error from the finite record, annualised.
        identical: The two series are the same but for scale (or both flat).
    """

    delta: float
    influence: FloatArray
    se_time: float
    identical: bool


def sharpe_influence(returns: FloatArray) -> SharpeInfluence:
    """Daily Sharpe ratios and their influence series.

    psi_t = g/v^1.5 (x_t - m) - m/(2 v^1.5) (x_t^2 - g), with m = mean x, g = mean x^2, v = g - m^2;
    with z_t = (x_t - m)/sqrt(v) that is z_t - m/(2 sqrt(v)) (z_t^2 - 1), which is what is computed.

    Args:
        returns: Simple net returns, shape (..., T).
    """
    n = returns.shape[-1]
    m = returns.sum(axis=-1, keepdims=True) / n
    z = returns - m
    v = np.einsum("...t,...t->...", z, z)[..., None] / n
    risk_free = v <= FLAT_RATIO * (v + m * m)
    scale = np.sqrt(np.where(risk_free, 1.0, v))
    sharpe = np.where(risk_free, 0.0, m / scale)
    z /= np.where(risk_free, np.inf, scale)
    influence = z - 0.5 * sharpe * (z * z - 1.0)
    return SharpeInfluence(sharpe[..., 0], influence, risk_free[..., 0])


def sharpe_difference(left: FloatArray, right: FloatArray) -> Difference:
    """Compare two series on the same sessions, each of shape (T,)."""
    both = sharpe_influence(np.stack((left, right)))
    influence = both.influence[0] - both.influence[1]
    size = float(np.abs(both.influence).max(initial=0.0))
    return Difference(
        delta=sqrt(SESSIONS_PER_YEAR) * float(both.sharpe[0] - both.sharpe[1]),
        influence=influence,
        se_time=standard_error(influence),
        identical=bool(np.abs(influence).max(initial=0.0) <= IDENTICAL_RATIO * size),
    )


def standard_error(influence: FloatArray) -> float:
    """Annualised standard error over time of the mean of an influence series, shape (T,)."""
    n = len(influence)
    return sqrt(SESSIONS_PER_YEAR * long_run_variance(influence) / n) if n else 0.0


def long_run_variance(series: FloatArray) -> float:
    """Long-run variance by the AR(1)-prewhitened Parzen kernel with Andrews' bandwidth.

    Args:
        series: A series with mean 0, shape (T,).
    """
    if len(series) < 3:
        return float(np.mean(np.square(series))) if len(series) else 0.0
    a = autoregression(series)
    residual = series[1:] - a * series[:-1]
    n = len(residual)
    r = autoregression(residual)
    bandwidth = PARZEN_RATE * (4.0 * r * r / (1.0 - r) ** 4 * n) ** 0.2
    total = float(residual @ residual)
    lags = np.arange(1, min(int(bandwidth), n // 3) + 1)
    for lag, weight in zip(lags, parzen(lags / bandwidth) if len(lags) else lags, strict=True):
        total += 2.0 * weight * float(residual[lag:] @ residual[:-lag])
    return max(total, 0.0) / ((n - 1) * (1.0 - a) ** 2)


def autoregression(series: FloatArray) -> float:
    """First autoregressive coefficient without constant, clipped to +-0.9; 0 for zeros."""
    past = float(series[:-1] @ series[:-1])
    if past == 0.0:
        return 0.0
    a = float(series[1:] @ series[:-1]) / past
    return min(max(a, -MAX_AUTOREGRESSION), MAX_AUTOREGRESSION)


def parzen(x: FloatArray) -> FloatArray:
    """Parzen's weights for lags as fractions of the bandwidth, 0 beyond 1."""
    inner = 1.0 - 6.0 * x**2 + 6.0 * x**3
    outer = 2.0 * np.clip(1.0 - x, 0.0, None) ** 3
    return np.where(x <= 0.5, inner, outer)


def seed_variance(
    finetuned: FloatArray, scratch: FloatArray, folds: Sequence[NDArray[np.int64]]
) -> float:
    """Variance of delta from the luck of training seeds, annualised.

    Per fold, the variance over seeds of the paired Sharpe difference, less what the seeds'
    different paths explain by themselves, over the number of seeds; folds are independent.

    Args:
        finetuned: Net returns, shape (K, T); seed k is paired with ``scratch[k]``.
        scratch: Net returns, shape (K, T).
        folds: Indices of each fold's sessions.
    """
    n_seeds, n_folds = len(finetuned), len(folds)
    if n_seeds == 1:
        return 2.0 * SINGLE_SEED_SPREAD**2 / n_folds
    both, total = np.stack((finetuned, scratch)), 0.0
    for length in sorted({len(fold) for fold in folds}):  # folds of one length at once
        sessions = np.stack([fold for fold in folds if len(fold) == length])
        found = sharpe_influence(both[:, :, sessions])  # (2, K, folds, sessions)
        influence = found.influence[0] - found.influence[1]
        spread = np.square(influence - influence.mean(axis=0)).sum(axis=(0, 2))
        sampling = spread / ((n_seeds - 1) * length**2)
        between = np.var(found.sharpe[0] - found.sharpe[1], axis=0, ddof=1)
        total += float(np.maximum(between - sampling, 0.0).sum())
    return SESSIONS_PER_YEAR * total / (n_seeds * n_folds**2)


def p_promote(delta: float, se: float, delta_min: float) -> float:
    """Probability of so large a difference if the true one were ``delta_min``."""
    return float(ndtr(_ratio(delta_min - delta, se)))


def p_reject(delta: float, se: float, delta_min: float) -> float:
    """Probability of so small a difference if the true one were ``-delta_min``."""
    return float(ndtr(_ratio(delta + delta_min, se)))


def minimum_detectable_effect(se: float, delta_min: float, alpha: float) -> float:
    """True difference that would be promoted with probability 0.80 on such a record."""
    return delta_min + se * float(ndtri(1.0 - alpha) + ndtri(0.80))


def correlation(left: FloatArray, right: FloatArray) -> float | None:
    """Correlation of two series of shape (T,); None if one has no risk."""
    both = np.stack((left, right))
    centred = both - both.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1)
    if (variance <= FLAT_RATIO * np.square(both).mean(axis=1)).any():
        return None
    scale = sqrt(float(variance[0])) * sqrt(float(variance[1]))
    return float(np.clip(np.mean(centred[0] * centred[1]) / scale, -1.0, 1.0))


def _ratio(difference: float, se: float) -> float:
    if se > 0.0:
        return difference / se
    return 0.0 if difference == 0.0 else float(np.copysign(np.inf, difference))
