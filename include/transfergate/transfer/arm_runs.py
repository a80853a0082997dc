"""What the training of one arm in one fold leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfergate.evaluation.splits import Fold
from transfergate.learning import Weights

FINETUNED, SCRATCH = "finetuned", "scratch"


@dataclass(frozen=True)
class ArmRun:
    """One arm in one fold: its K seeds at the grid's choice, and what that choice was made on.

    Attributes:
        choice: Index into the grid, or None for flat (``choosing.py``).
        validation_sharpe: Of the seed-mean validation returns, per grid choice, in grid order.
        weights: The K chosen models, stacked; those of the preferred choice even where flat is
            chosen.
        sessions: Sessions of the target ticker that training could read.
        env_steps: Environment steps of all trained models, counted while they trained.
        updates: Gradient updates of all trained models, counted likewise.
        trained_models: Models that trained for this arm: one per seed and choice.
        n_choices: Distinct choices among them.
        validations: Times that each was scored on validation after training had begun.
        last_session: Latest session (index in the panel) of which training read a return.
        parameters: Numbers in one model, those of its critic in training included.
        network: Hash of the names and shapes of its parameters.
        features: Number of inputs.
        costs: Basis points per unit of turnover, and timing, in which it traded.
        learning_curve: Validation Sharpe ratio at each validation, mean over seeds, of the choice.
        collapsed: Chosen models that hold nothing throughout validation; they count like all
            others, in every mean and in every error.
        validation_behind: By how many standard errors each choice is below the best in validation.
        choice_margin: How many of them an earlier choice may be below the best.
        curves: How each seed learned (``curves.learning_curves``).
    """

    arm: str
    fold: Fold
    seeds: tuple[int, ...]
    choice: int | None
    validation_sharpe: tuple[float, ...]
    weights: Weights
    sessions: int
    env_steps: int
    updates: int
    trained_models: int
    n_choices: int
    validations: int
    last_session: int
    parameters: int
    network: str
    features: int
    costs: tuple[float, str]
    learning_curve: tuple[float, ...]
    collapsed: int = 0
    validation_behind: tuple[float, ...] = ()
    choice_margin: float = 0.0
    curves: Mapping[str, Any] | None = None
