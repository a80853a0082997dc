"""The market's arithmetic, which exists here only: timing, costs, returns, ruin.

What a net return is worth in training stands in ``rewards.py``. Training, the exact dynamic
programme, the back-test and the Gymnasium shells all use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.market.panel import Panel
from transfergate.settings import MarketParams

Array = TypeVar("Array", Tensor, npt.NDArray[np.float64])


@dataclass(frozen=True)
class Outcomes:
    """What a decision at the close of session t will meet, aligned to t; shapes (N, T).

    The last column cannot be acted upon (its outcome is unknown): not executable, all zero.

    Attributes:
        held: Return of session t+1 on the old position, before the trade (float64).
        traded: Return of session t+1 on the new position, after the trade (float64).
        cost_rate: Fraction charged per unit of absolute turnover (float64).
        executable: Whether the decision is carried out; where False the position stays.
    """

    held: Tensor
    traded: Tensor
    cost_rate: Tensor
    executable: Tensor

    def take(self, rows: Tensor, sessions: Tensor) -> Outcomes:
        """Outcomes of single decisions; ``rows`` and ``sessions`` broadcast to one shape."""
        flat = rows * self.held.shape[1] + sessions
        parts = (self.held, self.traded, self.cost_rate, self.executable)
        return Outcomes(*(part.reshape(-1)[flat] for part in parts))


def outcomes(panel: Panel, market: MarketParams) -> Outcomes:
    """Align the panel's returns and costs to the decisions that meet them.

    ``next_open``: a decision at the close of t is executed at the open of t+1, so the old
    position earns t+1's overnight return and the new one its intraday return.
    ``same_close``: it is executed at the close of t itself and earns t+1 from close to close.
    """
    overnight, intraday = panel.overnight, panel.intraday
    costs = cost_rates(panel, market)
    if market.timing == "next_open":
        held, traded = _next(overnight), _next(intraday)
        open_at_execution, costs = _next(panel.tradable), _next(costs)
    else:
        traded = _next((1.0 + overnight) * (1.0 + intraday) - 1.0)
        held = torch.zeros_like(traded)
        open_at_execution = panel.tradable.clone()
    executable = panel.ready & open_at_execution
    executable[:, -1] = False
    return Outcomes(held, traded, costs, executable)


def cost_rates(panel: Panel, market: MarketParams) -> Tensor:
    """Cost per unit of turnover executed in each session, as a fraction; float64 (N, T).

    A ticker's own, where the panel has one, else the market's ``cost_bps``.
    """
    default = torch.full_like(panel.overnight, market.cost_bps * 1e-4)
    if panel.cost_rate is None:
        return default
    return torch.where(panel.cost_rate.isnan(), default, panel.cost_rate)


def _next(values: Tensor) -> Tensor:
    # Column t of the result is column t+1; the last one is zero (False).
    shifted = torch.zeros_like(values)
    shifted[:, :-1] = values[:, 1:]
    return shifted


def net_return(
    previous: Array,
    target: Array,
    overnight: Array,
    intraday: Array,
    cost_rate: Array | float,
) -> Array:
    """Simple return of one session net of costs; all arguments broadcast: tensors, or arrays.

    Args:
        previous: Position k before the trade, as a multiple of equity.
        target: Position a after the trade.
        overnight: Return before the trade.
        intraday: Return after the trade.
        cost_rate: Cost per unit of absolute turnover, as a fraction.

    Returns:
        ``k * overnight + a * intraday - cost_rate * |a - k|``.
    """
    return previous * overnight + target * intraday - cost_rate * abs(target - previous)


@overload
def is_ruin(net: Tensor) -> Tensor: ...
@overload
def is_ruin(net: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]: ...
def is_ruin(net: Tensor | npt.NDArray[np.float64]) -> Tensor | npt.NDArray[np.bool_]:
    """Whether a session's net return takes all equity; only this terminates an episode."""
    return net <= -1.0


def effective_target(previous: Tensor, target: Tensor, executable: Tensor) -> Tensor:
    """The position after the session: the target, or the old one where nothing is executed."""
    return torch.where(executable, target, previous)


def return_table(
    overnight: Tensor,
    intraday: Tensor,
    executable: Tensor,
    positions: Tensor,
    cost_rate: Tensor | float,
) -> Tensor:
    """Net simple return for every (previous position k, action a).

    Args:
        overnight: Return on the old position, any shape ``[...]``.
        intraday: Return on the new position, ``[...]``.
        executable: Where False the action is replaced by "keep", ``[...]``.
        positions: The grid, ``[P]``.
        cost_rate: A number, or ``[...]``.

    Returns:
        ``[..., P(k), P(a)]``.
    """
    # The grid's axes come first while computing: long inner loops are several times faster.
    place = [1] * executable.dim()
    old, new = positions.view(-1, 1, *place), positions.view(1, -1, *place)
    target = effective_target(old, new, executable)
    net = net_return(old, target, overnight, intraday, cost_rate)
    return net.movedim((0, 1), (-2, -1)).contiguous()


def next_positions(executable: Tensor, n_positions: int) -> Tensor:
    """Index of the position that each (previous k, action a) leads to.

    Returns:
        int64 ``[..., P(k), P(a)]``: a where executable, k elsewhere.
    """
    grid = torch.arange(n_positions, device=executable.device)
    return effective_target(grid[:, None], grid[None, :], executable[..., None, None])


def follow(actions: Tensor, executable: Tensor, start: int) -> Tensor:
    """Walk through actions that are known from every position.

    Args:
        actions: int64 ``[T, ..., P]``, index of the action by previous position.
        executable: bool ``[T, ...]``; where False the position stays.
        start: Index of the position before the first decision.

    Returns:
        int64 ``[T + 1, ...]``: index of the position before every decision and after the last.
    """
    keep = torch.arange(actions.shape[-1], device=actions.device)
    moves = effective_target(keep, actions, executable.unsqueeze(-1)).contiguous()
    shape = (len(moves) + 1, *moves.shape[1:-1])
    held = torch.full(shape, start, dtype=torch.int64, device=actions.device)
    for t in range(len(moves)):
        held[t + 1] = moves[t].gather(-1, held[t].unsqueeze(-1)).squeeze(-1)
    return held


def position_grid(
    market: MarketParams, device: torch.device, dtype: torch.dtype = torch.float64
) -> Tensor:
    """The position grid ``[P]``, increasing."""
    return torch.tensor(market.positions, device=device, dtype=dtype)


def flat_index(market: MarketParams) -> int:
    """Index of the flat position in the grid."""
    return market.positions.index(0.0)
