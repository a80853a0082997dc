"""A perceptron of one or more tanh layers, session by session: an encoder without memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.learning.encoders.base import Draw, EncoderTrace, Parameters
from transfergate.settings import NetworkParams


def _names(layer: int) -> tuple[str, str]:
    # Weight and bias; the first layer has the names that every encoder's first layer has.
    if layer == 0:
        return "encoder.input", "encoder.bias"
    return f"encoder.layer{layer}", f"encoder.layer{layer}_bias"


@dataclass(frozen=True)
class MlpTrace:
    """Outputs of every layer at the kept sessions, the input first: (S, L, B, ·) each."""

    outputs: tuple[Tensor, ...]
    weights: Parameters

    def backward(self, by_states: Tensor) -> dict[str, Tensor]:
        """See ``EncoderTrace``."""
        grads = {}
        for layer in range(len(self.outputs) - 2, -1, -1):
            weight, bias = _names(layer)
            by_pre = torch.ops.aten.tanh_backward(by_states, self.outputs[layer + 1]).flatten(1, 2)
            inputs = self.outputs[layer].flatten(1, 2)
            grads[weight] = torch.bmm(inputs.transpose(1, 2), by_pre)
            grads[bias] = by_pre.sum(1, keepdim=True)
            if layer:
                by_inputs = torch.bmm(by_pre, self.weights[weight].transpose(1, 2))
                by_states = by_inputs.view(*by_states.shape[:3], -1)
        return grads


class Mlp:
    """``encoder_layers`` layers of ``encoder_units`` units each."""

    def init(self, network: NetworkParams, n_features: int, draw: Draw) -> dict[str, Tensor]:
        """See ``Encoder``."""
        units, weights, width = network.encoder_units, {}, n_features
        for layer in range(network.encoder_layers):
            weight, bias = _names(layer)
            weights[weight] = draw.orthogonal(width, units)
            weights[bias] = torch.zeros(1, units)
            width = units
        return weights

    def forward(
        self, weights: Parameters, network: NetworkParams, x: Tensor, grad: range
    ) -> tuple[Tensor, EncoderTrace]:
        """See ``Encoder``."""
        outputs, kept = [x], slice(grad.start, grad.stop)
        for layer in range(network.encoder_layers):
            weight, bias = _names(layer)
            flat = outputs[-1].reshape(x.shape[0], -1, outputs[-1].shape[-1])
            states = torch.baddbmm(weights[bias] * 2.0, flat, weights[weight] * 2.0)
            # tanh, as 2 sigmoid(2x) - 1: at a third of the time
            torch.add(states.new_tensor(-1.0), states.sigmoid_(), alpha=2.0, out=states)
            outputs.append(states.view(*x.shape[:3], -1))
        return outputs[-1], MlpTrace(tuple(output[:, kept] for output in outputs), weights)

    def lower(self, network: NetworkParams) -> frozenset[str]:
        """The lower half of the layers, rounded up."""
        layers = range((network.encoder_layers + 1) // 2)
        return frozenset(name for layer in layers for name in _names(layer))
