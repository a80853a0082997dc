"""How the models of one arm learned: a bounded number of points, for the record of their fold."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from transfergate.learning import TrainingResult

MAX_POINTS = 40
"""Points that are kept of a curve, so that a record stays small whatever the budget."""


def learning_curves(result: TrainingResult, models: list[int]) -> dict[str, Any]:
    """Scores on validation and the objective in training, per seed, of some models of a stack.

    Args:
        result: Of the whole stack.
        models: Indices of the seeds of one arm, fold and choice, in the order of the seeds.

    Returns:
        ``updates`` (U,) at which ``validation`` (K, U), annualised Sharpe ratios, was measured;
        ``best_updates`` (K,), at which early stopping took each seed's weights;
        ``training_updates`` (B,), the last of each block of updates, over which ``training``
        (K, B), expected log return per session while exploring, is averaged. Scores that are not
        finite are None. All numbers are rounded to 5 significant digits.
    """
    shown = _thinned(len(result.validation_updates))
    n_updates = len(result.objective)
    edges = np.unique(np.linspace(0, n_updates, min(n_updates, MAX_POINTS) + 1).astype(int))
    objective = result.objective[:, models].double().cpu()
    blocks = [objective[i:j].mean(0) for i, j in pairwise(edges.tolist())]
    validation = result.validation[:, models].double().cpu()[shown]
    return {
        "updates": [result.validation_updates[i] for i in shown],
        "validation": [[_short(value) for value in row] for row in validation.T.tolist()],
        "best_updates": result.best_update[models].tolist(),
        "training_updates": edges[1:].tolist(),
        "training": [[_short(value) for value in row] for row in torch.stack(blocks, 1).tolist()],
    }


def _thinned(n: int) -> list[int]:
    """At most ``MAX_POINTS`` of n indices, evenly spread, the first and the last among them."""
    spread = np.linspace(0, n - 1, min(n, MAX_POINTS)).round()
    return [int(i) for i in np.unique(spread)]


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None
