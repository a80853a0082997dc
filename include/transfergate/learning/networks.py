"""Stacked policy networks: parameters are tensors with a leading model axis S.

A model is a causal encoder over the features and a position head (``head.py``). Model s is a
function of its own seed and data alone; the stack only makes them cheap together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning import recurrent
from transfergate.learning.head import HeadTrace, HeadWeights, head_backward, head_forward
from transfergate.settings import NetworkParams

Weights = dict[str, Tensor]
"""Parameter name -> tensor (S, ...); names start with ``encoder.`` or ``head.``."""

GATES = {"gru": 3, "lstm": 4, "mlp": 1}
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

    def orthogonal(rows: int, columns: int, gain: float = 1.0) -> Tensor:
        weight = torch.empty(rows, columns)
        return torch.nn.init.orthogonal_(weight, gain, generator=generator)

    units, head, blocks = network.encoder_units, network.head_units, GATES[network.encoder]
    weights = {
        "encoder.input": torch.cat([orthogonal(n_features, units) for _ in range(blocks)], 1),
        "encoder.bias": torch.zeros(1, blocks * units),
    }
    if network.encoder != "mlp":
        weights["encoder.recurrent"] = torch.cat(
            [orthogonal(units, units) for _ in range(blocks)], 1
        )
    weights["head.hidden"] = orthogonal(units, head, math.sqrt(2.0))
    weights["head.position"] = 0.1 * torch.randn(n_positions, head, generator=generator)
    weights["head.output"] = orthogonal(head, n_positions, _LAST_LAYER_GAIN)
    weights["head.bias"] = torch.zeros(1, n_positions)
    return weights


def parameter_group(name: str) -> str:
    """Group of a parameter: ``encoder`` or ``head``."""
    return name.split(".", 1)[0]


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
    """What ``backward`` needs of one ``forward``; kept sessions are those with a gradient."""

    encoder: recurrent.RecurrentTrace | _MlpTrace
    head: HeadTrace
    kept: int


@dataclass(frozen=True)
class _MlpTrace:
    inputs: Tensor
    states: Tensor


def _encode(
    weights: Mapping[str, Tensor], network: NetworkParams, x: Tensor, grad: range
) -> tuple[Tensor, recurrent.RecurrentTrace | _MlpTrace]:
    # x (S, T, B, F) -> states (S, T, B, H); column t depends on columns up to t only.
    weight, bias = weights["encoder.input"], weights["encoder.bias"]
    if network.encoder == "mlp":
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        states = torch.baddbmm(bias, flat, weight).tanh_().view(*x.shape[:3], -1)
        kept = slice(grad.start, grad.stop)
        return states, _MlpTrace(x[:, kept], states[:, kept])
    run = recurrent.gru_forward if network.encoder == "gru" else recurrent.lstm_forward
    return run(x, weight, weights["encoder.recurrent"], bias, grad)


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
    states, _ = _encode(weights, network, x.transpose(1, 2), range(0))
    return states.transpose(1, 2)


def head_logits(weights: Mapping[str, Tensor], h: Tensor) -> Tensor:
    """Logits (S, ..., P(previous), P(action)) of hidden states (S, ..., H)."""
    models, units = h.shape[0], h.shape[-1]
    logits, _ = head_forward(_head(weights), h.reshape(models, -1, units))
    return logits.permute(0, 2, 3, 1).reshape(*h.shape[:-1], *logits.shape[-1:], -1)


def forward(
    weights: Mapping[str, Tensor], network: NetworkParams, x: Tensor, burn_in: int, kept: int
) -> tuple[Tensor, Trace]:
    """Evaluate policies for training.

    Args:
        weights: S stacked models.
        network: Their network.
        x: (S, T, B, F), sessions before paths.
        burn_in: Leading sessions that are encoded only.
        kept: Sessions after those for which ``backward`` will be called.

    Returns:
        Logits (S, A, T - burn_in, B, P) and the trace.
    """
    grad = range(burn_in, burn_in + kept)
    states, encoder = _encode(weights, network, x, grad)
    models, _, paths, units = states.shape
    flat = states[:, burn_in:].reshape(models, -1, units)
    logits, head = head_forward(_head(weights), flat)
    return logits.view(*logits.shape[:2], -1, paths, logits.shape[3]), Trace(encoder, head, kept)


def backward(trace: Trace, grad_logits: Tensor, *, encoder: bool = True) -> Weights:
    """Gradients of all parameters for ``grad_logits`` (S, A, kept, B, P).

    The states before the kept sessions count as given (truncated back-propagation).

    Args:
        trace: Of ``forward``.
        grad_logits: Gradient of the objective by the kept sessions' logits.
        encoder: False leaves the encoder's gradients out.
    """
    models, actions, kept, paths, positions = grad_logits.shape
    flat = grad_logits.reshape(models, actions, kept * paths, positions)
    head, by_states = head_backward(trace.head, flat)
    grads = {
        "head.hidden": head.hidden,
        "head.position": head.position,
        "head.output": head.output,
        "head.bias": head.bias,
    }
    if not encoder:
        return grads
    by_states = by_states.view(models, kept, paths, -1)
    if isinstance(trace.encoder, _MlpTrace):
        by_pre = (by_states * (1.0 - trace.encoder.states**2)).flatten(1, 2)
        inputs = trace.encoder.inputs.flatten(1, 2)
        grads["encoder.input"] = torch.bmm(inputs.transpose(1, 2), by_pre)
        grads["encoder.bias"] = by_pre.sum(1, keepdim=True)
        return grads
    gru = "reset" in trace.encoder.gates
    run = recurrent.gru_backward if gru else recurrent.lstm_backward
    weight, again, bias = run(trace.encoder, by_states)
    return {
        **grads,
        "encoder.input": weight,
        "encoder.recurrent": again,
        "encoder.bias": bias,
    }
