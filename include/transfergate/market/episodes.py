"""Many trading episodes at once over one panel: the state machine behind both Gymnasium shells.

No Python loop over episodes and no conversion of the panel per step: returns and features lie in
flat tables by (row, session), and a step reads one row of each per episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from transfergate.errors import MarketError
from transfergate.market import dynamics
from transfergate.market.draws import UInts, draw_below
from transfergate.market.panel import Panel
from transfergate.market.rewards import reward_of
from transfergate.market.slots import Move, SlotBook, slot_columns
from transfergate.settings import MarketParams

Floats = npt.NDArray[np.float64]
Which = npt.NDArray[np.bool_]

_ROW, _START = np.array([0]), np.array([1])  # purposes of draws
_WIDE_TABLE_FROM = 32  # episodes from which a copy of the features with room for the state pays


@dataclass(frozen=True)
class EpisodeParams:
    """Where episodes take place.

    Attributes:
        tickers: Rows to draw from; all of the panel when None.
        first: First session in which a decision may be taken.
        stop: Sessions at or after it are never read; the panel's end when None.
        episode_sessions: Decisions per episode, cut to what fits; None means the whole slice.
        slots: What is observed beyond features and position (``slots.SLOTS``), in this order.
    """

    tickers: tuple[str, ...] | None = None
    first: int = 0
    stop: int | None = None
    episode_sessions: int | None = 252
    slots: tuple[str, ...] = ()


class StepResult(NamedTuple):
    """Outcome of one step of E episodes; every array has shape (E,)."""

    reward: npt.NDArray[np.float64]
    net_return: npt.NDArray[np.float64]
    turnover: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]


class Episodes:
    """E independent episodes. State: row, session, position and equity, each of shape (E,).

    Start ticker and session are a hash of (key of the episode's seed, number of the episode), so
    that they do not depend on how many episodes run side by side.
    """

    def __init__(
        self, panel: Panel, market: MarketParams, params: EpisodeParams, n_episodes: int
    ) -> None:
        panel = panel.to("cpu")
        self.panel, self.market, self.n_episodes = panel, market, n_episodes
        names: Sequence[str] = params.tickers or panel.tickers
        self._rows = np.array([panel.row(name) for name in names], dtype=np.int64)
        stop = panel.n_sessions if params.stop is None else params.stop
        decisions = stop - 1 - params.first
        if params.first < 0 or stop > panel.n_sessions or decisions < 1:
            raise MarketError(
                f"episodes in sessions [{params.first}, {stop}) of {panel.n_sessions}: expected "
                f"0 <= first < stop - 1 and stop <= {panel.n_sessions}; choose another slice"
            )
        self._first = params.first
        self.episode_sessions = min(params.episode_sessions or decisions, decisions)
        self._n_starts = decisions - self.episode_sessions + 1
        self._read_market(panel, market, n_episodes, params.slots)
        self._key = np.zeros(n_episodes, dtype=np.uint64)
        self._count = np.zeros(n_episodes, dtype=np.int64)
        self.row = np.zeros(n_episodes, dtype=np.int64)
        self.session = np.zeros(n_episodes, dtype=np.int64)
        self.end = np.zeros(n_episodes, dtype=np.int64)
        self.position = np.zeros(n_episodes)
        self.equity = np.ones(n_episodes)
        self._offset = self.row * panel.n_sessions  # of the row in the flat tables

    def _read_market(
        self, panel: Panel, market: MarketParams, n_episodes: int, slots: tuple[str, ...]
    ) -> None:
        # Lay the market out in flat tables by (row, session), once.
        met = dynamics.outcomes(panel, market)
        self._legs = torch.stack((met.held, met.traded, met.cost_rate), -1).view(-1, 3).numpy()
        self._executable = met.executable.reshape(-1).numpy()
        self._grid = dynamics.position_grid(market, panel.device).numpy()
        self._reward = reward_of(market)
        self._book = SlotBook(slots, n_episodes)
        self._memory = self._reward.begin((n_episodes,))
        self.n_columns = panel.n_features + 1 + slot_columns(slots, self._reward)
        features = panel.features.reshape(-1, panel.n_features).numpy()
        if n_episodes >= _WIDE_TABLE_FROM:
            wide = np.zeros((len(features), self.n_columns), dtype=np.float32)
            wide[:, : panel.n_features] = features
            features = wide
        self._features = features

    def seed(self, which: Which, keys: UInts) -> None:
        """Give the selected episodes new keys and start counting their episodes anew."""
        self._key[which] = keys
        self._count[which] = 0

    def reset(
        self,
        which: Which,
        row: int | None = None,
        session: int | None = None,
    ) -> None:
        """Start the selected episodes, flat and with equity 1, at drawn or given places.

        Raises:
            MarketError: If the given session leaves no room for an episode.
        """
        counters = self._count[which]
        rows = self._rows[draw_below(len(self._rows), self._key[which], [_ROW, counters])]
        starts = self._first + draw_below(self._n_starts, self._key[which], [_START, counters])
        if session is not None and not 0 <= session - self._first < self._n_starts:
            raise MarketError(
                f"start session {session}: expected {self._first} to "
                f"{self._first + self._n_starts - 1} for episodes of {self.episode_sessions} "
                f"sessions; choose an earlier session or shorter episodes"
            )
        self.row = np.where(which, _spread(rows if row is None else row, which), self.row)
        begin = _spread(starts if session is None else session, which)
        self.session = np.where(which, begin, self.session)
        self.end = np.where(which, begin + self.episode_sessions, self.end)
        self.position = np.where(which, 0.0, self.position)
        self.equity = np.where(which, 1.0, self.equity)
        self._offset = self.row * self.panel.n_sessions
        self._memory[torch.from_numpy(which)] = self._reward.begin((int(which.sum()),))
        self._book.reset(which)
        self._count[which] += 1

    def step(self, actions: npt.NDArray[np.int64], which: Which | None = None) -> StepResult:
        """Carry out one decision in the selected episodes; the others rest with zeros.

        Args:
            actions: Index into the position grid, (E,).
            which: Who moves, (E,); everyone when None.
        """
        place = self._offset + self.session
        held, traded, cost_rate = self._legs.take(place, axis=0).T
        previous = self.position
        target = np.where(self._executable.take(place), self._grid.take(actions), previous)
        net = dynamics.net_return(previous, target, held, traded, cost_rate)
        reward, memory = self._reward.advance(self._memory, torch.from_numpy(net))
        gain, turnover = reward.numpy(), np.abs(target - previous)
        ruined = dynamics.is_ruin(net)
        session = self.session + 1
        if which is not None:
            gain, net, turnover = (np.where(which, x, 0.0) for x in (gain, net, turnover))
            ruined = ruined & which
            target = np.where(which, target, previous)
            session = np.where(which, session, self.session)
            memory = torch.where(torch.from_numpy(which)[:, None], memory, self._memory)
        truncated = (session >= self.end) & ~ruined
        if which is not None:
            truncated &= which
        self.equity = self.equity * np.maximum(1.0 + net, 0.0)
        if self._book.in_use:
            self._book.record(Move(previous, target, held, traded, gain, self.equity), which)
        self.position, self.session, self._memory = target, session, memory
        return StepResult(gain, net, turnover, ruined, truncated)

    def observe(self) -> npt.NDArray[np.float32]:
        """Features of each episode's session, the position held, the slots; float32 (E, C)."""
        n_features = self.panel.n_features
        place = self._offset + self.session
        if self._features.shape[1] == self.n_columns:
            out = self._features.take(place, axis=0)
        else:
            out = np.empty((self.n_episodes, self.n_columns), dtype=np.float32)
            out[:, :n_features] = self._features.take(place, axis=0)
        out[:, n_features] = self.position
        if self._book.in_use:
            self._book.write(
                out[:, n_features + 1 :], self.position, self.equity, self._memory.numpy()
            )
        return out


def _spread(values: npt.NDArray[np.int64] | int, which: Which) -> npt.NDArray[np.int64] | int:
    # Values of the selected episodes at their places; a single value serves all.
    if isinstance(values, int | np.integer):
        return int(values)
    out = np.zeros(len(which), dtype=np.int64)
    out[which] = values
    return out
