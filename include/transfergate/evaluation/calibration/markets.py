"""Markets of the calibration worlds: AR(p) returns with GARCH(1,1) volatility and t5 innovations.

With innovations ``e_t`` that are standardised t with 5 degrees of freedom, 30 % of their variance
common to all tickers of a market::

    z_t     = clip(sum_j phi_j z_{t-j} + sqrt(1 - sum phi_j^2) e_t, -8, 8)
    r_t     = sqrt(h_t) z_t,      h_{t+1} = 0.02 + 0.08 min(r_t^2, 50 h_t) + 0.9 h_t
    returns = 0.015 r_t

Sources: Box & Jenkins (1970) for the autoregression, Bollerslev (1987) for GARCH with t
innovations, doi:10.2307/1925546.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

BURN_IN = 80
N_LAGS = 10
DEGREES_OF_FREEDOM = 5.0
COMMON_SHARE = 0.3
DAILY_VOLATILITY = 0.015
MAX_Z = 8.0
MAX_FEATURE = 4.0
DECAY = 0.94


def draw_innovations(rng: np.random.Generator, n_tickers: int, n_sessions: int) -> FloatArray:
    """Unit-variance innovations of one market, burn-in included: (tickers, BURN_IN + sessions)."""
    df, n = DEGREES_OF_FREEDOM, n_sessions + BURN_IN
    unit = np.sqrt((df - 2.0) / df)
    own = rng.standard_t(df, (n_tickers, n)) * unit
    common = rng.standard_t(df, (1, n)) * unit
    return np.asarray(np.sqrt(COMMON_SHARE) * common + np.sqrt(1.0 - COMMON_SHARE) * own)


def market_returns(innovations: FloatArray, phi: Sequence[float]) -> FloatArray:
    """Simple daily returns of many series with the same AR coefficients.

    Args:
        innovations: From :func:`draw_innovations`, shape (..., BURN_IN + T).
        phi: AR coefficients, the last return's first.

    Returns:
        Shape (..., T).
    """
    shape = innovations.shape
    shocks = np.ascontiguousarray(innovations.reshape(-1, shape[-1]).T)
    shocks *= np.sqrt(1.0 - np.sum(np.square(phi)))
    z, r = np.zeros_like(shocks), np.zeros_like(shocks)
    h = np.ones(shocks.shape[1])
    for t in range(len(shocks)):
        expected = np.zeros_like(h)
        for lag in range(min(len(phi), t)):
            expected += phi[lag] * z[t - 1 - lag]
        z[t] = np.clip(expected + shocks[t], -MAX_Z, MAX_Z)
        r[t] = np.sqrt(h) * z[t]
        h = 0.02 + 0.08 * np.minimum(r[t] ** 2, 50.0 * h) + 0.9 * h
    returns = DAILY_VOLATILITY * r[BURN_IN:].T
    return np.ascontiguousarray(returns).reshape(*shape[:-1], -1)


def lagged_features(returns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What a learner sees before each session, and what it should have forecast.

    Args:
        returns: Shape (..., T).

    Returns:
        The last :data:`N_LAGS` returns over the volatility known before each (exponentially
        weighted, decay 0.94), clipped to +-4, shape (..., T, N_LAGS), 0 before the first; and
        the same ratio of the session itself, shape (..., T).
    """
    n = returns.shape[-1]
    flat = np.ascontiguousarray(returns.reshape(-1, n).T)
    volatility = np.full_like(flat, DAILY_VOLATILITY)
    for t in range(n - 1):
        volatility[t + 1] = np.sqrt(DECAY * volatility[t] ** 2 + (1.0 - DECAY) * flat[t] ** 2)
    ratio = np.clip(flat / volatility, -MAX_FEATURE, MAX_FEATURE).T.reshape(returns.shape)
    features = np.zeros((*returns.shape, N_LAGS))
    for lag in range(min(N_LAGS, n - 1)):
        features[..., lag + 1 :, lag] = ratio[..., : n - 1 - lag]
    return features, ratio
