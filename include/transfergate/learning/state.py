"""What a training run is asked to do, and all that it must remember between two updates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from transfergate.learning.adam import AdamState
from transfergate.learning.adversary import Adversary, with_adversary
from transfergate.learning.critic import fresh_memory, with_critic
from transfergate.learning.networks import Weights, n_models
from transfergate.learning.sampling import TrainingSlice
from transfergate.settings import OptimiserParams, Regularisation


@dataclass(frozen=True)
class StackPlan:
    """What each of the S models does; every tuple has S entries.

    Attributes:
        slices: Where it learns.
        seeds: Of its paths and input noise.
        learning_rates: At the start; they fall along a cosine.
        regularisations: Its choice of the grid.
        frozen_groups: Parameter groups (or single names) that do not train.
        layer_decays: Rate of each layer group / that of the group above it (see ``layers.py``);
            left out, all layers have one rate.
        pulls: L2 pull to the starting weights besides that of its regularisation; left out, none.
    """

    slices: tuple[TrainingSlice, ...]
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    regularisations: tuple[Regularisation, ...]
    frozen_groups: tuple[frozenset[str], ...]
    layer_decays: tuple[float, ...] = ()
    pulls: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        models = len(self.seeds)
        object.__setattr__(self, "layer_decays", self.layer_decays or (1.0,) * models)
        object.__setattr__(self, "pulls", self.pulls or (0.0,) * models)


@dataclass(frozen=True)
class Meter:
    """What each model has consumed, counted while it trains; int64 (S,) on the panel's device.

    Attributes:
        env_steps: Decisions with a loss on them, without burn-in and tail.
        updates: Gradient steps taken.
        last_session: Latest session (index in the panel) of which a return was read.
    """

    env_steps: Tensor
    updates: Tensor
    last_session: Tensor

    @classmethod
    def zeros(cls, models: int, device: torch.device) -> Meter:
        """Before the first update."""
        return cls(*(torch.zeros(models, dtype=torch.int64, device=device) for _ in range(3)))

    def count(self, models: slice, env_steps: int, updates: int, last_session: Tensor) -> None:
        """Add what one update of some models took, in place."""
        self.env_steps[models] += env_steps
        self.updates[models] += updates
        torch.maximum(self.last_session[models], last_session, out=self.last_session[models])


@dataclass
class TrainingState:
    """Everything that a checkpoint must hold to go on bit for bit.

    ``memory`` is what the algorithm remembers apart from weights and moments.
    """

    weights: Weights
    start: Weights
    adam: AdamState
    best: Weights
    best_score: Tensor
    best_update: Tensor
    objective: Tensor
    meter: Meter
    memory: Weights
    validation: list[Tensor] = field(default_factory=list)
    update: int = 0


def fresh_state(
    weights: Weights,
    optimiser: OptimiserParams,
    seeds: tuple[int, ...],
    device: torch.device,
    adversary: Adversary | None = None,
) -> TrainingState:
    """State before the first update; the weights are copied, completed by critic and adversary."""
    models = n_models(weights)
    weights = with_adversary(with_critic(weights, optimiser, seeds), adversary, seeds)
    start = {name: value.detach().to(device, copy=True) for name, value in weights.items()}
    return TrainingState(
        weights={name: value.clone() for name, value in start.items()},
        start=start,
        adam=AdamState.zeros(start),
        best={name: value.clone() for name, value in start.items()},
        best_score=torch.full((models,), -math.inf, device=device),
        best_update=torch.zeros(models, dtype=torch.int64, device=device),
        objective=torch.zeros(optimiser.n_updates, models, device=device),
        meter=Meter.zeros(models, device),
        memory=fresh_memory(start, optimiser),
    )
