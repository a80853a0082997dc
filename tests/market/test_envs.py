import sys
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from transfergate.errors import MarketError
from transfergate.market import (
    ENV_ID,
    EpisodeParams,
    MarketEnv,
    MarketVectorEnv,
    dynamics,
    planted_panel,
)
from transfergate.market.rewards import REWARDS
from transfergate.market.slots import SLOTS
from transfergate.settings import MarketParams

MARKET = MarketParams(positions=(-2.0, -1.0, 0.0, 1.0, 2.0), cost_bps=10.0)


def rough_panel():
    """Planted, with gaps, sessions that are not ready, and crashes that ruin a doubled bet."""
    panel = planted_panel(3, 120, n_noise=2, seed=5)
    panel.tradable[0, 20:24] = False
    panel.ready[1, 30:40] = False
    panel.intraday[2, ::9] = -0.6
    panel.intraday[1, ::11] = 0.6
    return panel


def same_info(ours: dict, theirs: dict) -> None:
    assert sorted(ours) == sorted(theirs)
    for key, value in theirs.items():
        if isinstance(value, dict):
            same_info(ours[key], value)
        elif value.dtype == object:
            for a, b in zip(ours[key], value, strict=True):
                np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_array_equal(ours[key], value, err_msg=key)


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("slot", [None, *SLOTS])
def test_env_passes_gymnasiums_checks(reward: str, slot: str | None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        market = MARKET.model_copy(update={"reward": reward})
        params = EpisodeParams(slots=(slot,) if slot else ())
        env = gymnasium.make(ENV_ID, panel=rough_panel(), market=market, params=params)
        check_env(env.unwrapped)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize(
    ("reward", "slots"), [("log_return", ()), *((name, tuple(SLOTS)) for name in REWARDS)]
)
def test_vector_env_equals_sync_vector_env_step_by_step(
    mode: AutoresetMode, reward: str, slots: tuple[str, ...]
):
    panel = rough_panel()
    params = EpisodeParams(episode_sessions=25, first=3, stop=110, slots=slots)
    market = MARKET.model_copy(update={"reward": reward})
    ours = MarketVectorEnv(6, panel, market, params, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: MarketEnv(panel, market, params)] * 6, autoreset_mode=mode)
    assert ours.metadata == theirs.metadata
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    rng = np.random.default_rng(1)
    a, b = ours.reset(seed=7), theirs.reset(seed=7)
    seen = {"terminated": False, "truncated": False}
    for _ in range(120):
        np.testing.assert_array_equal(a[0], b[0])
        same_info(a[-1], b[-1])
        actions = rng.integers(0, 5, 6)
        a, b = ours.step(actions), theirs.step(actions)
        for mine, other in zip(a[1:4], b[1:4], strict=True):
            np.testing.assert_array_equal(mine, other)
        seen["terminated"] |= bool(a[2].any())
        seen["truncated"] |= bool(a[3].any())
        ended = a[2] | a[3]
        if mode is AutoresetMode.DISABLED and ended.any():
            a = ours.reset(options={"reset_mask": ended})
            b = theirs.reset(options={"reset_mask": ended})
    assert all(seen.values())


def test_registered_vector_env_declares_its_autoreset_mode():
    env = gymnasium.make_vec(ENV_ID, num_envs=3, panel=rough_panel())
    assert isinstance(env.unwrapped, MarketVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_an_episode_obeys_the_market_arithmetic():
    panel = rough_panel()
    env = MarketEnv(panel, MARKET, EpisodeParams(episode_sessions=None))
    met = dynamics.outcomes(panel, MARKET)
    observation, _ = env.reset(seed=0, options={"ticker": panel.tickers[0], "session": 0})
    rng = np.random.default_rng(0)
    position, equity = 0.0, 1.0
    for t in range(60):
        np.testing.assert_array_equal(observation[:-1], panel.features[0, t].numpy())
        assert observation[-1] == np.float32(position)
        action = int(rng.integers(1, 4))
        observation, reward, terminated, truncated, info = env.step(action)
        target = MARKET.positions[action] if met.executable[0, t] else position
        net = (
            position * panel.overnight[0, t + 1].item()
            + target * panel.intraday[0, t + 1].item()
            - 1e-3 * abs(target - position)
        )
        position, equity = target, equity * (1 + net)
        assert reward == pytest.approx(np.log1p(net), abs=1e-12)
        assert info["equity"] == pytest.approx(equity)
        assert not terminated
        assert not truncated


def test_ruin_terminates_and_the_end_truncates():
    panel = rough_panel()
    env = MarketEnv(panel, MARKET, EpisodeParams(episode_sessions=10))
    env.reset(seed=0, options={"ticker": panel.tickers[2], "session": 0})
    for _ in range(9):
        _, _, terminated, truncated, info = env.step(np.int64(4))
    assert (terminated, truncated, info["equity"]) == (True, False, 0.0)
    brief = MarketEnv(panel, MARKET, EpisodeParams(episode_sessions=9))  # ruined in its last step
    brief.reset(seed=0, options={"ticker": panel.tickers[2], "session": 0})
    assert [brief.step(np.int64(4))[2:4] for _ in range(9)][-1] == (True, False)
    env.reset(options={"ticker": panel.tickers[0], "session": 0})
    ends = [env.step(np.int64(2))[2:4] for _ in range(10)]
    assert ends == [(False, False)] * 9 + [(False, True)]


def test_constant_position_without_cost_is_buy_and_hold_of_the_prices():
    panel = planted_panel(1, 80, overnight_share=0.0)
    env = MarketEnv(panel, MarketParams(cost_bps=0.0), EpisodeParams(episode_sessions=None))
    env.reset(seed=0)
    while True:
        _, _, terminated, truncated, info = env.step(np.int64(2))
        if terminated or truncated:
            break
    price = ((1 + panel.intraday) * (1 + panel.overnight)).cumprod(1)
    # Entered at the first open; with no overnight moves the two legs compound exactly.
    assert panel.overnight.abs().max() == 0.0
    assert info["equity"] == pytest.approx((price[0, -1] / price[0, 0]).item(), rel=1e-12)


def test_episodes_never_show_sessions_at_or_after_stop():
    panel = rough_panel()
    poisoned = rough_panel()
    for name in ("features", "overnight", "intraday"):
        getattr(poisoned, name)[:, 60:] = 9e9
    params = EpisodeParams(stop=60, episode_sessions=20)
    envs = [MarketVectorEnv(16, p, MARKET, params) for p in (panel, poisoned)]
    for env in envs:
        env.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = rng.integers(0, 5, 16)
        (a, ra, *_), (b, rb, *_) = (env.step(actions) for env in envs)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(ra, rb)


def test_same_seed_same_episodes_and_other_seed_others():
    panel = rough_panel()
    first, second = (MarketVectorEnv(32, panel, MARKET) for _ in range(2))
    a, _ = first.reset(seed=11)
    b, _ = second.reset(seed=11)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, second.reset(seed=12)[0])


def test_unusable_slices_and_options_are_refused():
    panel = planted_panel(1, 20)
    with pytest.raises(MarketError, match="first < stop - 1"):
        MarketEnv(panel, MARKET, EpisodeParams(first=19))
    env = MarketEnv(panel, MARKET, EpisodeParams(episode_sessions=10))
    with pytest.raises(MarketError, match="start session 15"):
        env.reset(seed=0, options={"session": 15})
    with pytest.raises(MarketError, match="'start'"):
        env.reset(seed=0, options={"start": 3})
    vector = MarketVectorEnv(
        2, panel, MARKET, EpisodeParams(episode_sessions=1), autoreset_mode="Disabled"
    )
    vector.reset(seed=0)
    vector.step(np.array([0, 0]))
    with pytest.raises(MarketError, match="reset_mask"):
        vector.step(np.array([0, 0]))


def test_batched_episodes_equal_looped_ones_for_many_accounts():
    # 40 accounts take the wide table of features, one account does not.
    panel, slots = rough_panel(), tuple(SLOTS)
    params = EpisodeParams(episode_sessions=30, slots=slots)
    many = MarketVectorEnv(40, panel, MARKET, params)
    singles = [MarketEnv(panel, MARKET, params) for _ in range(40)]
    observation, _ = many.reset(seed=5)
    alone = [env.reset(seed=5 + i)[0] for i, env in enumerate(singles)]
    np.testing.assert_allclose(observation, np.stack(alone), atol=1e-6)
    rng, running = np.random.default_rng(2), np.ones(40, dtype=bool)
    for _ in range(30):
        actions = rng.integers(0, 5, 40)
        observation, reward, terminated, truncated, _ = many.step(actions)
        for i in np.flatnonzero(running):
            seen, earned, ruined, ended, _ = singles[i].step(actions[i])
            np.testing.assert_allclose(observation[i], seen, atol=1e-6)
            assert reward[i] == pytest.approx(earned, abs=1e-6)
            assert (terminated[i], truncated[i]) == (ruined, ended)
        running &= ~(terminated | truncated)
    assert not running.any()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_step_makes_as_many_calls_for_four_thousand_accounts_as_for_fifty(mode: str):
    # No Python loop over accounts: what runs is the same, only the arrays are longer.
    panel, calls = planted_panel(20, 300, n_noise=3), {}
    for n in (50, 4000):
        params = EpisodeParams(slots=tuple(SLOTS))
        env = MarketVectorEnv(n, panel, MARKET, params, autoreset_mode=mode)
        env.reset(seed=0)
        actions = np.zeros(n, dtype=np.int64)
        env.step(actions)
        seen: list[str] = []
        sys.setprofile(lambda _frame, event, _arg, seen=seen: seen.append(event))
        env.step(actions)
        sys.setprofile(None)
        calls[n] = len(seen)
    assert calls[4000] == calls[50] < 400


@pytest.mark.parametrize("timing", ["next_open", "same_close"])
def test_an_episode_pays_its_tickers_cost_of_the_session_it_trades_in(timing: str):
    panel = planted_panel(2, 30, n_noise=0)
    rates = torch.rand(2, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    object.__setattr__(panel, "cost_rate", rates * 1e-2)
    env = MarketEnv(panel, MarketParams(timing=timing), EpisodeParams(episode_sessions=10))
    for row, ticker in enumerate(panel.tickers):
        env.reset(seed=0, options={"ticker": ticker, "session": 5})
        held = 0.0
        for t in range(5, 13):
            *_, info = env.step(np.int64(2 * (t % 2)))
            target = (-1.0, 1.0)[t % 2]
            legs = panel.overnight[row, t + 1].item(), panel.intraday[row, t + 1].item()
            if timing == "next_open":
                gross = held * legs[0] + target * legs[1]
            else:
                gross = target * ((1 + legs[0]) * (1 + legs[1]) - 1)
            traded_in = t + 1 if timing == "next_open" else t
            paid = rates[row, traded_in].item() * 1e-2 * abs(target - held)
            assert info["net_return"] == pytest.approx(gross - paid, abs=1e-15)
            held = target


def test_zero_costs_exist_for_replications():
    panel = planted_panel(1, 40, n_noise=0)
    env = MarketEnv(panel, MarketParams(cost_bps=0.0, timing="same_close"))
    env.reset(seed=0, options={"session": 0})
    for t in range(20):
        *_, info = env.step(np.int64(2 * (t % 2)))
        whole = (1 + panel.overnight[0, t + 1]) * (1 + panel.intraday[0, t + 1]) - 1
        want = 0.0 if t == 0 else (whole * (-1.0, 1.0)[t % 2]).item()
        assert info["net_return"] == pytest.approx(want, abs=1e-15)


def test_panel_tensors_are_not_changed_by_trading():
    panel = rough_panel()
    before = panel.intraday.clone()
    env = MarketVectorEnv(4, panel, MARKET)
    env.reset(seed=0)
    env.step(np.array([0, 1, 2, 3]))
    assert torch.equal(before, panel.intraday)
