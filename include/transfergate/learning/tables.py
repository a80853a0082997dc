"""What a decision earns, by (previous position, action), at any place of a panel.

A place is ``row * n_sessions + session``. Tables of the whole panel are made once where training
reads more places than the panel has, and place by place where it reads fewer; the bits are the
same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from transfergate.market import dynamics
from transfergate.market.panel import Panel
from transfergate.market.rewards import Reward, reward_of
from transfergate.settings import MarketParams

REWARD_SCALE = 100.0
"""Rewards that are returns are in per cent in training; advantages are normalised afterwards."""

_BLOCK = 8192
"""Places whose tables are made at a time: their float64 numbers fit into the cache."""


def tabled(reward: Reward) -> bool:
    """Whether the reward depends on (previous position, action, session) alone."""
    return reward.exact and not reward.linearised


class RewardTables:
    """Rewards, executability and ruin at places of a panel, on the panel's device.

    Attributes:
        executable: bool (N, T).
    """

    def __init__(self, panel: Panel, market: MarketParams, reads: int) -> None:
        """Prepare.

        Args:
            panel: Returns and costs.
            market: Positions, costs, timing, reward.
            reads: Places that training will read, about; decides what is made at once.
        """
        outcomes = dynamics.outcomes(panel, market)
        self.executable = outcomes.executable
        parts = (outcomes.held, outcomes.traded, outcomes.executable, outcomes.cost_rate)
        self._parts = [part.reshape(-1) for part in parts]
        self._kind = reward_of(market)
        self._grid = dynamics.position_grid(market, panel.device)
        grid = self._grid.float()
        self._turnover = (grid[:, None] - grid[None, :]).abs()
        n_places = self.executable.numel()
        self._net: Tensor | None = None
        if reads >= n_places or panel.device.type == "cuda":
            self._net = torch.empty(n_places, *self._turnover.shape, device=panel.device)
            for first in range(0, n_places, _BLOCK):
                block = slice(first, first + _BLOCK)
                self._net[block] = self._returns([part[block] for part in self._parts])
            self._reward = self._reward_of(self._net)
            self._may_ruin = _ruins(self._net)

    def take(
        self, places: Tensor, charge: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read some places.

        Args:
            places: int64 (n,).
            charge: Cost per unit of executed turnover in the reward alone, (n,); None for none.

        Returns:
            Rewards (n, P, P): a ``tabled`` one in per cent, of any other the net simple returns;
            whether the decision is executable, bool (n,); and whether it ruins, bool (n, P, P),
            None where none does.
        """
        executable = self._parts[2].index_select(0, places)
        if self._net is not None and charge is None and not self._may_ruin:
            return self._reward.index_select(0, places), executable, None
        if self._net is not None:
            net, may_ruin = self._net.index_select(0, places), self._may_ruin
        else:
            net = self._returns([part.index_select(0, places) for part in self._parts])
            may_ruin = _ruins(net)
        ruined = dynamics.is_ruin(net) if may_ruin else None
        if charge is not None:
            net = net - (charge * executable)[:, None, None] * self._turnover
        return self._reward_of(net), executable, ruined

    def _returns(self, parts: list[Tensor]) -> Tensor:
        # float32 (n, P, P), computed in float64.
        held, traded, executable, rate = parts
        return dynamics.return_table(held, traded, executable, self._grid, rate).float()

    def _reward_of(self, net: Tensor) -> Tensor:
        # A tabled reward in per cent; of any other the net returns, from which it is made later.
        return self._kind.table(net) * REWARD_SCALE if tabled(self._kind) else net


def _ruins(net: Tensor) -> bool:
    return bool(dynamics.is_ruin(net.amin()))
