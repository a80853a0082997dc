"""Our Transformer's network as a features extractor of Stable-Baselines3, in plain PyTorch."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Pre-norm attention with linear distance biases, then a wide layer with ReLU."""

    def __init__(self, units: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.attend, self.mix = nn.Linear(units, 3 * units, bias=False), nn.Linear(units, units)
        self.widen, self.narrow = nn.Linear(units, 2 * units), nn.Linear(2 * units, units)
        slopes = torch.tensor([2.0 ** (-8.0 * (h + 1) / heads) for h in range(heads)])
        steps = torch.arange(window)
        distance = (steps[:, None] - steps[None, :]).float()
        bias = torch.where(distance >= 0, -distance, torch.tensor(-torch.inf))
        self.register_buffer("bias", slopes[:, None, None] * bias)

    def forward(self, stream: Tensor, *, last_only: bool) -> Tensor:
        rows, window, units = stream.shape
        normed = functional.layer_norm(stream, (units,))
        parts = self.attend(normed).view(rows, window, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts
        bias = self.bias
        if last_only:  # nothing above the last block reads the other sessions
            queries, bias, stream = queries[:, :, -1:], bias[:, -1:], stream[:, -1:]
        read = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        stream = stream + self.mix(read.transpose(1, 2).reshape(stream.shape))
        wide = functional.relu(self.widen(functional.layer_norm(stream, (units,))))
        return stream + self.narrow(wide)


class WindowTransformer(BaseFeaturesExtractor):
    """Encodes the window of the observation; gives its last state and the position."""

    def __init__(
        self, observation_space: spaces.Box, window: int, units: int, layers: int, heads: int
    ) -> None:
        super().__init__(observation_space, units + 1)
        self.window = window
        features = (int(observation_space.shape[0]) - 1) // window
        self.enter = nn.Linear(features, units)
        self.blocks = nn.ModuleList(Block(units, heads, window) for _ in range(layers))

    def forward(self, observations: Tensor) -> Tensor:
        seen, position = observations[:, :-1], observations[:, -1:]
        stream = self.enter(seen.view(len(seen), self.window, -1))
        for number, block in enumerate(self.blocks):
            stream = block(stream, last_only=number == len(self.blocks) - 1)
        return torch.cat([stream[:, -1].tanh(), position], 1)
