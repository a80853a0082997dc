"""Adam over stacked models: every model has its own rate, gradient norm and frozen parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.learning.networks import Weights, parameter_group

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-5


@dataclass(frozen=True)
class AdamState:
    """First and second moments by parameter name, in the parameters' shapes."""

    first: Weights
    second: Weights

    @classmethod
    def zeros(cls, weights: Mapping[str, Tensor]) -> AdamState:
        """Moments before the first step."""
        return cls(
            {name: torch.zeros_like(w) for name, w in weights.items()},
            {name: torch.zeros_like(w) for name, w in weights.items()},
        )

    def part(self, models: slice) -> AdamState:
        """Views of some models' moments."""
        return AdamState(part(self.first, models), part(self.second, models))


def part(weights: Mapping[str, Tensor], models: slice) -> Weights:
    """Views of some models."""
    return {name: value[models] for name, value in weights.items()}


def per_model(values: Tensor, like: Tensor) -> Tensor:
    """Shape ``values`` (S,) so that they broadcast over ``like`` (S, ...)."""
    return values.view(-1, *([1] * (like.dim() - 1)))


def trainable_masks(
    names: Sequence[str], frozen: Sequence[frozenset[str]], device: torch.device
) -> dict[str, Tensor]:
    """Which models train each parameter.

    Args:
        names: Parameter names.
        frozen: Per model: groups (``encoder``) or single names (``encoder.input``) at rest.
        device: Where the masks lie.

    Returns:
        Name -> float (S,), 1 where it trains, 0 where it rests.
    """
    return {
        name: torch.tensor(
            [float(not {name, parameter_group(name)} & rest) for rest in frozen], device=device
        )
        for name in names
    }


def silence(grads: Weights, masks: Mapping[str, Tensor]) -> None:
    """Set the gradients of parameters at rest to 0, in place; ``masks`` as by trainable_masks."""
    for name, grad in grads.items():
        grad.mul_(per_model(masks[name], grad))


def clip_per_model(grads: Weights, limit: float) -> Tensor:
    """Scale each model's gradient, in place, to a norm of at most ``limit``.

    Returns:
        The norms before, (S,).
    """
    squares = [grads[name].flatten(1).square().sum(1) for name in sorted(grads)]
    norm = torch.stack(squares).sum(0).sqrt()
    factor = (limit / (norm + 1e-6)).clamp_max(1.0)
    for grad in grads.values():
        grad.mul_(per_model(factor, grad))
    return norm


def ascend(
    weights: Mapping[str, Tensor],
    grads: Mapping[str, Tensor],
    state: AdamState,
    rates: Tensor,
    step: int,
    factors: Mapping[str, Tensor] | None = None,
) -> None:
    """Take one step uphill, in place; where every gradient was 0, nothing moves.

    Args:
        weights: Parameters, changed in place.
        grads: Gradients of the objective (to be raised).
        state: Moments, changed in place.
        rates: Learning rate of each model, (S,).
        step: Number of this step, from 1.
        factors: On each model's rate, by parameter, name -> (S,); None for none.
    """
    correction = (1.0 - _BETA2**step) ** 0.5 / (1.0 - _BETA1**step)
    names, uphill = list(grads), list(grads.values())
    first, second = [state.first[n] for n in names], [state.second[n] for n in names]
    torch._foreach_lerp_(first, uphill, 1.0 - _BETA1)
    torch._foreach_mul_(second, _BETA2)
    torch._foreach_addcmul_(second, uphill, uphill, 1.0 - _BETA2)
    roots = torch._foreach_sqrt(second)
    torch._foreach_add_(roots, _EPS * (1.0 - _BETA2**step) ** 0.5)
    change = torch._foreach_div(first, roots)
    plain = rates * correction
    own = [plain if factors is None else rates * factors[n] * correction for n in names]
    torch._foreach_mul_(change, [per_model(o, c) for o, c in zip(own, change, strict=True)])
    torch._foreach_add_([weights[n] for n in names], change)
