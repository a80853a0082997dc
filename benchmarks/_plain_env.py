"""The planted market as one would write it for one account: the peers' environment.

Scalar arithmetic on lists, no tensors: on a single environment faster than any batched one, so that
no peer is slowed down by ours. ``tests/benchmarks`` holds it equal to ``MarketEnv`` step by step.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from transfergate.market import Panel, dynamics, rewards
from transfergate.settings import MarketParams

REWARD_SCALE = 100.0
"""Log returns in per cent: value networks learn badly from numbers of 0.001."""

Observation = npt.NDArray[np.float32]


class PlainMarketEnv(gymnasium.Env[Observation, np.int64]):
    """One account; observation is the features, ``window`` sessions of them, then the position."""

    def __init__(
        self,
        panel: Panel,
        market: MarketParams,
        episode: int,
        *,
        window: int = 1,
        seed: int = 0,
    ) -> None:
        met = dynamics.outcomes(panel, market)
        self._features = panel.features.numpy()
        self._held, self._traded = met.held.tolist(), met.traded.tolist()
        self._cost, self._executable = met.cost_rate.tolist(), met.executable.tolist()
        self._grid = market.positions
        self._episode, self._window = episode, window
        self._rng = np.random.default_rng(seed)
        size = panel.n_features * window + 1
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Discrete(len(self._grid))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        options = options or {}
        tickers, sessions = self._features.shape[:2]
        first = self._window - 1
        last = sessions - 1 - self._episode
        self.row = options.get("row", int(self._rng.integers(tickers)))
        self.session = options.get("session", int(self._rng.integers(first, last + 1)))
        self._end = self.session + self._episode
        self.position = 0.0
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        row, session, before = self.row, self.session, self.position
        after = self._grid[int(action)] if self._executable[row][session] else before
        net = before * self._held[row][session] + after * self._traded[row][session]
        net -= self._cost[row][session] * abs(after - before)
        self.position, self.session = after, session + 1
        ruined = net <= -1.0
        reward = math.log1p(max(net, rewards.RUIN_RETURN)) * REWARD_SCALE
        return self._observe(), reward, ruined, not ruined and self.session >= self._end, {}

    def _observe(self) -> Observation:
        first = self.session - self._window + 1
        seen = self._features[self.row, first : self.session + 1].reshape(-1)
        return np.append(seen, np.float32(self.position))
