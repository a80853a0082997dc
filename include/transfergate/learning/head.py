"""The position head: from hidden states to a table of logits over (previous position, action).

The position enters late, so one evaluation of the encoder serves every previous position:
``logits[k, a] = tanh(h W + e_k) V + c``. Forward and backward are written out by hand; logits
lie action-first, ``(S, A, M, P)``, so that a softmax over actions runs along whole planes. Many
models are walked through in blocks that fit into the cache; no bit depends on the block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK_NUMBERS = 700_000
"""Sigmoids of one block of models: 2.8 MB, which measured fastest on an AMD EPYC."""

_DOUBLED = -2.0 / math.log(2.0)
"""``exp(-2 x)`` is ``exp2(_DOUBLED x)``, which takes less time."""

_HUGE = 1e30
"""Bound of exp(-2 e_k), and its inverse the other: no product is 0 times infinity."""

_STEEP = 34.0
"""Of |e_k|: just below where that bound holds (34.5); a model beyond it has no shortcut."""


@dataclass(frozen=True)
class HeadWeights:
    """S stacked heads: hidden (S, H, K), position (S, P, K), output (S, K, A), bias (S, 1, A)."""

    hidden: Tensor
    position: Tensor
    output: Tensor
    bias: Tensor

    def part(self, models: slice) -> HeadWeights:
        """Views of some models."""
        return HeadWeights(
            self.hidden[models], self.position[models], self.output[models], self.bias[models]
        )


@dataclass(frozen=True)
class HeadTrace:
    """What the backward pass needs: states (S, M, H) and sigmoids (S, M, P, K)."""

    states: Tensor
    sigmoids: Tensor
    weights: HeadWeights


def head_forward(weights: HeadWeights, states: Tensor) -> tuple[Tensor, HeadTrace]:
    """Evaluate the head for every previous position.

    Args:
        weights: S stacked heads with K units, P positions and A = P actions.
        states: (S, M, H).

    Returns:
        Logits (S, A, M, P), and the trace.
    """
    models, samples, _ = states.shape
    n_positions, units = weights.position.shape[1:]
    z = states.new_empty(models, samples, n_positions, units)
    logits = states.new_empty(models, weights.output.shape[2], samples * n_positions)
    one = states.new_ones(1)
    steep = (weights.position.abs().amax((1, 2)) > _STEEP).nonzero().flatten().tolist()
    for some in _blocks(z):
        part = weights.part(some)
        # tanh(x) = 2 sigmoid(2x) - 1, the 2 and the -1 go into the next product; and the sigmoid of
        # a sum, 1 / (1 + exp(-2 own) exp(-2 e_k)), takes one exponential for all positions.
        own = torch.bmm(states[some], part.hidden * _DOUBLED).exp2_()
        shift = (part.position * -2.0).exp_().clamp_(1.0 / _HUGE, _HUGE)
        torch.addcmul(one, own.unsqueeze(2), shift.unsqueeze(1), out=z[some])
        z[some].reciprocal_()
        for model in range(len(z))[some] if steep else ():
            if model in steep:
                own = states[model] @ weights.hidden[model] * 2.0
                torch.add(own.unsqueeze(1), weights.position[model] * 2.0, out=z[model])
                z[model].sigmoid_()
        flat = z[some].view(-1, samples * n_positions, units)
        shifted = (part.bias - part.output.sum(1, keepdim=True)).transpose(1, 2)
        output = (part.output * 2.0).transpose(1, 2).contiguous()  # else several times the time
        torch.bmm(output, flat.transpose(1, 2), out=logits[some])
        logits[some] += shifted
    return logits.view(models, -1, samples, n_positions), HeadTrace(states, z, weights)


def _blocks(z: Tensor) -> list[slice]:
    # Models whose sigmoids stay in the processor's cache from one operation to the next.
    models = len(z)
    size = models if z.is_cuda else max(1, _BLOCK_NUMBERS // max(1, z[0].numel()))
    return [slice(first, first + size) for first in range(0, models, size)]


def head_backward(trace: HeadTrace, grad_logits: Tensor) -> tuple[HeadWeights, Tensor]:
    """Back-propagate ``grad_logits`` (S, A, M, P), for the first M samples of the trace.

    Returns:
        Gradients of the weights, and of the states (S, M, H).
    """
    _, _, samples, _ = grad_logits.shape
    states, z = trace.states[:, :samples], trace.sigmoids[:, :samples]
    by_states = torch.empty_like(states, memory_format=torch.contiguous_format)
    parts = [
        _backward(trace.weights.part(m), states[m], z[m], grad_logits[m], by_states[m])
        for m in _blocks(z)
    ]
    names = ("hidden", "position", "output", "bias")
    joined = {n: [getattr(part, n) for part in parts] for n in names}
    grads = HeadWeights(*(v[0] if len(v) == 1 else torch.cat(v) for v in joined.values()))
    return grads, by_states


def _backward(
    weights: HeadWeights, states: Tensor, z: Tensor, grad_logits: Tensor, by_states: Tensor
) -> HeadWeights:
    # Of one block of models; writes the gradient of the states.
    models, n_actions, samples, n_positions = grad_logits.shape
    units = z.shape[-1]
    grad = grad_logits.reshape(models, n_actions, samples * n_positions)
    grad_bias = grad.sum(2).unsqueeze(1)
    flat = z.reshape(models, samples * n_positions, units)
    grad_output = torch.bmm(grad, flat).transpose(1, 2) * 2.0 - grad_bias
    by_tanh = torch.bmm(grad.transpose(1, 2), (weights.output * 4.0).transpose(1, 2))
    by_pre = torch.ops.aten.sigmoid_backward.grad_input(by_tanh, flat, grad_input=by_tanh)
    by_pre = by_pre.view(models, samples, n_positions, units)
    grad_position = by_pre.view(models, samples, -1).sum(1).view(models, n_positions, units)
    first, *rest = by_pre.unbind(2)
    by_own = first + rest[0] if rest else first.clone()  # a sum over the axis takes twice the time
    for more in rest[1:]:
        by_own.add_(more)
    grad_hidden = torch.bmm(states.transpose(1, 2), by_own)
    torch.bmm(by_own, weights.hidden.transpose(1, 2), out=by_states)
    return HeadWeights(grad_hidden, grad_position, grad_output, grad_bias)
