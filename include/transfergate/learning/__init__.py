"""Learning: stacked policy networks, exact policy gradients, resumable stacked training."""

from transfergate.learning.checkpoint import Checkpoint
from transfergate.learning.networks import (
    Weights,
    are_finite,
    encode,
    frozen_parameters,
    head_logits,
    init_weights,
    n_models,
    parameter_group,
    select_models,
    stack_models,
)
from transfergate.learning.sampling import TrainingSlice
from transfergate.learning.scoring import Scored, next_targets, score_greedy
from transfergate.learning.state import StackPlan
from transfergate.learning.train import TrainingProgress, TrainingResult, train_stack

__all__ = [
    "Checkpoint",
    "Scored",
    "StackPlan",
    "TrainingProgress",
    "TrainingResult",
    "TrainingSlice",
    "Weights",
    "are_finite",
    "encode",
    "frozen_parameters",
    "head_logits",
    "init_weights",
    "n_models",
    "next_targets",
    "parameter_group",
    "score_greedy",
    "select_models",
    "stack_models",
    "train_stack",
]
