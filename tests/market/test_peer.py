"""A library that people know trains on our market as it is, and learns what is planted there."""

import math

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from transfergate.errors import MarketError
from transfergate.market import (
    EpisodeParams,
    MarketVectorEnv,
    PlantedParams,
    optimum_sharpe,
    planted_panel,
)
from transfergate.market.sb3 import Sb3VecEnv
from transfergate.settings import MarketParams

MARKET = MarketParams(cost_bps=5.0)
TRAINED, SESSIONS = 1500, 2000


def open_market(num_envs: int, panel, params: EpisodeParams) -> MarketVectorEnv:
    return MarketVectorEnv(num_envs, panel, MARKET, params, autoreset_mode="SameStep")


def sharpe_by_ticker(act, panel) -> np.ndarray:
    """Sharpe of each ticker's unseen last sessions: one account a ticker, stepped together."""
    env = MarketVectorEnv(
        len(panel.tickers), panel, MARKET, EpisodeParams(None, TRAINED, SESSIONS, None)
    )
    env.reset(seed=0)
    nets = []
    observation = None
    for row, ticker in enumerate(panel.tickers):
        mask = np.arange(len(panel.tickers)) == row
        observation, _ = env.reset(options={"ticker": ticker, "reset_mask": mask})
    for _ in range(SESSIONS - 1 - TRAINED):
        observation, *_, info = env.step(act(observation))
        nets.append(info["net_return"])
    net = np.stack(nets)
    return math.sqrt(252) * net.mean(0) / np.maximum(net.std(0), 1e-12)


@pytest.mark.slow
def test_stable_baselines3_learns_most_of_a_planted_edge():
    torch.set_num_threads(1)
    panel = planted_panel(8, SESSIONS, phi=0.4, n_features=2, seed=1)
    env = Sb3VecEnv(open_market(64, panel, EpisodeParams(None, 0, TRAINED, 126)))
    model = PPO(
        "MlpPolicy", env, n_steps=32, batch_size=512, n_epochs=4, learning_rate=3e-3,
        gamma=0.9, device="cpu", seed=0,
    )  # fmt: skip
    model.learn(64 * 32 * 12)
    learned = sharpe_by_ticker(lambda o: model.predict(o, deterministic=True)[0], panel)
    rng = np.random.default_rng(0)
    chance = sharpe_by_ticker(lambda o: rng.integers(0, 3, len(o)), panel)
    best = optimum_sharpe(panel, MARKET, params=PlantedParams(phi=0.4), first=TRAINED)
    assert learned.mean() > 0.75 * best.sharpe
    assert learned.mean() < best.sharpe + 2.5 * (learned - best.by_ticker.numpy()).std()
    assert learned.min() > 0.0  # flat
    assert (learned > chance).all()


def test_the_adapter_shows_the_last_observation_and_whether_the_end_was_a_cut():
    panel = planted_panel(1, 60, n_noise=0)
    panel.intraday[0, 8:] = -2.0  # ruins whoever is long then
    env = Sb3VecEnv(open_market(2, panel, EpisodeParams(None, 0, 40, 12)), reward_scale=1.0)
    env.seed(3)
    first = env.reset()
    plain = open_market(2, panel, EpisodeParams(None, 0, 40, 12))
    np.testing.assert_array_equal(first, plain.reset(seed=3)[0])
    ends = {}
    for _ in range(60):
        actions = np.array([2, 1])  # long; flat
        got = env.step(actions)
        observation, reward, ruined, cut, infos = plain.step(actions)
        np.testing.assert_array_equal(got[0], observation)
        np.testing.assert_array_equal(got[1], reward.astype(np.float32))
        np.testing.assert_array_equal(got[2], ruined | cut)
        for i in np.flatnonzero(got[2]):
            np.testing.assert_array_equal(got[3][i]["terminal_observation"], infos["final_obs"][i])
            ends[int(i)] = got[3][i]["TimeLimit.truncated"]
    assert ends == {0: False, 1: True}


def test_a_mode_that_stable_baselines3_would_misread_is_refused():
    with pytest.raises(MarketError, match="SameStep"):
        Sb3VecEnv(MarketVectorEnv(2))
    env = Sb3VecEnv(MarketVectorEnv(2, autoreset_mode="SameStep"))
    with pytest.raises(MarketError, match="one batch"):
        env.env_method("reset")
    assert env.get_attr("num_envs") == [2, 2]
