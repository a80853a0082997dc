"""Exact values, advantages and occupancies by dynamic programming over the position grid.

Prices do not react to orders, so along a known path of returns the only state is the position:
P values. With ``pi[t, k, a]`` the policy and ``r[t, k, a]`` the reward, backward
``V_t(k) = sum_a pi (r + discount * V_{t+1}(a))`` and forward
``mu_{t+1}(a) = sum_k mu_t(k) pi(k, a)`` give the policy's value, every advantage and how often
each position is held: no critic, no sampled action. The advantage uses the path's future, the
policy never does: a baseline independent of the action keeps the gradient unbiased.

Where a decision is not executable the position stays and no action has an advantage; where a
transition ruins, the future behind it is worth nothing.

Shapes: T sessions, N paths, P positions. Inside, paths come last: products of many 3 x 3 matrices
are then a few operations on long vectors, in half the time of a batched matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.learning.banded import solve_banded

BANDED_BELOW_PATHS = 48
"""On the CPU, with fewer paths than this, one banded system is solved instead of a loop.

Up to about 160 paths it is faster; but a stack of this size or more has the bits of a larger one.
"""

BANDED_POSITIONS = 7
"""With more positions BLAS takes a wider band in blocks, and a path's bits depend on its place."""

BANDED, LOOP = 0, 1
"""Values of ``chunk`` that are no length: that substitution, and a plain loop over sessions."""

_SUM_IN_ORDER = 4
"""Up to this many terms, a sum over an axis takes one after the other, however wide it is."""


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
        chunk: Sessions per chunk of the scan, ``LOOP`` or ``BANDED``; None chooses by size.

    Returns:
        The evaluation; equal to rounding for every ``chunk``.
    """
    n_sessions, n_paths, n_positions, _ = policy.shape
    moves = policy.permute(0, 2, 3, 1)  # (T, P, A, N)
    stay = torch.eye(n_positions, dtype=policy.dtype, device=policy.device).unsqueeze(-1)
    always = executable.device.type == "cpu" and bool(executable.all())
    if not always:
        moves = torch.where(executable[:, None, None], moves, stay)
    moves = moves.contiguous()
    earned = reward.permute(0, 2, 3, 1).contiguous()
    immediate = _sum_of_products(moves, earned, 2)
    living = None if alive is None else alive.permute(0, 2, 3, 1)
    if living is not None:
        moves = moves * living
    if chunk is None:
        chunk = scan_chunk(n_sessions, n_paths, policy.device, n_positions)
    solved = solve_banded(moves, immediate, discount, start) if chunk == BANDED else None
    scan = _scan if chunk > LOOP else _loop
    value, occupancy = solved or scan(moves, immediate, discount, start, chunk)
    following = discount * value[1:].unsqueeze(1)
    if living is not None:
        following = following * living
    advantage = (earned + following).sub_(value[:-1].unsqueeze(2))
    if not always:
        advantage.mul_(executable[:, None, None])
    return ExactEvaluation(
        value[:-1].transpose(1, 2),
        advantage.permute(0, 3, 1, 2),
        occupancy.transpose(1, 2),
        _sum_of_products(occupancy, immediate, 1),
    )


def scan_chunk(n_sessions: int, n_paths: int, device: torch.device, n_positions: int = 3) -> int:
    """The fastest ``chunk`` of ``evaluate_policy`` for so many sessions and paths."""
    if device.type == "cuda":
        return 2 + round(math.cbrt(n_sessions))
    few = n_paths < BANDED_BELOW_PATHS and n_positions <= BANDED_POSITIONS
    return BANDED if few else LOOP


def _loop(
    moves: Tensor, immediate: Tensor, discount: float, start: int, _chunk: int
) -> tuple[Tensor, Tensor]:
    # Values (T + 1, P, N) and occupancies (T, P, N), one session after the other.
    maps = _affine(moves * discount, immediate)
    ends = moves.new_zeros(moves.shape[1], moves.shape[3])
    starts = torch.zeros_like(ends)
    starts[start] = 1.0
    return _backward(maps, ends), _forward(moves, starts)


def _sum(x: Tensor, axis: int, out: Tensor | None = None) -> Tensor:
    # Terms from the first to the last. Of more than four, torch's own order depends on how many
    # columns there are, so a path's last bits would depend on the paths beside it.
    if x.shape[axis] <= _SUM_IN_ORDER:
        return torch.sum(x, axis, out=out)
    first, second, *rest = x.unbind(axis)
    total = torch.add(first, second, out=out)
    for term in rest:
        total.add_(term)
    return total


def _sum_of_products(a: Tensor, b: Tensor, axis: int) -> Tensor:
    # As ``_sum(a * b, axis)``, which takes twice the time where what follows the axis is short.
    first, *rest = zip(a.unbind(axis), b.unbind(axis), strict=True)
    total = first[0] * first[1]
    for one, other in rest:
        total.addcmul_(one, other)
    return total


def _affine(slope: Tensor, shift: Tensor) -> Tensor:
    # Maps v -> slope v + shift as one matrix: (T, P, A, N) and (T, P, N) to (T, P, A + 1, N).
    return torch.cat([slope, shift.unsqueeze(2)], 2)


def _backward(maps: Tensor, last: Tensor) -> Tensor:
    # Values (T + 1, P, N) of affine maps (T, P, P + 1, N), from the last one (P, N).
    sessions, size, _, width = maps.shape
    value = maps.new_empty(sessions + 1, size + 1, width)
    value[:, size] = 1.0
    value[sessions, :size] = last
    product = torch.empty_like(maps[0])
    every, found = value.unbind(0), value[:, :size].unbind(0)
    for t, one in reversed(list(enumerate(maps.unbind(0)))):
        torch.mul(one, every[t + 1], out=product)
        _sum(product, 1, out=found[t])
    return value[:, :size]


def _forward(moves: Tensor, first: Tensor) -> Tensor:
    # Occupancies (T, P, N) before every move (T, P, A, N), from the first one (P, N).
    occupancy = moves.new_empty(len(moves), *first.shape)
    occupancy[0] = first
    product = torch.empty_like(moves[0])
    old, new = occupancy.unsqueeze(2).unbind(0), occupancy.unbind(0)
    for t, one in enumerate(moves[:-1].unbind(0)):
        torch.mul(one, old[t], out=product)
        _sum(product, 0, out=new[t + 1])
    return occupancy


def _composed(maps: Tensor) -> Tensor:
    # The first map after the second after ... the last: (T, P, P + 1, W) to (P, P + 1, W).
    sessions, size, _, width = maps.shape
    steps = maps.new_zeros(sessions, size + 1, size + 1, width)
    steps[:, size, size] = 1.0  # below every map, so that it composes as a matrix
    steps[-1, :size] = maps[-1]
    product = maps.new_empty(size, size + 1, size + 1, width)
    every, found = steps.unsqueeze(1).unbind(0), steps[:, :size].unbind(0)
    for t in range(sessions - 2, -1, -1):
        torch.mul(maps[t].unsqueeze(2), every[t + 1], out=product)
        _sum(product, 1, out=found[t])
    return found[0]


def _scan(
    moves: Tensor, immediate: Tensor, discount: float, start: int, chunk: int
) -> tuple[Tensor, Tensor]:
    # Compose the maps of each chunk (all chunks at once), solve over chunks in the same way, then
    # fill in (all chunks at once): about 6 * chunk operations a level instead of 4 * T.
    n_sessions, size, _, n_paths = moves.shape
    n_chunks = -(-n_sessions // chunk)
    padding = n_chunks * chunk - n_sessions
    moves, immediate = _pad(moves, padding), _pad(immediate, padding)

    def by_step(x: Tensor) -> Tensor:  # (T, ..., N) -> (chunk, ..., n_chunks * N)
        x = x.view(n_chunks, chunk, *x.shape[1:]).movedim(0, -2)
        return x.reshape(*x.shape[:-2], n_chunks * n_paths)

    def by_chunk(x: Tensor) -> Tensor:  # (..., n_chunks * N) -> (n_chunks, ..., N)
        return x.view(*x.shape[:-1], n_chunks, n_paths).movedim(-2, 0)

    def by_session(x: Tensor) -> Tensor:  # (chunk, P, n_chunks * N) -> (T, P, N)
        x = x.view(chunk, size, n_chunks, n_paths).movedim(2, 0)
        return x.reshape(n_chunks * chunk, size, n_paths)[:n_sessions]

    moves, immediate = by_step(moves), by_step(immediate)
    # One composition serves both directions: discounts go to the shifts and, once, to its end.
    powers = moves.new_tensor([discount**step for step in range(chunk)]).view(-1, 1, 1)
    composed = by_chunk(_composed(_affine(moves, immediate * powers)))
    slope, shift = composed[:, :, :size], composed[:, :, size]
    solve = _scan if n_chunks > 2 * chunk else _loop
    ends, starts = solve(slope, shift, discount**chunk, start, chunk)

    def over_chunks(x: Tensor) -> Tensor:  # (n_chunks, P, N) -> (P, n_chunks * N)
        return x.transpose(0, 1).reshape(size, n_chunks * n_paths)

    value = _backward(_affine(moves * discount, immediate), over_chunks(ends[1:]))
    occupancy = by_session(_forward(moves, over_chunks(starts)))
    value = by_session(value[:-1])
    return torch.cat([value, value.new_zeros(1, size, n_paths)]), occupancy


def _pad(x: Tensor, sessions: int) -> Tensor:
    # Zero maps after the end: the value there is zero, and nothing arrives.
    if sessions == 0:
        return x
    return torch.cat([x, x.new_zeros(sessions, *x.shape[1:])])
