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
from scipy.special import ndtr

FloatArray = NDArray[np.float64]

MIN_POOL = 8
MU_SPREAD = 0.5
TAU_SPREAD = 0.5
MAX_CORRELATION = 0.999
"""Of tickers that are copies of each other."""
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
        correlation: Of their errors, in [0, 1]; at 1 the model has no density, and it is taken
            as :data:`MAX_CORRELATION`.
        delta_min: Smallest difference that matters.
    """
    correlation = min(correlation, MAX_CORRELATION)
    means, variances, log_weights, mus = [], [], [], []
    for tau in TAU_GRID:
        given = _given_tau(delta, se, correlation, float(tau))
        means.append(given.mean)
        variances.append(given.variance)
        mus.append(given.mu)
        log_weights.append(given.log_likelihood - tau**2 / (2.0 * TAU_SPREAD**2))
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


@dataclass(frozen=True)
class _Conditional:
    """The normal posterior for one tau; arrays have shape (N,)."""

    mean: FloatArray
    variance: FloatArray
    mu: float
    log_likelihood: float


def _given_tau(delta: FloatArray, se: FloatArray, correlation: float, tau: float) -> _Conditional:
    """Posterior of theta and mu given tau, in O(N).

    The covariance of delta is diagonal plus two outer products, A + U C U' with A = diag(tau^2 +
    (1-r) se^2), U = [1, se] and C = diag(0.5^2, r), so that its inverse and determinant need a
    2 x 2 matrix only. Source: Woodbury's identity and the matrix determinant lemma (Harville
    1997, Matrix Algebra from a Statistician's Perspective, ch. 18).
    """
    n, mu_variance = len(delta), MU_SPREAD**2
    inverse = 1.0 / (tau**2 + (1.0 - correlation) * np.square(se))
    columns = np.stack((np.ones(n), se), axis=1)
    spread = np.diag((mu_variance, correlation))
    weighted = inverse[:, None] * columns
    inner = np.eye(2) + spread @ (columns.T @ weighted)
    middle = np.linalg.solve(inner, spread)
    solved = inverse * delta - weighted @ (middle @ (weighted.T @ delta))
    ones = inverse - weighted @ (middle @ weighted.sum(axis=0))
    diagonal = inverse - np.einsum("ij,jk,ik->i", weighted, middle, weighted)
    explained = mu_variance**2 * ones.sum() + 2.0 * mu_variance * tau**2 * ones + tau**4 * diagonal
    log_determinant = float(np.linalg.slogdet(inner)[1]) - float(np.log(inverse).sum())
    return _Conditional(
        mean=mu_variance * solved.sum() + tau**2 * solved,
        variance=np.maximum(mu_variance + tau**2 - explained, 1e-18),
        mu=mu_variance * float(solved.sum()),
        log_likelihood=-0.5 * (float(delta @ solved) + log_determinant),
    )
