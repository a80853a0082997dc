"""The position head: from hidden states to a table of logits over (previous position, action).

The position enters late, so one evaluation of the encoder serves every previous position:
``logits[k, a] = tanh(h W + e_k) V + c``. Forward and backward are written out by hand; logits
lie action-first, ``(S, A, M, P)``, so that a softmax over actions runs along whole planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HeadWeights:
    """S stacked heads: hidden (S, H, K), position (S, P, K), output (S, K, A), bias (S, 1, A)."""

    hidden: Tensor
    position: Tensor
    output: Tensor
    bias: Tensor


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
    own = torch.bmm(states, weights.hidden * 2.0)
    z = own.unsqueeze(2) + (weights.position * 2.0).unsqueeze(1)
    z.sigmoid_()  # tanh(x) = 2 sigmoid(2x) - 1; the 2 and the -1 go into the next product
    flat = z.view(models, samples * n_positions, units)
    shifted = (weights.bias - weights.output.sum(1, keepdim=True)).transpose(1, 2)
    logits = torch.bmm((weights.output * 2.0).transpose(1, 2), flat.transpose(1, 2))
    logits += shifted
    return logits.view(models, -1, samples, n_positions), HeadTrace(states, z, weights)


def head_backward(trace: HeadTrace, grad_logits: Tensor) -> tuple[HeadWeights, Tensor]:
    """Back-propagate ``grad_logits`` (S, A, M, P), for the first M samples of the trace.

    Returns:
        Gradients of the weights, and of the states (S, M, H).
    """
    models, n_actions, samples, n_positions = grad_logits.shape
    weights, units = trace.weights, trace.sigmoids.shape[-1]
    states, z = trace.states[:, :samples], trace.sigmoids[:, :samples]
    grad = grad_logits.reshape(models, n_actions, samples * n_positions)
    grad_bias = grad.sum(2).unsqueeze(1)
    flat = z.reshape(models, samples * n_positions, units)
    grad_output = torch.bmm(grad, flat).transpose(1, 2) * 2.0 - grad_bias
    by_tanh = torch.bmm(grad.transpose(1, 2), (weights.output * 2.0).transpose(1, 2))
    by_pre = torch.ops.aten.sigmoid_backward(by_tanh, flat)
    by_pre = by_pre.view(models, samples, n_positions, units)
    grad_position = by_pre.view(models, samples, -1).sum(1).view(models, n_positions, units) * 2.0
    by_own = by_pre[:, :, 0] * 2.0  # a sum over the axis takes twice the time, for the same bits
    for position in range(1, n_positions):
        by_own.add_(by_pre[:, :, position], alpha=2.0)
    grad_hidden = torch.bmm(states.transpose(1, 2), by_own)
    grad_states = torch.bmm(by_own, weights.hidden.transpose(1, 2))
    return HeadWeights(grad_hidden, grad_position, grad_output, grad_bias), grad_states
