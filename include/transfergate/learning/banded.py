"""Values and occupancies of few paths as banded triangular systems, solved by BLAS on the CPU.

With the positions of all sessions of a path in one vector, the system of its values,
``V_t(k) - discount * sum_a m V_{t+1}(a) = r``, has ones on the diagonal and at most 2 P - 1 entries
above it; the occupancies solve the transposed system of the undiscounted moves. One substitution
over all paths, one after the other in the same vector, takes less time than an operation a session
where paths are few.
"""

from __future__ import annotations

import torch
from scipy.linalg.blas import dtbsv, stbsv
from torch import Tensor


def solve_banded(
    moves: Tensor, immediate: Tensor, discount: float, start: int
) -> tuple[Tensor, Tensor] | None:
    """Solve for values and occupancies.

    Args:
        moves: (T, P, A, N), probability of each move; 0 where nothing comes after it.
        immediate: (T, P, N), expected reward of each decision.
        discount: Of the values.
        start: Index of the position that every path starts with.

    Returns:
        Values (T + 1, P, N) and occupancies (T, P, N); None where a number is not finite, which
        would reach other paths.
    """
    n_sessions, size, _, n_paths = moves.shape
    solve = stbsv if moves.dtype == torch.float32 else dtbsv
    width = 2 * size - 1
    band = moves.new_zeros(n_paths, n_sessions, size, width + 1)
    for action in range(size):  # columns are what is arrived at; rows of LAPACK's band storage
        slots = slice(size - 1 - action, width - action)
        torch.neg(moves[:-1, :, action].permute(2, 0, 1), out=band[:, 1:, action, slots])
    columns = band.view(-1, width + 1).numpy().T
    first = moves.new_zeros(n_paths, n_sessions, size)
    first[:, 0, start] = 1.0
    occupancy = torch.from_numpy(
        solve(width, columns, first.view(-1).numpy(), trans=1, diag=1, overwrite_x=1)
    ).view_as(first)
    band.mul_(discount)
    value = moves.new_zeros(n_paths, n_sessions + 1, size)
    earned = immediate.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)
    found = solve(width, columns, earned.view(-1).numpy(), diag=1, overwrite_x=1)
    value[:, :-1] = torch.from_numpy(found).view_as(earned)
    if not bool(torch.isfinite(value.sum() + occupancy.sum())):
        return None
    return value.permute(1, 2, 0).contiguous(), occupancy.permute(1, 2, 0).contiguous()
