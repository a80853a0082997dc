"""GRU and LSTM as encoders: names and initial weights around the kernels of ``recurrent.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.learning.encoders import recurrent
from transfergate.learning.encoders.base import Draw, EncoderTrace, Parameters
from transfergate.settings import NetworkParams

Gradients = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class GatedTrace:
    """What the kernel kept, and the kernel that goes back through it."""

    kernel: recurrent.RecurrentTrace
    back: Callable[[recurrent.RecurrentTrace, Tensor], Gradients]

    def backward(self, by_states: Tensor) -> dict[str, Tensor]:
        """See ``EncoderTrace``."""
        weight, again, bias = self.back(self.kernel, by_states)
        return {"encoder.input": weight, "encoder.recurrent": again, "encoder.bias": bias}


@dataclass(frozen=True)
class Gated:
    """One recurrent layer; the state starts at zero and carries everything that it remembers.

    Attributes:
        gates: Blocks of H columns side by side.
        run: Forward kernel.
        back: Backward kernel.
    """

    gates: int
    run: Callable[..., tuple[Tensor, recurrent.RecurrentTrace]]
    back: Callable[[recurrent.RecurrentTrace, Tensor], Gradients]

    def init(self, network: NetworkParams, n_features: int, draw: Draw) -> dict[str, Tensor]:
        """See ``Encoder``; orthogonal block by block."""
        units = network.encoder_units
        blocks = [draw.orthogonal(n_features, units) for _ in range(self.gates)]
        again = [draw.orthogonal(units, units) for _ in range(self.gates)]
        return {
            "encoder.input": torch.cat(blocks, 1),
            "encoder.bias": torch.zeros(1, self.gates * units),
            "encoder.recurrent": torch.cat(again, 1),
        }

    def forward(
        self, weights: Parameters, network: NetworkParams, x: Tensor, grad: range
    ) -> tuple[Tensor, EncoderTrace]:
        """See ``Encoder``."""
        states, trace = self.run(
            x,
            weights["encoder.input"],
            weights["encoder.recurrent"],
            weights["encoder.bias"],
            grad,
        )
        return states, GatedTrace(trace, self.back)

    def lower(self, network: NetworkParams) -> frozenset[str]:
        """The projection of the features; the recurrence trains."""
        return frozenset({"encoder.input", "encoder.bias"})


GRU = Gated(3, recurrent.gru_forward, recurrent.gru_backward)
LSTM = Gated(4, recurrent.lstm_forward, recurrent.lstm_backward)
