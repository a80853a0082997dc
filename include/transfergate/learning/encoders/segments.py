"""Encoders that autograd differentiates: paths in three segments, recorded in the middle one only.

The sessions before those with a gradient, and the look-ahead after them, need states but no graph.
An encoder is given as a step over a segment, with what it carries from segment to segment, so
that the split changes no state. What is carried into the recorded segment counts as given, as in
truncated back-propagation through time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.learning.encoders.base import Parameters
from transfergate.settings import NetworkParams

Carry = tuple[Tensor, ...] | None
"""What a segment hands to the next one; None before the first session."""

Step = Callable[[Parameters, NetworkParams, Tensor, Carry], tuple[Tensor, Carry]]
"""(weights, network, x (S, t, B, F), carry) -> states (S, t, B, H) and carry."""


@dataclass(frozen=True)
class SegmentTrace:
    """The recorded segment: its states, and the parameters as leaves of the graph."""

    states: Tensor
    leaves: dict[str, Tensor]

    def backward(self, by_states: Tensor) -> dict[str, Tensor]:
        """See ``EncoderTrace``; may be called once."""
        grads = torch.autograd.grad(self.states, list(self.leaves.values()), by_states)
        return dict(zip(self.leaves, grads, strict=True))


def run_segments(
    step: Step, weights: Parameters, network: NetworkParams, x: Tensor, grad: range
) -> tuple[Tensor, SegmentTrace]:
    """Run a step over the sessions before ``grad``, inside it, and after it.

    Args:
        step: The encoder.
        weights: S stacked models; exactly those parameters that the step reads.
        network: Their network.
        x: (S, T, B, F).
        grad: Sessions to record; where it is empty nothing is.

    Returns:
        States (S, T, B, H), without a graph, and the trace of the recorded segment.
    """
    recorded = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    parts, carry, kept = [], None, x.new_zeros(0)
    for segment in (range(grad.start), grad, range(grad.stop, x.shape[1])):
        if not segment:
            continue
        with torch.set_grad_enabled(segment is grad):
            part = x[:, segment.start : segment.stop]
            used = recorded if segment is grad else weights
            states, carry = step(used, network, part, carry)
        if segment is grad:
            kept, carry = states, tuple(t.detach() for t in carry or ())
        parts.append(states.detach())
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0], SegmentTrace(kept, recorded)
