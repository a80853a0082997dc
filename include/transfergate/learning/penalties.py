"""What pulls on the weights besides the reward: every model has its own strengths.

Smooth and L1 penalties join the gradient. Weight decay and the group lasso act on the weights
after the step, apart from Adam's scaling: decoupled decay (Loshchilov & Hutter 2019) and the
proximal step of the group lasso (Yuan & Lin 2006; Simon et al. 2013), which reaches exact zeros.
"""

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
DECAYED = ("encoder.", "head.")
"""What weight decay acts on: matrices of the policy, not their biases."""


@dataclass(frozen=True)
class Penalties:
    """Strengths, one entry a model, (S,).

    Attributes:
        l1: On the absolute weights of the first layer, joins the gradient.
        pull: On the squared distance to the starting weights, joins the gradient.
        group: Length taken from each row of the first layer per unit of learning rate.
        decay: Share taken from every matrix per unit of learning rate.
    """

    l1: Tensor
    pull: Tensor
    group: Tensor
    decay: Tensor

    @classmethod
    def of(
        cls,
        choices: Sequence[Regularisation],
        device: torch.device,
        pulls: Sequence[float] | None = None,
    ) -> Penalties:
        """Strengths of each model's choice of the grid; ``pulls`` are added to its own pull."""
        more = pulls or (0.0,) * len(choices)

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        return cls(
            l1=column([choice.l1_first_layer for choice in choices]),
            pull=column([c.l2_pull + own for c, own in zip(choices, more, strict=True)]),
            group=column([choice.group_lasso for choice in choices]),
            decay=column([choice.weight_decay for choice in choices]),
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

    def shrink(self, weights: Weights, rates: Tensor, moved: Mapping[str, Tensor]) -> None:
        """Shrink what has just been stepped, in place: decay, then the group lasso.

        Args:
            weights: The models.
            rates: Learning rate of each model in this step, (S,).
            moved: Parameters that were stepped, by which factor of the rate, name -> (S,); what
                rests, 0, is not shrunk.
        """
        for name, factor in moved.items():
            weight = weights[name]
            if not name.startswith(DECAYED) or weight.shape[1] == 1:
                continue
            own = rates * factor
            weight.mul_(1.0 - per_model((own * self.decay).clamp_max(1.0), weight))
            if name == FIRST_LAYER:
                length = weight.norm(dim=-1, keepdim=True)
                cut = per_model(own * self.group, weight)
                weight.mul_((1.0 - cut / length.clamp_min(1e-12)).clamp_min(0.0))


def penalised(choices: Sequence[Regularisation], pulls: Sequence[float] | None = None) -> bool:
    """Whether anything pulls on the weights of any model."""
    return any(pulls or ()) or any(
        c.l1_first_layer or c.l2_pull or c.group_lasso or c.weight_decay for c in choices
    )
