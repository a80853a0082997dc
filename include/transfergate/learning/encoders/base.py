"""What every encoder offers: stacked over models, causal, with a backward pass of its own.

Shapes: S models, T sessions, B paths, F features, H units. Sessions come before paths. Parameters
carry the leading model axis and are named ``encoder.*``; ``encoder.input`` (S, F, ·) is always the
first layer, the one that a penalty on features acts on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from transfergate.settings import NetworkParams

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Draw:
    """Initial weights of one model, from its own generator."""

    generator: torch.Generator

    def orthogonal(self, rows: int, columns: int, gain: float = 1.0) -> Tensor:
        """A matrix with orthonormal rows or columns, whichever are fewer, times ``gain``.

        Source: Saxe, McClelland & Ganguli 2014.
        """
        weight = torch.empty(rows, columns)
        return torch.nn.init.orthogonal_(weight, gain, generator=self.generator)

    def tempered(self, rows: int, columns: int, gain: float = 1.0) -> Tensor:
        """As ``orthogonal``, for a product that takes ``tempered(weight)``."""
        return self.orthogonal(rows, columns, gain / _tempering(rows))


def tempered(weight: Tensor) -> Tensor:
    """What a deep encoder multiplies with: stored weights (S, rows, ·) times ``2 / sqrt(rows)``.

    Adam moves every stored weight at the same rate, which deep sums of many inputs do not stand;
    this slows wide products down instead of asking for a learning rate per encoder.

    Source: Yang & Hu 2021 (widths in the parametrisation instead of in the learning rate).
    """
    return weight * _tempering(weight.shape[1])


def _tempering(rows: int) -> float:
    return 2.0 / math.sqrt(rows)


class EncoderTrace(Protocol):
    """What one forward pass keeps for the backward pass."""

    def backward(self, by_states: Tensor) -> dict[str, Tensor]:
        """Gradients of the encoder's parameters.

        Args:
            by_states: (S, L, B, H), the objective's gradient by the states of the L sessions that
                were given as ``grad``.
        """


class Encoder(Protocol):
    """A causal encoder: the state of session t depends on sessions up to t only."""

    def init(self, network: NetworkParams, n_features: int, draw: Draw) -> dict[str, Tensor]:
        """Draw one model, without a model axis."""

    def forward(
        self, weights: Parameters, network: NetworkParams, x: Tensor, grad: range
    ) -> tuple[Tensor, EncoderTrace]:
        """Encode paths from an empty past.

        Args:
            weights: S stacked models; other groups of parameters are ignored.
            network: Their network.
            x: (S, T, B, F).
            grad: Sessions for which ``backward`` will be called; may be empty. What the encoder
                carries over from the sessions before them counts as given.

        Returns:
            States (S, T, B, H) of every session, and the trace.
        """

    def lower(self, network: NetworkParams) -> frozenset[str]:
        """Names of the parameters that rest under the strategy ``partial``."""
