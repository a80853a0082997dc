"""Learning curves of both arms, from the records of their folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.ledger import REQUIRED_ARMS

Floats = NDArray[np.float64]


def learning_data(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How each arm learned, over folds and in each of them.

    Folds that were trained with another budget than the last one are left out: their updates
    cannot be put on one axis.

    Args:
        records: Records of folds, oldest first; those without ``curves`` are left out.

    Returns:
        Per arm ``{"updates", "mean", "seeds", "kept", "training_updates", "training", "folds"}``;
        empty where nothing was recorded. ``updates`` (U,) is where validation was scored,
        ``mean`` (U,) its annualised Sharpe ratio over folds and seeds, ``seeds`` (K, U) each
        seed's mean over folds, ``kept`` the mean number of updates at which early stopping took
        the weights; ``training`` (B,) the objective in training, in basis points a session, mean
        over folds and seeds, at ``training_updates``. Each of ``folds`` has
        ``{"name", "seeds", "kept"}``, (K, U) and (K,).
    """
    found = {}
    for arm in REQUIRED_ARMS:
        curves = [
            (record.get("fold", ""), own)
            for record in records
            if (own := (record.get("arms") or {}).get(arm, {}).get("curves"))
            and own["updates"]
            and own["validation"]
        ]
        same = [item for item in curves if _shape(item[1]) == _shape(curves[-1][1])]
        if same:
            found[arm] = _arm(same)
    return found


def _shape(curves: Mapping[str, Any]) -> tuple[Any, ...]:
    return curves["updates"], curves["training_updates"], len(curves["validation"])


def _arm(folds: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    validation = np.array([own["validation"] for _, own in folds], dtype=np.float64)  # (F, K, U)
    training = np.array([own["training"] for _, own in folds], dtype=np.float64)
    last = folds[-1][1]
    return {
        "updates": last["updates"],
        "mean": _short(_mean(validation, (0, 1))),
        "seeds": [_short(row) for row in _mean(validation, (0,))],
        "kept": round(float(np.mean([own["best_updates"] for _, own in folds])), 1),
        "training_updates": last["training_updates"],
        "training": _short(1e4 * _mean(training, (0, 1)), 2),
        "folds": [
            {"name": name, "seeds": own["validation"], "kept": own["best_updates"]}
            for name, own in folds
        ],
    }


def _mean(values: Floats, axes: tuple[int, ...]) -> Floats:
    """Over some axes, without what is not a number; NaN where there is nothing else."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axes)
    count = known.sum(axes)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _short(values: Floats, digits: int = 3) -> list[float | None]:
    return [round(v, digits) + 0.0 if np.isfinite(v) else None for v in values.tolist()]
