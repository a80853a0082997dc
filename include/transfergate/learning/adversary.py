"""Domain-adversarial features: a discriminator reads a path's domain, the encoder hides it.

The discriminator sees the encoder's states and guesses which domain (ticker or sector) their path
comes from; it climbs its own likelihood. Its gradient by the states reaches the encoder with the
sign reversed, so that states which help the policy and say nothing about the domain win. The
weight of the reversed gradient grows from 0 along ``2 / (1 + exp(-10 p)) - 1``, p the share of
training done.

Parameters are named ``adversary.*``; they train beside the policy, in the stack and its
checkpoints, and are left out of every result.

Source: Ganin et al. 2016, Domain-Adversarial Training of Neural Networks, JMLR 17(59).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning.networks import Weights

PREFIX = "adversary."
_STEEPNESS = 10.0


@dataclass(frozen=True)
class Adversary:
    """Which domain each row of the panel belongs to, and how hard the encoder hides it.

    Attributes:
        domains: Class of each row, (N,); numbered from 0 without gaps.
        strength: Final weight of the reversed gradient.
        units: Hidden units of the discriminator.
        rate_ratio: Its learning rate / the policy's.
        begin: Share of the whole training done before this run.
        end: And after it.
    """

    domains: tuple[int, ...]
    strength: float
    units: int = 16
    rate_ratio: float = 1.0
    begin: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if sorted(set(self.domains)) != list(range(self.n_domains)) or self.n_domains < 2:
            raise TrainingError(
                f"adversary: expected at least two domains, numbered from 0 without gaps, found "
                f"{sorted(set(self.domains))} in {len(self.domains)} rows; train on rows of "
                f"several domains or set pretrain.adversary.strength to 0"
            )

    @property
    def n_domains(self) -> int:
        """Number of classes C."""
        return max(self.domains, default=-1) + 1

    def weight(self, progress: float) -> float:
        """Weight of the reversed gradient after a share of this run, in [0, strength]."""
        done = self.begin + (self.end - self.begin) * progress
        return self.strength * (2.0 / (1.0 + math.exp(-_STEEPNESS * done)) - 1.0)

    def labels(self, rows: Tensor) -> Tensor:
        """Class of each drawn path, in the shape of ``rows`` (S, B)."""
        return torch.tensor(self.domains, device=rows.device)[rows]


def with_adversary(weights: Weights, adversary: Adversary | None, seeds: Sequence[int]) -> Weights:
    """Add a fresh discriminator to every model; model s depends on ``seeds[s]`` alone."""
    if adversary is None:
        return weights
    states, units = weights["head.hidden"].shape[1], adversary.units
    drawn: list[tuple[Tensor, Tensor]] = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed ^ 0xAD)
        shapes = ((states, units), (units, adversary.n_domains))
        hidden, output = (torch.randn(*s, generator=generator) / s[0] ** 0.5 for s in shapes)
        drawn.append((hidden, output))
    device = weights["head.hidden"].device
    hidden, output = (torch.stack(part).to(device) for part in zip(*drawn, strict=True))
    zeros = hidden.new_zeros
    return {
        **weights,
        "adversary.hidden": hidden,
        "adversary.bias": zeros(len(seeds), 1, units),
        "adversary.output": output,
        "adversary.output_bias": zeros(len(seeds), 1, adversary.n_domains),
    }


def guess(weights: Mapping[str, Tensor], states: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities (S, M, C) of each domain for states (S, M, H), and the hidden layer."""
    hidden = torch.baddbmm(weights["adversary.bias"], states, weights["adversary.hidden"]).tanh_()
    logits = torch.baddbmm(weights["adversary.output_bias"], hidden, weights["adversary.output"])
    return logits.log_softmax(-1), hidden


def discriminate(
    weights: Mapping[str, Tensor], states: Tensor, labels: Tensor
) -> tuple[Tensor, Weights, Tensor]:
    """Mean log likelihood of the true domains, and its gradients.

    Args:
        weights: S models with discriminators.
        states: (S, M, H).
        labels: int64 (S, M).

    Returns:
        Log likelihood (S,), gradients of the discriminator's parameters, and by the states
        (S, M, H); a discriminator climbs them, an encoder that hides descends.
    """
    log_p, hidden = guess(weights, states)
    index = labels.unsqueeze(-1)
    likelihood = log_p.gather(-1, index).squeeze(-1).mean(1)
    by_logits = log_p.exp().neg_() / states.shape[1]
    by_logits.scatter_add_(-1, index, by_logits.new_full(index.shape, 1.0 / states.shape[1]))
    by_hidden = torch.bmm(by_logits, weights["adversary.output"].transpose(1, 2))
    by_pre = torch.ops.aten.tanh_backward(by_hidden, hidden)
    grads = {
        "adversary.hidden": torch.bmm(states.transpose(1, 2), by_pre),
        "adversary.bias": by_pre.sum(1, keepdim=True),
        "adversary.output": torch.bmm(hidden.transpose(1, 2), by_logits),
        "adversary.output_bias": by_logits.sum(1, keepdim=True),
    }
    return likelihood, grads, torch.bmm(by_pre, weights["adversary.hidden"].transpose(1, 2))
