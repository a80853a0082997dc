"""State values for the algorithms that need them: parameters ``critic.*`` beside the policy's.

The critic has the head's form with one output: ``v[k] = tanh(h W + e_k) u + c`` for every previous
position k. It reads the encoder's states and never back-propagates into them: its loss, on noisy
returns, would swamp the policy's. It is used in training only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from transfergate.learning.head import HeadTrace, HeadWeights, head_backward, head_forward
from transfergate.learning.networks import Weights
from transfergate.settings import OptimiserParams

PREFIX = "critic."
NOT_POLICY = (PREFIX, "adversary.")
"""Parameters that only training uses."""
_PARTS = ("hidden", "position", "output", "bias")
_LAST_LAYER_GAIN = 0.01
_OTHER_STREAM = 0x5DEECE66D


def with_critic(
    weights: Mapping[str, Tensor], optimiser: OptimiserParams, seeds: Sequence[int]
) -> Weights:
    """Add freshly drawn critics where the algorithm needs them and there are none.

    Args:
        weights: S stacked policies; unchanged.
        optimiser: Names the algorithm and the critic's size.
        seeds: One a model: its critic depends on it alone, so paired arms start with equal ones.
    """
    units = critic_units(optimiser)
    if units is None or any(name.startswith(PREFIX) for name in weights):
        return dict(weights)
    hidden, positions = weights["head.hidden"].shape[1], weights["head.position"].shape[1]
    models = [_one_critic(hidden, positions, units, seed) for seed in seeds]
    device = weights["head.hidden"].device
    drawn = {name: torch.stack([m[name] for m in models]).to(device) for name in models[0]}
    return {**weights, **drawn}


def critic_units(optimiser: OptimiserParams) -> int | None:
    """Units of the critic that the algorithm needs; None if it needs none."""
    if optimiser.algorithm in ("ppo", "a2c"):
        return optimiser.sampled.critic_units
    if optimiser.algorithm == "dqn" and optimiser.dqn.dueling:
        return optimiser.dqn.value_units
    return None


def _one_critic(hidden: int, positions: int, units: int, seed: int) -> Weights:
    generator = torch.Generator().manual_seed(seed ^ _OTHER_STREAM)

    def orthogonal(rows: int, columns: int, gain: float) -> Tensor:
        weight = torch.empty(rows, columns)
        return torch.nn.init.orthogonal_(weight, gain, generator=generator)

    return {
        "critic.hidden": orthogonal(hidden, units, math.sqrt(2.0)),
        "critic.position": 0.1 * torch.randn(positions, units, generator=generator),
        "critic.output": orthogonal(units, 1, _LAST_LAYER_GAIN),
        "critic.bias": torch.zeros(1, 1),
    }


def policy_of(weights: Mapping[str, Tensor]) -> Weights:
    """The policy's parameters: all that scoring needs."""
    return {name: value for name, value in weights.items() if not name.startswith(NOT_POLICY)}


def critic_size(weights: Mapping[str, Tensor]) -> int:
    """Numbers in one model's critic."""
    return sum(value[0].numel() for name, value in weights.items() if name.startswith(PREFIX))


def fresh_memory(start: Mapping[str, Tensor], optimiser: OptimiserParams) -> Weights:
    """What the algorithm remembers apart from weights and moments: DQN's target network."""
    if optimiser.algorithm != "dqn":
        return {}
    return {name: value.clone() for name, value in start.items()}


def values_of(weights: Mapping[str, Tensor], states: Tensor) -> tuple[Tensor, HeadTrace]:
    """Values (S, M, P) of states (S, M, H) for every previous position, and their trace."""
    head = HeadWeights(*(weights[PREFIX + part] for part in _PARTS))
    values, trace = head_forward(head, states)
    return values.squeeze(1), trace


def value_gradients(trace: HeadTrace, by_values: Tensor) -> Weights:
    """Gradients of ``critic.*`` for ``by_values`` (S, M, P), of the trace's first M states."""
    grads, _ = head_backward(trace, by_values.unsqueeze(1))
    return {PREFIX + part: getattr(grads, part) for part in _PARTS}
