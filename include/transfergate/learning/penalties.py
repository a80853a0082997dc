"""What pulls on the weights besides the reward: every model has its own strengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from transfergate.learning.adam import per_model
from transfergate.learning.networks import Weights
from transfergate.settings import Regularisation

FIRST_LAYER = "encoder.input"
"""The parameter whose rows belong to the features."""


@dataclass(frozen=True)
class Penalties:
    """Strengths, one entry a model, (S,).

    Attributes:
        l1: On the absolute weights of the first layer.
        pull: On the squared distance to the starting weights.
    """

    l1: Tensor
    pull: Tensor

    @classmethod
    def of(cls, choices: Sequence[Regularisation], device: torch.device) -> Penalties:
        """Strengths of each model's choice of the grid."""

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        return cls(
            l1=column([choice.l1_first_layer for choice in choices]),
            pull=column([choice.l2_pull for choice in choices]),
        )

    def part(self, models: slice) -> Penalties:
        """The same for some models."""
        return Penalties(*(getattr(self, field.name)[models] for field in fields(self)))

    def add_to(
        self, grads: Weights, weights: Mapping[str, Tensor], start: Mapping[str, Tensor]
    ) -> None:
        """Subtract the penalties' gradients from those of the objective, in place.

        Args:
            grads: Gradients of the objective (to be raised).
            weights: The models.
            start: Their starting weights.
        """
        for name, grad in grads.items():
            distance = weights[name] - start[name]
            grad.sub_(2.0 * per_model(self.pull, grad) * distance)
            if name == FIRST_LAYER:
                grad.sub_(per_model(self.l1, grad) * weights[name].sign())


def penalised(choices: Sequence[Regularisation]) -> bool:
    """Whether any model has a penalty at all."""
    return any(choice.l1_first_layer or choice.l2_pull for choice in choices)
