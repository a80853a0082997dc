"""Rewards made of forecasts: the regressions, what they may read, and what a policy learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from transfergate.learning import (
    StackPlan,
    TrainingSlice,
    init_weights,
    score_greedy,
    train_stack,
)
from transfergate.learning.forecasts import (
    LASSO_SHARE,
    RIDGE_PENALTIES,
    Forecasts,
    _coins,
    lasso,
    ridge,
)
from transfergate.learning.sampling import PathSampler
from transfergate.learning.tables import REWARD_SCALE
from transfergate.market import planted_panel
from transfergate.market.dynamics import outcomes, position_grid, return_table
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation

SIZES = OptimiserParams(n_paths=3, path_sessions=30, burn_in_sessions=4, tail_sessions=5)
SIMPLE = MarketParams(reward="simple_return", cost_bps=20.0)


def regression(n: int, features: int, strength: float, seed: int):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, features))
    return x, strength * x[:, 0] + 0.02 * rng.standard_normal(n)


def test_ridge_is_the_solution_that_cross_validation_prefers():
    x, y = regression(300, 6, 0.004, seed=1)
    n, best = len(y), (float(y @ y), np.zeros(6))
    for penalty in RIDGE_PENALTIES:
        inverse = np.linalg.inv(x.T @ x + penalty * n * np.eye(6))
        error = float(((y - x @ inverse @ x.T @ y) ** 2).sum())
        error /= (1.0 - np.trace(x @ inverse @ x.T) / n) ** 2
        best = min(best, (error, inverse @ x.T @ y), key=lambda one: one[0])
    assert np.abs(best[1]).max() > 0.0
    np.testing.assert_allclose(ridge(x, y), best[1], atol=1e-12)


def test_lasso_meets_the_conditions_of_its_optimum():
    x, y = regression(400, 12, 0.004, seed=2)
    weights = lasso(x, y)
    threshold = LASSO_SHARE * np.sqrt(2.0 * np.log(12) * (y @ y) / 400 * (x**2).sum(0))
    slope = x.T @ (y - x @ weights)
    chosen = weights != 0.0
    assert chosen[0]
    assert chosen.sum() < 6
    np.testing.assert_allclose(slope[chosen], (threshold * np.sign(weights))[chosen], rtol=1e-5)
    assert (np.abs(slope[~chosen]) <= threshold[~chosen] * (1 + 1e-9)).all()


def test_of_pure_noise_next_to_nothing_is_forecast():
    for fit in (ridge, lasso):
        sizes = []
        for seed in range(30):
            x, y = regression(370, 16, 0.0, seed)
            sizes.append((x @ fit(x, y)).std())
            least = (x @ np.linalg.lstsq(x, y, rcond=None)[0]).std()
            assert sizes[-1] < 0.8 * least
        assert np.mean(sizes) < 0.001, "a twentieth of the noise: less than the cost of a trade"


def test_features_that_never_move_are_not_read():
    x, y = regression(100, 3, 0.01, seed=3)
    x[:, 1] = 0.0
    assert lasso(x, y)[1] == 0.0
    assert np.isfinite(ridge(x, y)).all()


def test_coins_of_sessions_and_paths_know_nothing_of_each_other():
    draws = torch.arange(3000)[None] * 7
    coins = _coins(draws, 60)[0]
    assert set(coins.unique().tolist()) == {-1.0, 1.0}
    assert abs(coins.mean()) < 0.02
    together = (coins @ coins.T / 3000).fill_diagonal_(0.0)
    assert together.abs().max() < 0.1, "of two sessions, over paths"
    for apart in (1, 2, 13, 100):
        assert abs((coins[:, apart:] * coins[:, :-apart]).mean()) < 0.02


def test_nothing_after_the_slice_changes_what_is_learnt_from():
    panel = planted_panel(2, 300, n_noise=3, seed=5)
    later = replace(panel, features=panel.features.clone(), intraday=panel.intraday.clone())
    later.features[:, 200:] += 3.0
    later.intraday[:, 200:] *= -5.0
    places = [((0,), 10, 200), ((0, 1), 10, 200)]
    for kind in ("ridge", "lasso"):
        made = [Forecasts.of(p, SIMPLE, places, (kind, kind)) for p in (panel, later)]
        assert made[0] is not None
        assert made[1] is not None
        assert made[0].weights.abs().sum() > 0.0
        assert torch.equal(made[0].weights, made[1].weights)
    inside = replace(panel, intraday=panel.intraday.clone())
    inside.intraday[0, 199] += 0.2
    other = Forecasts.of(inside, SIMPLE, places, ("ridge", "ridge"))
    assert other is not None
    assert not torch.equal(made[0].weights, other.weights)


def batches(kinds, market=SIMPLE, noise=(0.5, 0.5)):
    panel = planted_panel(2, 300, n_noise=2, seed=6)
    panel.tradable[:, 20:300:7] = False
    slices = (TrainingSlice((0, 1), 10, 200),) * 2
    sampler = PathSampler(panel, market, SIZES, slices, (5, 6), noise, (0.0, 0.0), kinds)
    draw = sampler.draw(0)
    return panel, sampler, draw, sampler.gather(draw, slice(0, 2))


def test_the_expected_reward_is_the_forecast_net_of_costs():
    panel, sampler, draw, batch = batches(("none", "ridge"))
    *_, bare = batches(("none", "none"))
    view = batch.reward.view(len(batch.reward), 2, 3, 3, 3)
    assert torch.equal(view[:, 0], bare.reward.view_as(view)[:, 0]), "whoever learns from returns"
    assert not torch.equal(view[:, 1], bare.reward.view_as(view)[:, 1])
    weights = sampler._forecasts.weights[1].double()
    met, grid = outcomes(panel, SIMPLE), position_grid(SIMPLE, panel.device)
    seen, checked = batch.features[1, SIZES.burn_in_sessions :].double(), 0
    for path in range(3):
        row, start = int(draw.rows[1, path]), int(draw.starts[1, path])
        for d in range(len(view)):
            place = (row, start + d)
            if start + d > 198:
                assert (view[d, 1, path] == 0.0).all(), "beyond the slice nothing is earned"
                continue
            held, traded = seen[d, path] @ weights
            want = return_table(held, traded, met.executable[place], grid, met.cost_rate[place])
            torch.testing.assert_close(
                view[d, 1, path].double(), want * REWARD_SCALE, rtol=1e-4, atol=1e-5
            )
            checked += not bool(met.executable[place])
    assert checked > 3, "sessions without a trade were among them"


def test_log_rewards_keep_the_risk_of_the_session():
    *_, batch = batches(("lasso", "lasso"), MarketParams(cost_bps=20.0))
    *_, plain = batches(("lasso", "lasso"))
    trades = batch.executable.flatten()
    drag = (plain.reward - batch.reward).flatten(0, 1)[trades]
    assert (drag[:, 2, 2] > 0.0).all(), "half the square of the return"
    assert float(drag[:, 1, 1].abs().max()) == 0.0, "holding nothing has none"


def test_rewards_that_depend_on_the_path_see_the_return_or_its_mirror_image():
    market = MarketParams(reward="drawdown", cost_bps=20.0)
    *_, batch = batches(("ridge", "ridge"), market, (0.0, 0.0))
    *_, bare = batches(("none", "none"), market, (0.0, 0.0))
    *_, simple = batches(("ridge", "ridge"), noise=(0.0, 0.0))
    long = (batch.reward, bare.reward, simple.reward / REWARD_SCALE)
    seen, real, mean = (one[..., 2, 2][batch.executable] for one in long)
    same = torch.isclose(seen, real, atol=1e-6)
    mirrored = torch.isclose(seen, 2.0 * mean - real, atol=1e-6)
    assert (same | mirrored).all()
    assert 0.3 < float(same.float().mean()) < 0.7


@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_a_policy_learns_from_forecasts_what_there_is_to_learn(phi):
    panel = planted_panel(4, 1400, phi=phi, n_noise=15, seed=11)
    market, net = (
        MarketParams(cost_bps=10.0),
        NetworkParams(encoder="mlp", encoder_units=8, head_units=8),
    )
    sizes = OptimiserParams(
        n_updates=60, n_paths=4, path_sessions=60, burn_in_sessions=2, tail_sessions=4,
        learning_rate=0.03,
    )  # fmt: skip
    rows = (0, 1, 2, 3)
    kinds = ("lasso",) * 4 + ("none",) * 4
    plan = StackPlan(
        slices=tuple(TrainingSlice((row,), 5, 400) for row in rows * 2),
        seeds=tuple(range(8)),
        learning_rates=(sizes.learning_rate,) * 8,
        regularisations=tuple(Regularisation(input_noise=1.0, forecast=kind) for kind in kinds),
        frozen_groups=(frozenset(),) * 8,
    )
    start = init_weights(net, panel.n_features, 3, plan.seeds)
    weights = train_stack(panel, start, net, market, sizes, plan).weights
    scored = score_greedy(panel, weights, net, market, rows * 2, 405, 1400, 2)
    net_return, position = scored.net_return, scored.position
    sharpe = (net_return.mean(1) / net_return.std(1).clamp_min(1e-9) * 252**0.5).view(2, 4).mean(1)
    if phi == 0.0:
        held = (position != 0.0).double().mean(1).view(2, 4).mean(1)
        assert float(held[1]) > 0.8, "learning from returns trades on noise"
        assert float(held[0]) < 0.5 * float(held[1])
    else:
        assert float(sharpe[0]) > max(1.0, float(sharpe[1]))
