import math

import numpy as np
import pytest
import torch

from transfergate.errors import MarketError
from transfergate.market import EpisodeParams, MarketEnv, MarketVectorEnv, planted_panel
from transfergate.market.rewards import REWARDS, reward_of
from transfergate.market.slots import SLOTS, check_slots
from transfergate.settings import MarketParams

GRID = (-1.0, 0.0, 0.5, 1.0)
POSITIONS = (0.0, 1.0, 1.0, 0.5, 0.5, -1.0, -1.0, 0.0, 0.0, 1.0)


def market(reward: str = "drawdown", timing: str = "next_open") -> MarketParams:
    return MarketParams(positions=GRID, cost_bps=10.0, reward=reward, timing=timing)


def test_without_slots_the_observation_is_features_and_position():
    env = MarketEnv(planted_panel(1, 40, n_noise=2))
    assert env.observation_space.shape == (4,)
    assert EpisodeParams().slots == ()


@pytest.mark.parametrize("timing", ["next_open", "same_close"])
def test_slots_follow_a_plain_account(timing: str):
    panel = planted_panel(1, 40, n_noise=0, seed=2)
    names = tuple(name for name in SLOTS if name != "reward_state")
    env = MarketEnv(panel, market(timing=timing), EpisodeParams(episode_sessions=20, slots=names))
    env.reset(seed=0, options={"session": 3})
    held, equity, peak, total, age, entry = 0.0, 1.0, 1.0, 0.0, 0, None
    for t, target in enumerate(POSITIONS, start=4):
        observation, reward, *_ = env.step(np.int64(GRID.index(target)))
        night, day = panel.overnight[0, t].item(), panel.intraday[0, t].item()
        if timing == "same_close":
            night, day = 0.0, (1 + night) * (1 + day) - 1
        net = held * night + target * day - 1e-3 * abs(target - held)
        equity *= 1 + net
        peak = max(peak, equity)
        total += reward
        age = age + 1 if target == held else 1
        if target == 0.0:
            entry = None
        elif entry is not None and held * target > 0:
            entry *= (1 + night) * (1 + day)  # resized, or kept: entered as before
        else:
            entry = 1 + day
        held = target
        want = {
            "entry_return": 0.0 if entry is None else entry - 1,
            "equity": equity,
            "cash": equity * (1 - held),
            "drawdown": 1 - equity / peak,
            "accumulated_reward": total,
            "sessions_held": age,
        }
        np.testing.assert_allclose(
            observation[2:], [want[name] for name in names], rtol=2e-6, atol=1e-7
        )


@pytest.mark.parametrize("name", REWARDS)
def test_an_episodes_rewards_are_those_along_its_net_returns(name: str):
    panel = planted_panel(3, 60, n_noise=0, seed=4)
    env = MarketVectorEnv(5, panel, market(name), EpisodeParams(episode_sessions=40))
    env.reset(seed=1)
    rng = np.random.default_rng(0)
    steps = [env.step(rng.integers(0, 4, 5)) for _ in range(40)]
    rewards = np.stack([step[1] for step in steps])
    net = torch.from_numpy(np.stack([step[4]["net_return"] for step in steps]))
    np.testing.assert_allclose(rewards, reward_of(market(name)).along(net).numpy(), atol=1e-12)
    assert math.isfinite(rewards.sum())


def test_the_state_of_a_reward_is_observed_by_name_and_starts_anew_with_the_episode():
    panel = planted_panel(1, 60, n_noise=0)
    for name, kind in REWARDS.items():
        params = EpisodeParams(episode_sessions=10, slots=("equity", "reward_state"))
        env = MarketVectorEnv(2, panel, market(name), params)
        first, _ = env.reset(seed=3)
        assert first.shape == (2, 3 + len(kind.state))
        start = first[:, 2:].copy()
        for _ in range(10):
            last, *_ = env.step(np.array([0, 3]))
        assert (last[:, 2] != 1.0).all()
        if kind.state:
            assert (last[:, 3:] != start[:, 1:]).any(axis=1).all()
        again, *_ = env.step(np.array([0, 3]))  # next-step autoreset
        np.testing.assert_array_equal(again[:, 2:], start)


def test_unknown_and_repeated_slots_are_refused():
    with pytest.raises(MarketError, match=r"found \['price'\]"):
        MarketEnv(planted_panel(1, 40), params=EpisodeParams(slots=("price",)))
    with pytest.raises(MarketError, match="repeats"):
        check_slots(("cash", "cash"))
