"""Stacked policy networks: parameters are tensors with a leading model axis S.

A model is a causal encoder over the features and a position head (``head.py``). Model s is a
function of its own seed and data alone; the stack only makes them cheap together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning.encoders import ENCODERS, Draw, EncoderTrace
from transfergate.learning.head import HeadTrace, HeadWeights, head_backward, head_forward
from transfergate.settings import NetworkParams

Weights = dict[str, Tensor]
"""Parameter name -> tensor (S, ...); names start with ``encoder.`` or ``head.``."""

Strategy = Literal["head", "partial", "full", "discriminative"]
"""What a fine-tuning moves: see ``frozen_parameters``."""

_LAST_LAYER_GAIN = 0.01


def init_weights(
    network: NetworkParams, n_features: int, n_positions: int, seeds: Sequence[int]
) -> Weights:
    """Draw S models; model s depends on ``seeds[s]`` alone.

    Orthogonal matrices, block by block; zero biases; a small last layer, so that every policy
    starts near uniform.

    Returns:
        CPU float32 tensors with leading axis ``len(seeds)``.
    """
    models = [_one_model(network, n_features, n_positions, seed) for seed in seeds]
    return {name: torch.stack([model[name] for model in models]) for name in models[0]}


def _one_model(network: NetworkParams, n_features: int, n_positions: int, seed: int) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    draw, units, head = Draw(generator), network.encoder_units, network.head_units
    weights = ENCODERS[network.encoder].init(network, n_features, draw)
    weights["head.hidden"] = draw.orthogonal(units, head, math.sqrt(2.0))
    weights["head.position"] = 0.1 * torch.randn(n_positions, head, generator=generator)
    weights["head.output"] = draw.orthogonal(head, n_positions, _LAST_LAYER_GAIN)
    weights["head.bias"] = torch.zeros(1, n_positions)
    return weights


def parameter_group(name: str) -> str:
    """Group of a parameter: ``encoder`` or ``head``."""
    return name.split(".", 1)[0]


def frozen_parameters(strategy: Strategy, network: NetworkParams) -> frozenset[str]:
    """Groups and names that rest under a transfer strategy, as ``StackPlan.frozen_groups`` wants.

    ``full`` and ``discriminative`` train everything; ``partial`` rests the encoder's lower part
    (its first layer, or the lower half of a deep encoder: each encoder says which); ``head`` rests
    the whole encoder.
    """
    if strategy == "head":
        return frozenset({"encoder"})
    if strategy == "partial":
        return ENCODERS[network.encoder].lower(network)
    return frozenset()


def are_finite(weights: Mapping[str, Tensor]) -> bool:
    """Whether every parameter of every model is a number."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


def n_models(weights: Weights) -> int:
    """Number of stacked models S."""
    return int(next(iter(weights.values())).shape[0])


def select_models(weights: Weights, indices: Sequence[int] | Tensor) -> Weights:
    """Copy some models, in the given order, repeats allowed."""
    chosen = torch.as_tensor(indices, dtype=torch.long)
    return {name: value[chosen.to(value.device)] for name, value in weights.items()}


def stack_models(stacks: Sequence[Weights]) -> Weights:
    """Join stacks of models along the model axis.

    Raises:
        TrainingError: If the stacks have different parameters.
    """
    shapes = [{name: tuple(v.shape[1:]) for name, v in stack.items()} for stack in stacks]
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise TrainingError(
                f"stack {index}: its parameters differ from those of stack 0 (expected "
                f"{shapes[0]}, found {shape}); stack models of one network only"
            )
    return {name: torch.cat([stack[name] for stack in stacks]) for name in stacks[0]}


@dataclass(frozen=True)
class Trace:
    """What ``backward`` needs of one ``forward``; kept sessions are those with a gradient.

    Attributes:
        encoder: Of the encoder; None where its states came from elsewhere.
        head: Of the head.
        kept: Sessions with a gradient.
        dropout: Mask (S, 1, B, H) on the states, or None.
    """

    encoder: EncoderTrace | None
    head: HeadTrace
    kept: int
    dropout: Tensor | None = None


def _head(weights: Mapping[str, Tensor]) -> HeadWeights:
    return HeadWeights(
        weights["head.hidden"],
        weights["head.position"],
        weights["head.output"],
        weights["head.bias"],
    )


def encode(weights: Mapping[str, Tensor], network: NetworkParams, x: Tensor) -> Tensor:
    """Encode paths causally, from a zero state.

    Args:
        weights: S stacked models.
        network: Their network.
        x: Features (S, B, T, F).

    Returns:
        Hidden states (S, B, T, H).
    """
    encoder = ENCODERS[network.encoder]
    states, _ = encoder.forward(weights, network, x.transpose(1, 2), range(0))
    return states.transpose(1, 2)


def head_logits(weights: Mapping[str, Tensor], h: Tensor) -> Tensor:
    """Logits (S, ..., P(previous), P(action)) of hidden states (S, ..., H)."""
    models, units = h.shape[0], h.shape[-1]
    logits, _ = head_forward(_head(weights), h.reshape(models, -1, units))
    return logits.permute(0, 2, 3, 1).reshape(*h.shape[:-1], *logits.shape[-1:], -1)


def forward(
    weights: Mapping[str, Tensor],
    network: NetworkParams,
    x: Tensor,
    burn_in: int,
    kept: int,
    *,
    dropout: Tensor | None = None,
) -> tuple[Tensor, Trace]:
    """Evaluate policies for training.

    Args:
        weights: S stacked models.
        network: Their network.
        x: (S, T, B, F), sessions before paths.
        burn_in: Leading sessions that are encoded only.
        kept: Sessions after those for which ``backward`` will be called.
        dropout: Mask (S, 1, B, H) of ``dropout.dropout_mask``, which multiplies the states.

    Returns:
        Logits (S, A, T - burn_in, B, P) and the trace.
    """
    grad = range(burn_in, burn_in + kept)
    states, encoder = ENCODERS[network.encoder].forward(weights, network, x, grad)
    return forward_states(weights, states[:, burn_in:], kept, encoder=encoder, dropout=dropout)


def forward_states(
    weights: Mapping[str, Tensor],
    states: Tensor,
    kept: int,
    *,
    encoder: EncoderTrace | None = None,
    dropout: Tensor | None = None,
) -> tuple[Tensor, Trace]:
    """Evaluate the heads on states that are known already; as ``forward``.

    Args:
        weights: S stacked models.
        states: (S, D, B, H), without the burn-in.
        kept: Leading sessions for which ``backward`` will be called.
        encoder: Trace of the encoder that gave the states, if its gradients are wanted.
        dropout: As in ``forward``.
    """
    if dropout is not None:
        states = states * dropout
    models, _, paths, units = states.shape
    logits, head = head_forward(_head(weights), states.reshape(models, -1, units))
    shaped = logits.view(*logits.shape[:2], -1, paths, logits.shape[3])
    return shaped, Trace(encoder, head, kept, dropout)


def backward(
    trace: Trace, grad_logits: Tensor, *, encoder: bool = True, by_states: Tensor | None = None
) -> Weights:
    """Gradients of all parameters for ``grad_logits`` (S, A, kept, B, P).

    The states before the kept sessions count as given (truncated back-propagation).

    Args:
        trace: Of ``forward``.
        grad_logits: Gradient of the objective by the kept sessions' logits.
        encoder: False leaves the encoder's gradients out.
        by_states: Gradient by the kept states (S, kept, B, H), after dropout, of a further term of
            the objective, such as an adversary's.
    """
    models, actions, kept, paths, positions = grad_logits.shape
    flat = grad_logits.reshape(models, actions, kept * paths, positions)
    head, by_head = head_backward(trace.head, flat)
    grads = {
        "head.hidden": head.hidden,
        "head.position": head.position,
        "head.output": head.output,
        "head.bias": head.bias,
    }
    if not encoder or trace.encoder is None:
        return grads
    by_head = by_head.view(models, kept, paths, -1)
    if by_states is not None:
        by_head = by_head + by_states
    if trace.dropout is not None:
        by_head = by_head * trace.dropout
    return {**grads, **trace.encoder.backward(by_head)}
