"""A causal Transformer over sessions, with attention banded to a window, stacked over models.

Each of ``encoder_layers`` blocks is pre-norm: attention, then two products with a ReLU between
them, each added to the stream. A layer sees the last ``attention_window`` sessions, its own
included, so a state depends on ``encoder_layers * (attention_window - 1)`` earlier sessions and on
no other. Positions are relative: a head's scores fall linearly with the distance in sessions
(ALiBi), at a fixed slope of its own. Layer norms run over units, never over time, and have no gains
of their own: the next product absorbs them. The states are the stream's tanh, without a norm, which
would take the features' size away.

Before a path's first session keys and values are zero, so the first states are drawn to zero
instead of being those of a shorter window.

Attention runs over blocks of queries, each against the keys of its band: the work grows with the
window, not with the length of the path.

Source: Vaswani et al. 2017; Xiong et al. 2020 (pre-norm); Press, Smith & Lewis 2022 (ALiBi);
Beltagy, Peters & Cohan 2020 (sliding window).
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from transfergate.learning.encoders.base import Draw, EncoderTrace, Parameters, tempered
from transfergate.learning.encoders.segments import Carry, run_segments
from transfergate.settings import NetworkParams

_QUERIES = 32
"""Sessions per block of queries: fewer waste less of the band, more make larger products."""
_WIDENING = 2
"""Units between a block's two products, per unit of the stream."""
_PARTS = ("attend", "mix", "widen", "widen_bias", "narrow")


class Transformer:
    """See the module."""

    def init(self, network: NetworkParams, n_features: int, draw: Draw) -> dict[str, Tensor]:
        """See ``Encoder``; what is added to the stream shrinks with the number of blocks."""
        units, wide = network.encoder_units, _WIDENING * network.encoder_units
        added = 1.0 / math.sqrt(2.0 * network.encoder_layers)
        weights = {
            "encoder.input": draw.orthogonal(n_features, units),
            "encoder.bias": torch.zeros(1, units),
        }
        for layer in range(network.encoder_layers):
            attend, mix, widen, widen_bias, narrow = _names(layer)
            blocks = [draw.tempered(units, units) for _ in range(3)]
            weights[attend] = torch.cat(blocks, 1)
            weights[mix] = draw.tempered(units, units, added)
            weights[widen] = draw.tempered(units, wide, math.sqrt(2.0))
            weights[widen_bias] = torch.zeros(1, wide)
            weights[narrow] = draw.tempered(wide, units, added)
        return weights

    def forward(
        self, weights: Parameters, network: NetworkParams, x: Tensor, grad: range
    ) -> tuple[Tensor, EncoderTrace]:
        """See ``Encoder``."""
        own = {name: w for name, w in weights.items() if name.startswith("encoder.")}
        return run_segments(_step, own, network, x, grad)

    def lower(self, network: NetworkParams) -> frozenset[str]:
        """The projection of the features and the lower half of the blocks, rounded down."""
        blocks = range(network.encoder_layers // 2)
        names = {name for layer in blocks for name in _names(layer)}
        return frozenset({"encoder.input", "encoder.bias"} | names)


def _names(layer: int) -> tuple[str, ...]:
    return tuple(f"encoder.block{layer}_{part}" for part in _PARTS)


def _step(
    weights: Parameters, network: NetworkParams, x: Tensor, carry: Carry
) -> tuple[Tensor, Carry]:
    # One segment; carries keys and values (S * B, band, 2, heads, units per head) of every layer.
    models, sessions, paths, features = x.shape
    padded = -(-sessions // _QUERIES) * _QUERIES
    tokens = functional.pad(x.transpose(1, 2), (0, 0, 0, padded - sessions))
    flat = tokens.reshape(models, paths * padded, features)
    stream = torch.baddbmm(weights["encoder.bias"], flat, weights["encoder.input"])
    carried = []
    for layer in range(network.encoder_layers):
        attend, mix, widen, widen_bias, narrow = _names(layer)
        projected = torch.bmm(_normalised(stream), tempered(weights[attend]))
        before = carry[layer] if carry else None
        mixed, keys = _attention(projected, network, models * paths, sessions, before)
        carried.append(keys)
        stream = torch.baddbmm(stream, mixed.view_as(stream), tempered(weights[mix]))
        wide = torch.baddbmm(
            weights[widen_bias], _normalised(stream), tempered(weights[widen])
        ).relu_()
        stream = torch.baddbmm(stream, wide, tempered(weights[narrow]))
    states = stream.tanh().view(models, paths, padded, -1)
    return states[:, :, :sessions].transpose(1, 2), tuple(carried)


def _normalised(stream: Tensor) -> Tensor:
    return functional.layer_norm(stream, stream.shape[-1:])


def _attention(
    projected: Tensor, network: NetworkParams, rows: int, sessions: int, before: Tensor | None
) -> tuple[Tensor, Tensor]:
    # Queries, keys and values side by side in the columns of ``projected``, rows * padded tokens;
    # returns what each session reads, and the keys and values that the next segment needs.
    heads, units = network.attention_heads, network.encoder_units // network.attention_heads
    bias = _band(network.attention_window, heads, projected.dtype, projected.device)
    band = bias.shape[-1] - _QUERIES
    queries, own = torch.split(projected.view(rows, -1, 3, heads, units), [1, 2], 2)
    if before is None:
        before = own.new_zeros(rows, band, 2, heads, units)
    known = torch.cat([before, own], 1)
    near: Tensor = _Near.apply(known, band // _QUERIES)  # type: ignore[no-untyped-call]
    keys, values = near.view(-1, band + _QUERIES, 2, heads, units).unbind(2)
    # On CUDA the fused kernels' backward passes add up in no fixed order; plain products do.
    with sdpa_kernel(SDPBackend.MATH) if projected.is_cuda else nullcontext():
        read = functional.scaled_dot_product_attention(
            queries.reshape(len(keys), _QUERIES, heads, units).transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            attn_mask=bias,
        )
    return read.transpose(1, 2).reshape(rows, -1, heads * units), known[:, sessions:][:, :band]


class _Near(torch.autograd.Function):
    """Blocks of sessions beside the blocks before them: (rows, (n + m) Q, ...) -> (rows, n, ...).

    The same as slicing and joining; going back it fills one buffer instead of one a slice.
    """

    @staticmethod
    def forward(ctx: Any, known: Tensor, before: int) -> Tensor:
        chunks = known.view(known.shape[0], -1, _QUERIES, *known.shape[2:])
        blocks = chunks.shape[1] - before
        ctx.before = before
        return torch.stack([chunks[:, j : j + blocks] for j in range(before + 1)], 2)

    @staticmethod
    def backward(ctx: Any, by_near: Tensor) -> tuple[Tensor, None]:
        rows, blocks = by_near.shape[:2]
        by_chunks = by_near.new_zeros(rows, blocks + ctx.before, *by_near.shape[3:])
        for j in range(ctx.before + 1):
            by_chunks[:, j : j + blocks] += by_near[:, :, j]
        return by_chunks.flatten(1, 2), None


@cache
def _band(window: int, heads: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    # (1, heads, queries, keys) added to the scores of one block against the keys of its band and
    # its own: the slope times the distance inside the window, minus infinity outside.
    before = -(-(window - 1) // _QUERIES) * _QUERIES
    query = torch.arange(_QUERIES)[:, None]
    distance = query - (torch.arange(before + _QUERIES)[None, :] - before)
    slopes = torch.tensor([2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)])
    bias = -slopes[:, None, None] * distance
    bias.masked_fill_((distance < 0) | (distance >= window), -math.inf)
    return bias.unsqueeze(0).to(device=device, dtype=dtype)
