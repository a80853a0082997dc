import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergate.errors import MarketError
from transfergate.market import dynamics, planted_panel
from transfergate.market.moments import Moments, expected_moments
from transfergate.market.rewards import PRIOR_SESSIONS, PRIOR_VOLATILITY, REWARDS, reward_of
from transfergate.settings import MarketParams

MARKETS = {name: MarketParams(reward=name) for name in REWARDS}
SEEDS = st.integers(0, 1000)


def returns(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.02 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def random_market(seed: int, sessions: int = 7, paths: int = 3):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sessions, paths, 3, 3, generator=generator, dtype=torch.float64)
    legs = 0.02 * torch.randn(2, sessions, paths, generator=generator, dtype=torch.float64)
    grid = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    every = torch.ones(sessions, paths, dtype=torch.bool)
    return logits, dynamics.return_table(legs[0], legs[1], every, grid, 1e-3)


def occupancies(policy: torch.Tensor) -> torch.Tensor:
    held = [torch.tensor([0.0, 1.0, 0.0], dtype=policy.dtype).expand(policy.shape[1], 3)]
    for t in range(len(policy) - 1):
        held.append((held[-1].unsqueeze(-1) * policy[t]).sum(-2))
    return torch.stack(held)


def test_every_reward_says_what_covers_it_what_it_remembers_and_its_units():
    assert set(REWARDS) == set(MarketParams.model_fields["reward"].annotation.__args__)
    covered = {
        name: (kind.exact, kind.linearised, bool(kind.state)) for name, kind in REWARDS.items()
    }
    assert covered == {
        "log_return": (True, False, False),
        "simple_return": (True, False, False),
        "path_sharpe": (True, True, True),
        "differential_sharpe": (False, False, True),
        "drawdown": (False, False, True),
    }
    assert all(kind.units and kind.source for kind in REWARDS.values())
    assert reward_of(MarketParams()).name == "log_return"


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_gradient_of_the_linearised_reward_is_that_of_the_sharpe_of_expected_moments(seed: int):
    logits, net = random_market(seed)
    logits.requires_grad_()

    def moments() -> tuple[torch.Tensor, torch.Tensor, Moments]:
        policy = logits.softmax(-1)
        held = occupancies(policy)
        return policy, held, expected_moments(net, policy, held, (0, 1))

    (wanted,) = torch.autograd.grad(moments()[2].sharpe().sum(), logits)
    policy, held, expected = moments()
    fixed = Moments(expected.first.detach(), expected.second.detach())
    table = reward_of(MARKETS["path_sharpe"]).table(net, fixed)
    objective = (held.unsqueeze(-1) * policy * table).sum((-2, -1)).mean()
    (got,) = torch.autograd.grad(objective, logits)
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
    assert wanted.abs().max() > 1e-6


def test_expected_moments_equal_the_enumeration_of_all_paths():
    logits, net = random_market(3, sessions=4, paths=1)
    policy = logits.softmax(-1)
    first = second = 0.0
    for actions in itertools.product(range(3), repeat=4):
        chance, held = 1.0, 1
        for t, action in enumerate(actions):
            chance *= policy[t, 0, held, action].item()
            held = action
        earned = [
            net[t, 0, k, a].item()
            for t, (k, a) in enumerate(zip((1, *actions[:-1]), actions, strict=True))
        ]
        first += chance * sum(earned) / 4
        second += chance * sum(r * r for r in earned) / 4
    expected = expected_moments(net, policy, occupancies(policy), (0, 1))
    assert expected.first.item() == pytest.approx(first, rel=1e-12)
    assert expected.second.item() == pytest.approx(second, rel=1e-12)
    deviation = math.sqrt(second - first**2 + 1e-8)
    assert expected.sharpe().item() == pytest.approx(math.sqrt(252) * first / deviation, rel=1e-12)


def test_a_flat_policy_has_sharpe_zero_and_finite_slopes():
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    flat = Moments(nothing, nothing)
    assert flat.sharpe().item() == 0.0
    assert all(torch.isfinite(slope).all() for slope in flat.slopes())


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(0.001, 0.5))
def test_differential_sharpe_equals_the_plain_recursion(seed: int, decay: float):
    net = returns(seed, 40, 2)
    got = reward_of(MarketParams(reward="differential_sharpe", sharpe_decay=decay)).along(net)
    for path in range(2):
        a, b = 0.0, PRIOR_VOLATILITY**2
        for t in range(40):
            r = net[t, path].item()
            by_a, by_b = r - a, r * r - b
            want = (b * by_a - 0.5 * a * by_b) / max(b - a * a, 1e-8) ** 1.5
            assert got[t, path].item() == pytest.approx(want, rel=1e-9)
            a, b = a + decay * by_a, b + decay * by_b


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_differential_sharpe_is_the_slope_of_the_weighted_sharpe_by_its_decay(seed: int):
    net = returns(seed, 12)
    reward = reward_of(MarketParams(reward="differential_sharpe", sharpe_decay=0.05))
    state = reward.begin(())
    for r in net[:-1]:
        _, state = reward.advance(state, r)
    last, _ = reward.advance(state, net[-1])
    (a, b), x = state.tolist(), net[-1].item() / PRIOR_VOLATILITY

    def ratio(step: float) -> float:
        m, g = a + step * (x - a), b + step * (x * x - b)
        return m / math.sqrt(g - m * m)

    assert last.item() == pytest.approx((ratio(1e-6) - ratio(-1e-6)) / 2e-6, rel=1e-5, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(0.0, 3.0))
def test_drawdown_penalty_sums_to_growth_less_the_maximum_drawdown(seed: int, penalty: float):
    net = returns(seed, 60, 2)
    got = reward_of(MarketParams(reward="drawdown", drawdown_penalty=penalty)).along(net)
    for path in range(2):
        equity = peak = 1.0
        deepest = 0.0
        for r in net[:, path].tolist():
            equity *= 1.0 + r
            peak = max(peak, equity)
            deepest = max(deepest, math.log(peak / equity))
        want = math.log(equity) - penalty * deepest
        assert got[:, path].sum().item() == pytest.approx(want, abs=1e-12)


def test_running_path_sharpe_sums_to_the_sharpe_of_the_path_with_its_prior():
    net = returns(5, 80)
    got = reward_of(MARKETS["path_sharpe"]).along(net).sum().item()
    weight = PRIOR_SESSIONS + 80
    first = net.sum().item() / weight
    second = (net.square().sum().item() + PRIOR_SESSIONS * PRIOR_VOLATILITY**2) / weight
    assert got == pytest.approx(math.sqrt(252) * first / math.sqrt(second - first**2), rel=1e-12)


@pytest.mark.parametrize("name", REWARDS)
def test_along_equals_session_by_session_and_paths_do_not_touch(name: str):
    reward, net = reward_of(MARKETS[name]), returns(1, 30, 4, 2)
    whole = reward.along(net)
    for i, j in itertools.product(range(4), range(2)):
        state = reward.begin(())
        for t in range(30):
            one, state = (
                reward.advance(state, net[t, i, j])
                if reward.state
                else (
                    reward.table(net[t, i, j]),
                    state,
                )
            )
            assert whole[t, i, j].item() == pytest.approx(one.item(), abs=1e-12)


def test_along_with_moments_is_the_linearised_reward():
    reward, net = reward_of(MARKETS["path_sharpe"]), returns(2, 30, 4)
    moments = Moments(net.mean(0, keepdim=True), net.square().mean(0, keepdim=True))
    by_first, by_second = moments.slopes()
    got = reward.along(net, moments)
    torch.testing.assert_close(got, by_first * net + by_second * net.square())


@pytest.mark.parametrize("name", ["differential_sharpe", "drawdown"])
def test_a_reward_of_the_path_has_no_table_and_says_what_has(name: str):
    with pytest.raises(MarketError, match=r"sampled learning.*log_return, simple_return"):
        reward_of(MARKETS[name]).table(returns(0, 3))
    with pytest.raises(MarketError, match="moments"):
        reward_of(MARKETS["path_sharpe"]).table(returns(0, 3))


def test_the_default_is_the_log_return_of_equity():
    got = reward_of(MarketParams()).along(torch.tensor([0.1, -0.2], dtype=torch.float64))
    assert got.tolist() == pytest.approx([math.log(1.1), math.log(0.8)])


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_stay_finite_at_ruin_and_below(name: str):
    net = torch.tensor([0.01, -1.0, -3.0, 0.02], dtype=torch.float64)
    assert torch.isfinite(reward_of(MARKETS[name]).along(net)).all()


def test_simple_returns_follow_a_price_through_zero():
    # Crude's 18.27 -> -37.63 -> 10.01: a short earns the fall in full, a long the rise.
    panel = planted_panel(1, 4)
    panel.overnight.zero_()
    closes = torch.tensor([20.0, 18.27, -37.63, 10.01], dtype=torch.float64)
    panel.intraday[0, 1:] = (closes[1:] - closes[:-1]) / closes[:-1].abs()
    met = dynamics.outcomes(panel, MarketParams())
    zero = torch.zeros((), dtype=torch.float64)
    short = dynamics.net_return(zero - 1, zero - 1, met.held, met.traded, 0.0)
    got = reward_of(MARKETS["simple_return"]).along(short[0, :, None])[:3, 0]
    torch.testing.assert_close(got, -(closes[1:] - closes[:-1]) / closes[:-1].abs())
    assert got[1] > 3.0
    assert got[2] < -1.0  # beyond ruin, and still told apart
