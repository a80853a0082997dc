"""Many trading episodes at once over one panel: the state machine behind both Gymnasium shells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.errors import MarketError
from transfergate.market import dynamics
from transfergate.market.draws import UInts, draw_below
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams

_ROW, _START = np.array([0]), np.array([1])  # purposes of draws


@dataclass(frozen=True)
class EpisodeParams:
    """Where episodes take place.

    Attributes:
        tickers: Rows to draw from; all of the panel when None.
        first: First session in which a decision may be taken.
        stop: Sessions at or after it are never read; the panel's end when None.
        episode_sessions: Decisions per episode, cut to what fits; None means the whole slice.
    """

    tickers: tuple[str, ...] | None = None
    first: int = 0
    stop: int | None = None
    episode_sessions: int | None = 252


@dataclass(frozen=True)
class StepResult:
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
        self._outcomes = dynamics.outcomes(panel, market)
        self._grid = dynamics.position_grid(market, panel.device)
        self._features = panel.features.numpy()
        self._key = np.zeros(n_episodes, dtype=np.uint64)
        self._count = np.zeros(n_episodes, dtype=np.int64)
        self.row = np.zeros(n_episodes, dtype=np.int64)
        self.session = np.zeros(n_episodes, dtype=np.int64)
        self.end = np.zeros(n_episodes, dtype=np.int64)
        self.position = np.zeros(n_episodes)
        self.equity = np.ones(n_episodes)

    def seed(self, which: npt.NDArray[np.bool_], keys: UInts) -> None:
        """Give the selected episodes new keys and start counting their episodes anew."""
        self._key[which] = keys
        self._count[which] = 0

    def reset(
        self,
        which: npt.NDArray[np.bool_],
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
        self.row[which] = rows if row is None else row
        self.session[which] = starts if session is None else session
        self.end[which] = self.session[which] + self.episode_sessions
        self.position[which] = 0.0
        self.equity[which] = 1.0
        self._count[which] += 1

    def step(self, actions: npt.NDArray[np.int64], which: npt.NDArray[np.bool_]) -> StepResult:
        """Carry out one decision in the selected episodes; the others rest with zeros."""
        now = self._outcomes.take(torch.from_numpy(self.row), torch.from_numpy(self.session))
        previous = torch.from_numpy(self.position)
        target = dynamics.effective_target(
            previous, self._grid[torch.from_numpy(actions)], now.executable
        )
        net = dynamics.net_return(previous, target, now.held, now.traded, now.cost_rate)
        ruined = dynamics.is_ruin(net)
        moving = torch.from_numpy(which)
        result = StepResult(
            reward=_where(moving, dynamics.reward(net)),
            net_return=_where(moving, net),
            turnover=_where(moving, (target - previous).abs()),
            terminated=(ruined & moving).numpy(),
            truncated=which & ~ruined.numpy() & (self.session + 1 >= self.end),
        )
        self.equity = self.equity * np.maximum(1.0 + result.net_return, 0.0)
        self.position = np.where(which, target.numpy(), self.position)
        self.session = self.session + which
        return result

    def observe(self) -> npt.NDArray[np.float32]:
        """Features at each episode's session, then the position held; float32 (E, F + 1)."""
        features = self._features[self.row, self.session]
        return np.concatenate([features, self.position[:, None].astype(np.float32)], axis=1)


def _where(which: Tensor, values: Tensor) -> npt.NDArray[np.float64]:
    return torch.where(which, values, 0.0).numpy()
