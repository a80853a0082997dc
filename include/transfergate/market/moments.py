"""Moments of net returns that a policy expects, and the Sharpe ratio that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

RUIN_RETURN = -0.999
"""Net simple returns below this count as this in the reward, so that it stays finite."""
SESSIONS_PER_YEAR = 252
VOLATILITY_FLOOR = 1e-4
"""Least daily standard deviation in a Sharpe ratio, so that an always flat one is 0."""


@dataclass(frozen=True)
class Moments:
    """First and second moment of the net simple return per session; any one shape."""

    first: Tensor
    second: Tensor

    def sharpe(self) -> Tensor:
        """Annualised ``first / sqrt(second - first^2 + floor^2)``."""
        return math.sqrt(SESSIONS_PER_YEAR) * self.first / self._deviation()

    def slopes(self) -> tuple[Tensor, Tensor]:
        """Derivatives of ``sharpe`` by the first and by the second moment."""
        s, year = self._deviation(), math.sqrt(SESSIONS_PER_YEAR)
        by_first = year * (1.0 / s + self.first.square() / s**3)
        return by_first, -0.5 * year * self.first / s**3

    def _deviation(self) -> Tensor:
        variance = (self.second - self.first.square()).clamp_min(0.0)
        return (variance + VOLATILITY_FLOOR**2).sqrt()


def expected_moments(
    net: Tensor, policy: Tensor, occupancy: Tensor, over: tuple[int, ...]
) -> Moments:
    """Moments that a policy expects, by occupancy; ruinous returns count as ``RUIN_RETURN``.

    Args:
        net: Net simple returns by (previous, action), ``[..., P, P]``.
        policy: Probabilities of each action (last axis) by previous position, ``[..., P, P]``.
        occupancy: Probability of each previous position, ``[..., P]``.
        over: Leading axes to average over (sessions, paths), kept with size 1, so that the
            moments broadcast against ``net`` without its last two axes.
    """
    net = net.clamp_min(RUIN_RETURN)
    weight = occupancy.unsqueeze(-1) * policy
    first, second = ((weight * x).sum((-2, -1)).mean(over, True) for x in (net, net.square()))
    return Moments(first, second)
