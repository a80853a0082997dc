"""Pooled evidence: many tickers' differences judged together by a hierarchical normal model.

delta_hat ~ N(theta, D((1-r)I + r 11')D) with D = diag(se) and r the mean correlation of the
tickers' influence series; theta_i = mu + tau eta_i, eta_i ~ N(0, 1), mu ~ N(0, 0.5^2),
tau ~ HalfNormal(0.5) on a grid. Given tau everything is normal, so the posterior is exact up to
the grid. Source: Gelman et al. (2013), Bayesian Data Analysis, ch. 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr

FloatArray = NDArray[np.float64]

MIN_POOL = 8
MU_SPREAD = 0.5
TAU_SPREAD = 0.5
TAU_GRID: FloatArray = np.concatenate(([0.0], np.linspace(0.05, 1.5, 20)))


@dataclass(frozen=True)
class Posterior:
    """What N tickers say together; arrays have shape (N,).

    Attributes:
        better: Pr(theta_i > delta_min).
        worse: Pr(theta_i < -delta_min).
        mean: Shrunken effect.
        spread: Its posterior standard deviation.
        mu: Posterior mean of the common effect.
        tau: Posterior mean of the spread between tickers.
        correlation: r, at least 0.
    """

    better: FloatArray
    worse: FloatArray
    mean: FloatArray
    spread: FloatArray
    mu: float
    tau: float
    correlation: float


def mean_correlation(influence: FloatArray) -> float:
    """Mean pairwise correlation of series of shape (N, T), at least 0."""
    n = len(influence)
    centred = influence - influence.mean(axis=1, keepdims=True)
    unit = centred / np.sqrt(np.square(centred).sum(axis=1, keepdims=True))
    total = float(np.square(unit.sum(axis=0)).sum())
    return max((total - n) / (n * (n - 1)), 0.0)


def pooled_posterior(
    delta: FloatArray, se: FloatArray, correlation: float, delta_min: float
) -> Posterior:
    """Combine the differences of N tickers.

    Args:
        delta: Estimated differences, shape (N,).
        se: Their standard errors, shape (N,), positive.
        correlation: Of their errors, in [0, 1).
        delta_min: Smallest difference that matters.
    """
    n = len(delta)
    noise = correlation * np.outer(se, se) + np.diag((1.0 - correlation) * np.square(se))
    means, variances, log_weights, mus = [], [], [], []
    for tau in TAU_GRID:
        prior = MU_SPREAD**2 * np.ones((n, n)) + tau**2 * np.eye(n)
        factor = cho_factor(prior + noise, lower=True)
        solved = cho_solve(factor, delta)
        gain = cho_solve(factor, prior)
        means.append(prior @ solved)
        variances.append(np.maximum(np.diag(prior) - np.einsum("ij,ij->j", prior, gain), 1e-18))
        mus.append(MU_SPREAD**2 * float(solved.sum()))
        log_determinant = 2.0 * float(np.log(np.diag(factor[0])).sum())
        log_weights.append(
            -0.5 * (float(delta @ solved) + log_determinant) - tau**2 / (2.0 * TAU_SPREAD**2)
        )
    weights = np.exp(np.asarray(log_weights) - max(log_weights))
    weights /= weights.sum()
    mean, variance = np.asarray(means), np.asarray(variances)
    sd = np.sqrt(variance)
    centre = weights @ mean
    return Posterior(
        better=weights @ ndtr((mean - delta_min) / sd),
        worse=weights @ ndtr((-delta_min - mean) / sd),
        mean=centre,
        spread=np.sqrt(weights @ (variance + np.square(mean - centre))),
        mu=float(weights @ np.asarray(mus)),
        tau=float(weights @ TAU_GRID),
        correlation=correlation,
    )
