"""The peers' scalar environment is the same market as ours, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._plain_env import REWARD_SCALE, PlainMarketEnv
from transfergate.market import EpisodeParams, MarketEnv, planted_panel
from transfergate.settings import MarketParams


def test_it_equals_our_environment_step_by_step():
    panel, market = planted_panel(2, 80, n_noise=3), MarketParams(cost_bps=10.0)
    panel.tradable[1, 40:43] = False
    plain = PlainMarketEnv(panel, market, 60)
    ours = MarketEnv(panel, market, EpisodeParams(None, 0, None, 60))
    seen, _ = plain.reset(options={"row": 1, "session": 5})
    same, _ = ours.reset(seed=0, options={"ticker": panel.tickers[1], "session": 5})
    rng = np.random.default_rng(0)
    for _ in range(60):
        assert seen.tolist() == same.tolist()
        action = rng.integers(3)
        seen, reward, ruined, ended, _ = plain.step(action)
        same, expected, terminated, truncated, _ = ours.step(action)
        assert reward == pytest.approx(expected * REWARD_SCALE, abs=1e-9)
        assert (ruined, ended) == (terminated, truncated)
    assert ended
    assert seen.tolist() == same.tolist()


def test_a_window_shows_earlier_sessions_first():
    panel = planted_panel(1, 80, n_noise=3)
    env = PlainMarketEnv(panel, MarketParams(), 20, window=4)
    seen, _ = env.reset(options={"row": 0, "session": 10})
    assert seen[:-1].tolist() == panel.features[0, 7:11].reshape(-1).tolist()
    assert env.observation_space.shape == seen.shape
