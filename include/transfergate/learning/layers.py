"""Discriminative learning rates: what a foundation learnt first is to be unlearnt last."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from transfergate.learning.networks import frozen_parameters, parameter_group
from transfergate.settings import NetworkParams


def layer_depths(names: Sequence[str], network: NetworkParams) -> dict[str, int]:
    """Layer groups below the head that each parameter lies.

    0 the head (and what only training uses), 1 the encoder's upper part, 2 its lower part, which
    rests under the strategy ``partial``; where an encoder has no upper part, its lower one is 1.
    """
    lower = frozen_parameters("partial", network)
    encoder = [name for name in names if parameter_group(name) == "encoder"]
    bottom = 2 if any(name not in lower for name in encoder) else 1
    depths = dict.fromkeys(names, 0)
    return depths | {name: bottom if name in lower else 1 for name in encoder}


def layer_factors(
    names: Sequence[str], network: NetworkParams, decays: Sequence[float], device: torch.device
) -> dict[str, Tensor] | None:
    """Factors on each model's learning rate, name -> (S,): decay to the power of the depth.

    Source: Howard & Ruder 2018, Universal Language Model Fine-tuning (decay 1 / 2.6).

    Args:
        names: Parameters.
        network: The network.
        decays: Of each model; 1 gives all layers one rate.
        device: Where the factors lie.

    Returns:
        None where all factors are 1.
    """
    if all(decay == 1.0 for decay in decays):
        return None
    own = torch.tensor(decays, dtype=torch.float32, device=device)
    return {name: own**depth for name, depth in layer_depths(names, network).items()}
