"""Dropout masks that depend on nothing but a model's own rate, seed and update.

One mask a path: a unit that is dropped stays dropped for the path's whole length (Gal & Ghahramani
2016, "A theoretically grounded application of dropout in recurrent neural networks"), so a path is
evaluated under one thinned policy. Draws are hashes (``market/draws.py``): a model's mask is the
same alone, in any stack and on any device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.market.draws import draw_below

_DROPOUT = np.array([0x0D0D])  # purpose: apart from those of sampling.py
_LEVELS = 1 << 24


def dropout_mask(
    shape: tuple[int, int],
    rates: Sequence[float],
    seeds: Sequence[int],
    update: int,
    device: torch.device | str = "cpu",
) -> Tensor | None:
    """Draw the masks of one update; its epochs share them, as they share the batch.

    Args:
        shape: Paths B and encoder units H.
        rates: Share of units that each model drops, [0, 1), (S,).
        seeds: One per model, (S,).
        update: Updates done before this one.
        device: Where the mask goes.

    Returns:
        float32 (S, 1, B, H), 0 where dropped and ``1 / (1 - rate)`` elsewhere, which broadcasts
        over sessions; None if no model drops anything.

    Raises:
        TrainingError: If rates and seeds differ in number, or a rate lies outside [0, 1).
    """
    if len(rates) != len(seeds) or not all(0.0 <= rate < 1.0 for rate in rates):
        raise TrainingError(
            f"dropout: expected one rate in [0, 1) for each of {len(seeds)} seeds, found "
            f"{list(rates)}; correct the rates"
        )
    if not any(rates):
        return None
    paths, units = shape
    drawn = draw_below(
        _LEVELS,
        np.array(seeds, dtype=np.uint64)[:, None, None],
        [
            _DROPOUT,
            np.array([update]),
            np.arange(paths)[None, :, None],
            np.arange(units)[None, None, :],
        ],
    )
    rate = np.array(rates)[:, None, None]
    mask = np.where(drawn >= rate * _LEVELS, 1.0 / (1.0 - rate), 0.0).astype(np.float32)
    return torch.from_numpy(mask).unsqueeze(1).to(device)
