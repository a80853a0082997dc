"""Residual temporal convolutions in front of an LSTM: short patterns first, then memory.

Features are projected; ``conv_blocks`` pre-activation residual blocks of two causal convolutions
each follow, block b with dilation 2^b; their stream feeds an LSTM. Norms run over units, never over
time. Before a path's first session the convolutions read zeros.

Source: He et al. 2016 (pre-activation residual blocks); Bai, Kolter & Koltun 2018 (causal dilated
convolutions over time); Hochreiter & Schmidhuber 1997.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from transfergate.learning.encoders.base import Draw, EncoderTrace, Parameters, tempered
from transfergate.learning.encoders.recurrent import (
    RecurrentTrace,
    lstm_backward_through,
    lstm_forward,
)
from transfergate.learning.encoders.segments import Carry, SegmentTrace, run_segments
from transfergate.settings import NetworkParams

_GATES = 4
_LSTM = ("encoder.lstm_input", "encoder.recurrent", "encoder.lstm_bias")


@dataclass(frozen=True)
class ResnetLstmTrace:
    """Of the convolutions and of the LSTM over them."""

    convolutions: SegmentTrace
    lstm: RecurrentTrace
    weight: Tensor

    def backward(self, by_states: Tensor) -> dict[str, Tensor]:
        """See ``EncoderTrace``."""
        *grads, by_inputs = lstm_backward_through(self.lstm, by_states, self.weight)
        return self.convolutions.backward(by_inputs) | dict(zip(_LSTM, grads, strict=True))


class ResnetLstm:
    """See the module."""

    def init(self, network: NetworkParams, n_features: int, draw: Draw) -> dict[str, Tensor]:
        """See ``Encoder``; the blocks add nothing at first, so that it starts as an LSTM."""
        units, span = network.encoder_units, network.conv_kernel * network.encoder_units
        weights = {
            "encoder.input": draw.orthogonal(n_features, units),
            "encoder.bias": torch.zeros(1, units),
        }
        for block in range(network.conv_blocks):
            first, first_bias, second = _names(block)
            weights[first] = draw.tempered(span, units, math.sqrt(2.0))
            weights[first_bias] = torch.zeros(1, units)
            weights[second] = torch.zeros(span, units)
        for name in _LSTM[:2]:
            weights[name] = torch.cat([draw.orthogonal(units, units) for _ in range(_GATES)], 1)
        weights[_LSTM[2]] = torch.zeros(1, _GATES * units)
        return weights

    def forward(
        self, weights: Parameters, network: NetworkParams, x: Tensor, grad: range
    ) -> tuple[Tensor, EncoderTrace]:
        """See ``Encoder``."""
        own = {name: weights[name] for name in _convolutional(network)}
        stream, convolutions = run_segments(_step, own, network, x, grad)
        weight, recurrent, bias = (weights[name] for name in _LSTM)
        states, lstm = lstm_forward(stream, weight, recurrent, bias, grad)
        return states, ResnetLstmTrace(convolutions, lstm, weight)

    def lower(self, network: NetworkParams) -> frozenset[str]:
        """Everything before the LSTM: the projection and the convolutions."""
        return frozenset(_convolutional(network))


def _names(block: int) -> tuple[str, str, str]:
    return tuple(f"encoder.block{block}_{part}" for part in ("first", "first_bias", "second"))  # type: ignore[return-value]


def _convolutional(network: NetworkParams) -> list[str]:
    blocks = [name for block in range(network.conv_blocks) for name in _names(block)]
    return ["encoder.input", "encoder.bias", *blocks]


def _step(
    weights: Parameters, network: NetworkParams, x: Tensor, carry: Carry
) -> tuple[Tensor, Carry]:
    # One segment; carries the last inputs of every convolution.
    shape = x.shape[:3]
    flat = x.reshape(shape[0], -1, x.shape[3])
    stream = torch.baddbmm(weights["encoder.bias"], flat, weights["encoder.input"])
    stream = stream.view(*shape, -1)
    carried: list[Tensor] = []

    def convolve(z: Tensor, weight: Tensor, dilation: int) -> Tensor:
        reach = (network.conv_kernel - 1) * dilation
        active = functional.layer_norm(z, z.shape[-1:]).relu_()
        before = carry[len(carried)] if carry else active.new_zeros(shape[0], reach, *z.shape[2:])
        known = torch.cat([before, active], 1)
        carried.append(known[:, known.shape[1] - reach :])
        product: Tensor = _Convolution.apply(known, tempered(weight), dilation)  # type: ignore[no-untyped-call]
        return product

    for block in range(network.conv_blocks):
        first, first_bias, second = (weights[name] for name in _names(block))
        inner = convolve(stream, first, 2**block) + first_bias.unsqueeze(1)
        stream = stream + convolve(inner, second, 2**block)
    return stream, tuple(carried)


class _Convolution(torch.autograd.Function):
    """Causal convolution over time, one product a tap: (S, T + reach, B, H) -> (S, T, B, H).

    Tap j of the weight's rows (k * H) reads the input ``(k - 1 - j) * dilation`` sessions back.
    Sessions lie before paths, so every tap reads a slice without a copy.
    """

    @staticmethod
    def forward(ctx: Any, known: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(known, weight)
        ctx.dilation = dilation
        slices = _taps(known, weight, dilation)
        units = known.shape[-1]
        out = torch.bmm(slices[0], weight[:, :units])
        for j, part in enumerate(slices[1:], 1):
            out.baddbmm_(part, weight[:, j * units : (j + 1) * units])
        return out.view(known.shape[0], -1, *known.shape[2:])

    @staticmethod
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor, Tensor, None]:
        known, weight = ctx.saved_tensors
        by_known, units = torch.zeros_like(known), known.shape[-1]
        flat = by_out.flatten(1, 2)
        into = _taps(by_known, weight, ctx.dilation)
        by_weight = []
        for j, part in enumerate(_taps(known, weight, ctx.dilation)):
            by_weight.append(torch.bmm(part.transpose(1, 2), flat))
            into[j].baddbmm_(flat, weight[:, j * units : (j + 1) * units].transpose(1, 2))
        return by_known, torch.cat(by_weight, 1), None


def _taps(known: Tensor, weight: Tensor, dilation: int) -> list[Tensor]:
    # Per tap the sessions that it reads, (S, T * B, H) views of ``known``.
    kernel = weight.shape[1] // known.shape[-1]
    sessions = known.shape[1] - (kernel - 1) * dilation
    return [known[:, j * dilation : j * dilation + sessions].flatten(1, 2) for j in range(kernel)]
