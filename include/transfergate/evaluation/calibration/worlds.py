"""Worlds whose truth is planted: closed-form learners on AR markets, walk-forward, equal data.

The fine-tuned learner is a ridge regression shrunk to the weights that its seed's source market
taught; the from-scratch learner is the same regression, on the same resampled sessions, shrunk to
small random weights. A policy holds ``tanh(1.5 x . w / |w|)`` and pays no costs, so that only the
direction of its weights matters. Everything is drawn in a fixed order from one generator a cohort,
then computed for the whole cohort at once.

Source of the learners: Hoerl & Kennard (1970), doi:10.1080/00401706.1970.10488634.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.calibration.markets import (
    N_LAGS,
    FloatArray,
    draw_innovations,
    lagged_features,
    market_returns,
)

GAIN = 1.5
SCRATCH_SPREAD = 0.02
SOURCE_PENALTY = 10.0


@dataclass(frozen=True)
class World:
    """What the sources teach and what the targets obey.

    Attributes:
        source: AR coefficients of the source markets.
        target: AR coefficients of the target market.
        erosion: Noise in the fine-tuned weights relative to their size: what a bad fine-tuning
            destroys of its foundation. 0 in all worlds of :data:`WORLDS`.
        train_sessions: Of the targets, where the world has its own; None for the design's.
    """

    source: tuple[float, ...]
    target: tuple[float, ...]
    erosion: float = 0.0
    train_sessions: int | None = None


WORLDS: Mapping[str, World] = {
    "null": World((0.0,), (0.0,)),
    "irrelevant_source": World((0.25, 0.1), (0.0,)),
    "positive": World((0.25, 0.1), (0.25, 0.1)),
    "positive_weak": World((0.1,), (0.1,)),
    "negative": World((-0.25, -0.1), (0.25, 0.1)),
    "negative_weak": World((-0.1,), (0.1,)),
}
GUARD_WORLDS: Mapping[str, World] = {
    "eroded": World((0.25, 0.1), (0.25, 0.1), erosion=2.0, train_sessions=30),
}
"""Where the guard must work: the control has too little to learn from, so that fine-tuning beats
it although it destroys a Sharpe ratio of about 1 of what the foundation would earn untouched."""


@dataclass(frozen=True)
class Design:
    """Sizes of a cohort: tickers of one market, judged together.

    Attributes:
        n_tickers: Targets.
        n_seeds: K, each with a source market of its own.
        n_folds: Folds.
        test_sessions: Of each fold.
        train_sessions: The window right before each fold, less ``purge_sessions``.
        purge_sessions: Left out between training and test.
        penalty: Ridge penalty of both arms.
        source_tickers: In each source market.
        source_sessions: Of each source market.
    """

    n_tickers: int = 20
    n_seeds: int = 5
    n_folds: int = 8
    test_sessions: int = 63
    train_sessions: int = 120
    purge_sessions: int = 1
    penalty: float = 150.0
    source_tickers: int = 20
    source_sessions: int = 750

    @property
    def n_sessions(self) -> int:
        """Sessions of the target market."""
        return self.train_sessions + self.purge_sessions + self.n_folds * self.test_sessions


@dataclass(frozen=True)
class Cohort:
    """One draw of a world: net daily returns on the stitched test sessions.

    Attributes:
        arms: ``finetuned`` and ``scratch`` of shape (N, K, T), and the reference arms
            ``zero_shot``, ``buy_hold``, ``ridge``, ``random`` of shape (N, T).
        fold: Fold of each session, shape (T,).
    """

    arms: Mapping[str, FloatArray]
    fold: NDArray[np.int64]


@dataclass(frozen=True)
class _Draws:
    target: FloatArray
    sources: FloatArray
    resampled: NDArray[np.int64]
    scratch_start: FloatArray


def draw_cohort(rng: np.random.Generator, world: World, design: Design | None = None) -> Cohort:
    """Draw one cohort of a world and run all its arms walk-forward."""
    design = design or Design()
    if world.train_sessions is not None:
        design = replace(design, train_sessions=world.train_sessions)
    draws = _draw(rng, design)
    returns = market_returns(draws.target, world.target)
    x, y = lagged_features(returns)
    weights = _fit(x, y, draws, _source_weights(draws.sources, world), design)
    if world.erosion:
        size = np.linalg.norm(weights["finetuned"], axis=-1, keepdims=True) / np.sqrt(N_LAGS)
        noise = rng.standard_normal(weights["finetuned"].shape)
        weights["finetuned"] = weights["finetuned"] + world.erosion * size * noise
    test = slice(design.train_sessions + design.purge_sessions, None)
    by_fold = (design.n_tickers, design.n_folds, design.test_sessions)
    x_test, r_test = x[:, test].reshape(*by_fold, N_LAGS), returns[:, test].reshape(by_fold)
    arms = {}
    for arm, fitted in weights.items():
        series = _hold(x_test, fitted) * r_test[:, None]
        arms[arm] = series.reshape(design.n_tickers, fitted.shape[1], -1)
        if arm not in ("finetuned", "scratch"):
            arms[arm] = arms[arm][:, 0]
    arms["buy_hold"] = returns[:, test]
    arms["random"] = rng.integers(-1, 2, returns[:, test].shape) * returns[:, test]
    return Cohort(arms, np.repeat(np.arange(design.n_folds), design.test_sessions))


def _draw(rng: np.random.Generator, design: Design) -> _Draws:
    """Everything random, in the order that defines a cohort of a given generator."""
    n, k, f = design.n_tickers, design.n_seeds, design.n_folds
    window = design.train_sessions
    target = draw_innovations(rng, n, design.n_sessions)
    sources = np.stack(
        [draw_innovations(rng, design.source_tickers, design.source_sessions) for _ in range(k)]
    )
    resampled = np.empty((f, n, k, window), dtype=np.int64)
    start = np.empty((f, n, k, N_LAGS))
    for index in np.ndindex(f, n, k):
        first = index[0] * design.test_sessions
        resampled[index] = rng.integers(first, first + window, window)
        start[index] = rng.standard_normal(N_LAGS)
    return _Draws(target, sources, resampled, SCRATCH_SPREAD * start)


def _source_weights(innovations: FloatArray, world: World) -> FloatArray:
    """Weights that each source market teaches, shape (K, N_LAGS)."""
    x, y = lagged_features(market_returns(innovations, world.source))
    x, y = x.reshape(len(x), -1, N_LAGS), y.reshape(len(y), -1)
    gram, moment = x.swapaxes(-1, -2) @ x, np.einsum("krl,kr->kl", x, y)
    return _ridge(gram, moment, np.zeros(N_LAGS), SOURCE_PENALTY)


def _fit(
    x: FloatArray, y: FloatArray, draws: _Draws, taught: FloatArray, design: Design
) -> dict[str, FloatArray]:
    """Weights of every arm, shape (N, K, F, N_LAGS); references have one seed."""
    n, k, f = design.n_tickers, design.n_seeds, design.n_folds
    gram = np.empty((n, k, f, N_LAGS, N_LAGS))
    moment = np.empty((n, k, f, N_LAGS))
    plain_gram, plain_moment = np.empty_like(gram[:, :1]), np.empty_like(moment[:, :1])
    for ticker in range(n):
        rows = draws.resampled[:, ticker].swapaxes(0, 1)
        sample, wanted = x[ticker][rows], y[ticker][rows]
        gram[ticker] = sample.swapaxes(-1, -2) @ sample
        moment[ticker] = np.einsum("kfwl,kfw->kfl", sample, wanted)
        windows = np.arange(f)[:, None] * design.test_sessions + np.arange(design.train_sessions)
        sample, wanted = x[ticker][windows], y[ticker][windows]
        plain_gram[ticker, 0] = sample.swapaxes(-1, -2) @ sample
        plain_moment[ticker, 0] = np.einsum("fwl,fw->fl", sample, wanted)
    start = np.moveaxis(draws.scratch_start, 0, 2)
    return {
        "finetuned": _ridge(gram, moment, taught[None, :, None], design.penalty),
        "scratch": _ridge(gram, moment, start, design.penalty),
        "zero_shot": np.broadcast_to(taught.mean(axis=0), (n, 1, f, N_LAGS)),
        "ridge": _ridge(plain_gram, plain_moment, np.zeros(N_LAGS), design.penalty),
    }


def _ridge(gram: FloatArray, moment: FloatArray, centre: FloatArray, penalty: float) -> FloatArray:
    """Least squares with a quadratic pull to ``centre``; leading axes broadcast."""
    gap = moment - (gram @ np.broadcast_to(centre, moment.shape)[..., None])[..., 0]
    step = np.linalg.solve(gram + penalty * np.eye(N_LAGS), gap[..., None])[..., 0]
    return np.asarray(centre + step)


def _hold(x: FloatArray, weights: FloatArray) -> FloatArray:
    """Positions in [-1, 1], shape (N, K, F, T_f), of policies on features (N, F, T_f, N_LAGS)."""
    size = np.linalg.norm(weights, axis=-1, keepdims=True) + 1e-9
    return np.asarray(np.tanh(GAIN * np.einsum("nftl,nkfl->nkft", x, weights / size)))
