"""Generalised advantage estimation along sampled paths."""

from __future__ import annotations

from torch import Tensor


def generalised_advantages(
    reward: Tensor, value: Tensor, goes_on: Tensor, discount: float, decay: float
) -> Tensor:
    """Sum the discounted temporal differences of each path.

    ``delta_t = r_t + discount * c_t * V_{t+1} - V_t`` and
    ``A_t = delta_t + discount * decay * c_t * A_{t+1}``, with ``c_t`` 0 where a path is terminated
    (ruin) or the slice ends, behind which nothing is earned, and 1 where it goes on. The end of a
    path inside its slice truncates: its last value is bootstrapped from.

    Args:
        reward: (T, ...), of the decisions with a successor.
        value: (T + 1, ...), of each decision's state and of the state after the last.
        goes_on: (T, ...), the ``c_t``.
        discount: Of the rewards.
        decay: GAE's lambda.

    Returns:
        Advantages (T, ...).

    Source: Schulman et al. 2016, High-Dimensional Continuous Control Using GAE, eq. 16.
    """
    carried = discount * goes_on
    advantage = reward + carried * value[1:] - value[:-1]
    for t in range(len(reward) - 2, -1, -1):
        advantage[t].addcmul_(carried[t] * decay, advantage[t + 1])
    return advantage
