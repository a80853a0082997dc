"""Figures of a sizing curve: Sharpe ratios and differences with the gate's own standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.gate.statistic import (
    seed_variance,
    sharpe_difference,
    sharpe_influence,
    standard_error,
)
from transfergate.evaluation.metrics import sharpe_ratio
from transfergate.evaluation.splits import Fold
from transfergate.learning import Weights, select_models
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams
from transfergate.transfer.scoring import reference_paths, test_window
from transfergate.transfer.sizing import Curve

FloatArray = NDArray[np.float64]

_Z90 = NormalDist().inv_cdf(0.95)


def fold_sessions(folds: Sequence[Fold]) -> list[NDArray[np.int64]]:
    """Indices of each fold's sessions in the stitched record."""
    edges = np.cumsum([0, *(test_window(fold).sessions for fold in folds)])
    return [np.arange(first, stop) for first, stop in pairwise(edges.tolist())]


def describe_curve(curve: Curve, sessions: Sequence[NDArray[np.int64]]) -> dict[str, Any]:
    """Sharpe ratio of the seed mean with both standard errors of the gate."""
    mean = curve.returns.mean(axis=0)
    nothing = np.zeros_like(curve.returns)
    variance = seed_variance(curve.returns, nothing, sessions)
    if len(curve.returns) == 1:
        variance /= 2.0  # what is assumed of a single seed is that of a difference of two
    return {
        **_estimate(
            "sharpe",
            sharpe_ratio(mean),
            standard_error(sharpe_influence(mean).influence),
            sqrt(variance),
        ),
        "flat_choices": curve.flat_choices,
        "flat_fold_seeds": curve.flat_fold_seeds,
        "fold_seeds": len(sessions) * len(curve.returns),
        "models": curve.models,
        "env_steps": curve.env_steps,
    }


def describe_difference(
    curve: Curve, scratch: Curve, sessions: Sequence[NDArray[np.int64]]
) -> dict[str, Any]:
    """Fine-tuned less from scratch on equal seeds and sessions, as the gate measures it."""
    found = sharpe_difference(curve.returns.mean(axis=0), scratch.returns.mean(axis=0))
    se_seed = sqrt(seed_variance(curve.returns, scratch.returns, sessions))
    return _estimate("delta_sharpe", found.delta, found.se_time, se_seed)


def _estimate(name: str, value: float, se_time: float, se_seed: float) -> dict[str, float]:
    se = hypot(se_time, se_seed)
    return {
        name: value,
        "se_time": se_time,
        "se_seed": se_seed,
        "se": se,
        "low": value - _Z90 * se,
        "high": value + _Z90 * se,
    }


def references(
    panel: Panel,
    folds: Sequence[Fold],
    foundations: Weights,
    *,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
) -> dict[str, Any]:
    """Zero-shot, ridge-linear and buy-and-hold on the same sessions, all history at hand."""
    parts: dict[str, list[FloatArray]] = {"zero_shot": [], "ridge": [], "buy_hold": []}
    for number, fold in enumerate(folds):
        paths = reference_paths(
            panel,
            fold,
            select_models(foundations, [number]),
            market,
            network,
            burn_in=burn_in,
            seed_parts=("sizing",),
        )
        for name, own in parts.items():
            own.append(paths[name].net_return)
    found = {}
    for name, own in parts.items():
        series = np.concatenate(own)
        error = standard_error(sharpe_influence(series).influence)
        found[name] = _estimate("sharpe", sharpe_ratio(series), error, 0.0)
    return found
