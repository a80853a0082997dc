"""Exact values, advantages and occupancies by dynamic programming over the position grid.

Prices do not react to orders, so along a known path of returns the only state is the position:
P values. With ``pi[t, k, a]`` the policy and ``r[t, k, a]`` the reward, backward
``V_t(k) = sum_a pi (r + discount * V_{t+1}(a))`` and forward
``mu_{t+1}(a) = sum_k mu_t(k) pi(k, a)`` give the policy's value, every advantage and how often
each position is held: no critic, no sampled action. The advantage uses the path's future, the
policy never does: a baseline independent of the action keeps the gradient unbiased.

Where a decision is not executable the position stays and no action has an advantage; where a
transition ruins, the future behind it is worth nothing.

Shapes: T sessions, N paths, P positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SCAN_BELOW_PATHS = 48
"""With fewer paths than this the two-level scan is faster than a plain loop."""


@dataclass(frozen=True)
class ExactEvaluation:
    """A policy's exact evaluation along realised paths.

    Attributes:
        value: (T, N, P), expected discounted reward from session t on, by position.
        advantage: (T, N, P, P), ``Q - V`` by (previous, action); 0 where not executable.
        occupancy: (T, N, P), probability of entering session t's decision with a position.
        expected_reward: (T, N), mean reward of session t's decision under the policy.
    """

    value: Tensor
    advantage: Tensor
    occupancy: Tensor
    expected_reward: Tensor


def evaluate_policy(
    policy: Tensor,
    reward: Tensor,
    executable: Tensor,
    discount: float,
    start: int,
    *,
    alive: Tensor | None = None,
    chunk: int | None = None,
) -> ExactEvaluation:
    """Evaluate a policy exactly; the value after the last session is zero.

    Args:
        policy: (T, N, P, P), probabilities of each action (last axis) by previous position.
        reward: (T, N, P, P); where not executable, ``reward[k, a]`` is that of keeping k.
        executable: bool (T, N).
        discount: Of the values; the occupancy is not discounted (every session counts equally).
        start: Index of the position that every path starts with.
        alive: Optional (T, N, P, P), 0 where a transition ruins, 1 elsewhere.
        chunk: Sessions per chunk of the scan; 1 means a plain loop; None chooses by size.

    Returns:
        The evaluation; equal to rounding for every ``chunk``.
    """
    n_sessions, n_paths, n_positions, _ = policy.shape
    stay = torch.eye(n_positions, dtype=policy.dtype, device=policy.device)
    moves = torch.where(executable[..., None, None], policy, stay)
    immediate = (moves * reward).sum(-1)
    if alive is not None:
        moves = moves * alive
    if chunk is None:
        chunk = scan_chunk(n_sessions, n_paths, policy.device)
    scan = _scan if chunk > 1 else _loop
    value, occupancy = scan(moves, immediate, discount, start, chunk)
    following = discount * value[1:].unsqueeze(2)
    if alive is not None:
        following = following * alive
    advantage = reward + following - value[:-1].unsqueeze(3)
    advantage = advantage * executable[..., None, None]
    expected = (occupancy * immediate).sum(-1)
    return ExactEvaluation(value[:-1], advantage, occupancy, expected)


def scan_chunk(n_sessions: int, n_paths: int, device: torch.device) -> int:
    """Sessions per chunk that are fastest for so many sessions and paths; 1 is a plain loop."""
    few = n_paths < SCAN_BELOW_PATHS or device.type == "cuda"
    return max(1, round(math.sqrt(n_sessions / 2))) if few else 1


def _loop(
    moves: Tensor, immediate: Tensor, discount: float, start: int, _chunk: int
) -> tuple[Tensor, Tensor]:
    # Values (T + 1, N, P) and occupancies (T, N, P), one session after the other.
    n_sessions, n_paths, n_positions, _ = moves.shape
    discounted = moves * discount
    value = moves.new_zeros(n_sessions + 1, n_paths, n_positions, 1)
    for t in range(n_sessions - 1, -1, -1):
        torch.baddbmm(immediate[t].unsqueeze(-1), discounted[t], value[t + 1], out=value[t])
    occupancy = moves.new_zeros(n_sessions, n_paths, 1, n_positions)
    occupancy[0, :, :, start] = 1.0
    for t in range(n_sessions - 1):
        torch.bmm(occupancy[t], moves[t], out=occupancy[t + 1])
    return value.squeeze(-1), occupancy.squeeze(2)


def _scan(
    moves: Tensor, immediate: Tensor, discount: float, start: int, chunk: int
) -> tuple[Tensor, Tensor]:
    # Two levels: compose the maps of each chunk (all chunks at once), walk over chunks, then fill
    # in (all chunks at once). About 4 * chunk + 2 * T / chunk operations instead of 2 * T.
    n_sessions, n_paths, size, _ = moves.shape
    n_chunks = -(-n_sessions // chunk)
    padding = n_chunks * chunk - n_sessions
    moves, immediate = _pad(moves, padding), _pad(immediate, padding)

    def by_step(x: Tensor) -> Tensor:  # (T, N, ...) -> (chunk, n_chunks * N, ...)
        x = x.view(n_chunks, chunk, n_paths, *x.shape[2:]).transpose(0, 1)
        return x.reshape(chunk, n_chunks * n_paths, *x.shape[3:])

    forward, offset = by_step(moves), by_step(immediate.unsqueeze(-1))
    backward = forward * discount
    slope, shift = backward[-1], offset[-1]
    product = forward[0]
    for s in range(chunk - 2, -1, -1):
        shift = torch.baddbmm(offset[s], backward[s], shift)
        slope = torch.bmm(backward[s], slope)
    for s in range(1, chunk):
        product = torch.bmm(product, forward[s])

    ends = moves.new_zeros(n_chunks + 1, n_paths, size, 1)
    starts = moves.new_zeros(n_chunks, n_paths, 1, size)
    starts[0, :, :, start] = 1.0
    slope, shift = (x.view(n_chunks, n_paths, size, -1) for x in (slope, shift))
    product = product.view(n_chunks, n_paths, size, size)
    for c in range(n_chunks - 1, -1, -1):
        torch.baddbmm(shift[c], slope[c], ends[c + 1], out=ends[c])
    for c in range(n_chunks - 1):
        torch.bmm(starts[c], product[c], out=starts[c + 1])

    value = moves.new_empty(chunk + 1, n_chunks * n_paths, size, 1)
    value[chunk] = ends[1:].reshape(-1, size, 1)
    occupancy = moves.new_empty(chunk, n_chunks * n_paths, 1, size)
    occupancy[0] = starts.reshape(-1, 1, size)
    for s in range(chunk - 1, -1, -1):
        torch.baddbmm(offset[s], backward[s], value[s + 1], out=value[s])
    for s in range(chunk - 1):
        torch.bmm(occupancy[s], forward[s], out=occupancy[s + 1])

    def by_session(x: Tensor) -> Tensor:  # (chunk, n_chunks * N, P) -> (T, N, P)
        x = x.view(chunk, n_chunks, n_paths, size).transpose(0, 1)
        return x.reshape(n_chunks * chunk, n_paths, size)

    values = torch.cat([by_session(value[:-1].squeeze(-1)), value.new_zeros(1, n_paths, size)])
    return values[: n_sessions + 1], by_session(occupancy.squeeze(2))[:n_sessions]


def _pad(x: Tensor, sessions: int) -> Tensor:
    # Zero maps after the end: the value there is zero, and nothing arrives.
    if sessions == 0:
        return x
    return torch.cat([x, x.new_zeros(sessions, *x.shape[1:])])
