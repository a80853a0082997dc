import itertools
import math

import numpy as np
import pytest
import torch

from transfergate.errors import MarketError
from transfergate.learning.networks import init_weights
from transfergate.learning.sampling import TrainingSlice
from transfergate.learning.scoring import score_greedy
from transfergate.learning.state import StackPlan
from transfergate.learning.train import train_stack
from transfergate.market import PlantedParams, dynamics, optimum, optimum_sharpe, planted_panel
from transfergate.market.chains import chain_of, latent_state
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation

KINDS = ("ar", "regime", "momentum")
MARKET = MarketParams(cost_bps=10.0)


def sharpe(net: torch.Tensor) -> torch.Tensor:
    return math.sqrt(252) * net.mean(-1) / net.std(-1, correction=0).clamp_min(1e-12)


def play(panel, wanted: torch.Tensor) -> torch.Tensor:
    """Sharpe by rule and ticker of the positions (R, N, T) that rules want; NaN keeps the old."""
    met = dynamics.outcomes(panel, MARKET)
    held, nets = torch.zeros(wanted.shape[:2], dtype=torch.float64), []
    for t in range(panel.n_sessions - 1):
        target = torch.where(wanted[..., t].isnan(), held, wanted[..., t])
        target = dynamics.effective_target(held, target, met.executable[:, t])
        nets.append(
            dynamics.net_return(held, target, met.held[:, t], met.traded[:, t], met.cost_rate[:, t])
        )
        held = target
    return sharpe(torch.stack(nets, -1))


def rules(kind: str, panel) -> torch.Tensor:
    """Simple rules, and bands with hysteresis around the very number that drives the market."""
    daily = (panel.overnight + panel.intraday).numpy()
    state = torch.from_numpy(latent_state(PlantedParams(kind), daily))
    unit = state.std()
    keep = torch.full_like(state, math.nan)
    found = [torch.ones_like(state), state.sign(), torch.from_numpy(daily).sign()]
    for enter, leave in itertools.product((0.25, 0.5, 1.0, 1.5), (-0.5, 0.0, 0.5)):
        flat = (state.abs() < leave * unit) | (torch.zeros_like(state) > 0)
        wanted = torch.where(flat, 0.0, keep)
        wanted = torch.where(state > enter * unit, 1.0, wanted)
        found.append(torch.where(state < -enter * unit, -1.0, wanted))
    return torch.stack(found)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rule_beats_the_optimum_and_it_clearly_beats_simple_ones(kind: str):
    panel = planted_panel(64, 2000, kind=kind, n_features=1, seed=11)
    best = optimum_sharpe(panel, MARKET, kind)
    assert best.sharpe == pytest.approx(best.long_run, abs=4 * best.standard_error + 0.03)
    for number, lead in enumerate(play(panel, rules(kind, panel)) - best.by_ticker):
        error = lead.std().item() / math.sqrt(len(lead))
        assert lead.mean().item() < 2.5 * error, number
        if number in (0, 2):  # always long; the sign of the last return
            assert lead.mean().item() < -4 * error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timing", ["next_open", "same_close"])
@pytest.mark.parametrize("aim", ["sharpe", "return"])
def test_no_change_of_one_cell_improves_the_plan(kind: str, timing: str, aim: str):
    params, positions, cost = PlantedParams(kind), (-1.0, 0.0, 1.0), 1e-3
    plan = optimum.best_plan(params, positions, timing, cost, aim)
    first, second = optimum._moments_by_action(plan.chain, positions, timing, cost)
    moves = torch.from_numpy(plan.chain.moves)
    rng = np.random.default_rng(0)
    changed = plan.action.repeat(61, 1, 1)
    for i in range(1, 61):
        cell, held = int(rng.integers(len(plan.action))), int(rng.integers(3))
        changed[i, cell, held] = (changed[i, cell, held] + int(rng.integers(1, 3))) % 3
    m, g = optimum._long_run_moments(changed, first, second, moves, 1)
    ratio = math.sqrt(252) * optimum._ratio(m, g)
    assert ratio[0].item() == pytest.approx(plan.long_run, rel=1e-6)
    score = ratio if aim == "sharpe" else m * 252 / 0.015  # in the scale of a Sharpe ratio
    assert (score[1:] <= score[0] + 1e-6).all()
    assert (score[1:] < score[0] - 1e-5).any()


def test_the_plan_for_return_earns_more_at_a_lower_sharpe_than_the_cautious_one():
    panel = planted_panel(64, 2000, n_features=1, seed=11)
    cautious = optimum_sharpe(panel, MARKET)
    bold = optimum_sharpe(panel, MARKET, aim="return")
    assert bold.net_return.mean() > 1.02 * cautious.net_return.mean()
    assert bold.long_run < 0.99 * cautious.long_run
    assert bold.position.abs().mean() > cautious.position.abs().mean()


def test_without_costs_an_ar_market_is_worth_what_the_closed_form_says():
    # Best of {-1, 0, 1} at each signal on its own: maximise over the aversion by quadrature.
    chain = chain_of(PlantedParams("ar", overnight_share=0.0))
    weight = np.exp(-0.5 * chain.grid**2)
    weight /= weight.sum()
    best = 0.0
    for threshold in np.linspace(0.0, 2.0, 201):
        held = np.abs(chain.grid) > threshold
        m = (weight * held * np.abs(chain.mean)).sum()
        g = (weight * held * (chain.mean**2 + chain.spread)).sum()
        best = max(best, math.sqrt(252) * m / math.sqrt(g - m * m))
    plan = optimum.best_plan(
        PlantedParams("ar", overnight_share=0.0), (-1.0, 0.0, 1.0), "next_open", 0.0
    )
    assert plan.long_run == pytest.approx(best, rel=1e-3)


def test_the_filter_equals_the_enumeration_of_all_regimes():
    params = PlantedParams("regime", stay=0.9, drift=0.7)
    daily = np.random.default_rng(0).standard_normal((1, 7)) * params.daily_volatility
    got = latent_state(params, daily)[0]
    size, volatility = params.drift * params.daily_volatility, params.daily_volatility
    for t in range(7):
        odds = {1: 0.0, -1: 0.0}
        for signs in itertools.product((1, -1), repeat=t + 1):
            chance = 0.5
            for before, after in itertools.pairwise(signs):
                chance *= params.stay if before == after else 1.0 - params.stay
            for sign, r in zip(signs, daily[0], strict=False):
                chance *= math.exp(-0.5 * ((r - size * sign) / volatility) ** 2)
            odds[signs[-1]] += chance
        assert got[t] == pytest.approx(math.log(odds[1] / odds[-1]), rel=1e-9)


def test_where_nothing_is_planted_the_optimum_is_to_stay_flat():
    params = PlantedParams("ar", phi=0.0)
    best = optimum_sharpe(planted_panel(3, 300, params=params), MARKET, params=params)
    assert (best.sharpe, best.long_run) == (0.0, 0.0)
    assert not best.position.any()


def test_costs_of_a_ticker_count_and_those_that_change_are_refused():
    panel = planted_panel(2, 400, n_features=1)
    own = torch.full((2, 400), 1e-3, dtype=torch.float64)
    own[1] = math.nan  # the market's
    panel = planted_panel(2, 400, n_features=1)
    object.__setattr__(panel, "cost_rate", own)
    mixed = optimum_sharpe(panel, MarketParams(cost_bps=1.0))
    dear = optimum_sharpe(planted_panel(2, 400, n_features=1), MarketParams(cost_bps=10.0))
    cheap = optimum_sharpe(planted_panel(2, 400, n_features=1), MarketParams(cost_bps=1.0))
    assert mixed.by_ticker.tolist() == [dear.by_ticker[0].item(), cheap.by_ticker[1].item()]
    own[0, 200] = 2e-3
    with pytest.raises(MarketError, match="one cost a ticker"):
        optimum_sharpe(panel, MARKET)
    with pytest.raises(MarketError, match="two decisions"):
        optimum_sharpe(planted_panel(1, 50), MARKET, first=48)


def test_a_window_reads_nothing_at_or_after_its_stop_and_starts_flat():
    panel, poisoned = (planted_panel(2, 200, kind="regime", n_features=1) for _ in range(2))
    poisoned.intraday[:, 120:] = 9.0
    a, b = (
        optimum_sharpe(p, MARKET, "regime", first=50, stop=120, rows=(1,))
        for p in (panel, poisoned)
    )
    assert torch.equal(a.net_return, b.net_return)
    assert a.net_return.shape == (1, 69)


def test_a_trained_policy_comes_near_the_optimum_and_not_beyond():
    panel = planted_panel(8, 1500, n_features=2, seed=5)
    network = NetworkParams(encoder="mlp")
    plan = StackPlan(
        slices=(TrainingSlice(tuple(range(8)), 40, 1000),),
        seeds=(1,),
        learning_rates=(1e-2,),
        regularisations=(Regularisation(),),
        frozen_groups=(frozenset(),),
    )
    start = init_weights(network, 2, 3, range(1))
    sizes = OptimiserParams(n_updates=60, n_paths=8)
    weights = train_stack(panel, start, network, MARKET, sizes, plan).weights
    best = optimum_sharpe(panel, MARKET, first=1000)
    net = [
        score_greedy(panel, weights, network, MARKET, [row], 1000, 1500, 8).net_return
        for row in range(8)
    ]
    lead = sharpe(torch.cat(net)) - best.by_ticker
    assert lead.mean().item() < 2.5 * lead.std().item() / math.sqrt(8)
    assert lead.mean().item() > -0.25 * best.sharpe
