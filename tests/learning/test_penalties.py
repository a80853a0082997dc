"""Each regulariser does what it says to real training, and to nothing else."""

import pytest
import torch

from transfergate.learning import (
    StackPlan,
    TrainingResult,
    TrainingSlice,
    init_weights,
    score_greedy,
    select_models,
    train_stack,
)
from transfergate.learning.layers import layer_depths
from transfergate.learning.penalties import Penalties
from transfergate.market import Panel, planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation

MARKET = MarketParams(cost_bps=1.0)
NETWORK = NetworkParams(encoder="gru", encoder_units=6, head_units=5)
SIZES = OptimiserParams(
    n_updates=8, n_paths=4, path_sessions=30, burn_in_sessions=6, tail_sessions=4
)
NONE = Regularisation()


@pytest.fixture(scope="module")
def panel() -> Panel:
    return planted_panel(3, 500, n_noise=3, seed=4)


def train(
    panel: Panel,
    choices: list[Regularisation],
    *,
    network: NetworkParams = NETWORK,
    optimiser: OptimiserParams = SIZES,
    rate: float = 0.01,
    seed: int = 7,
    **more: object,
) -> TrainingResult:
    """One model a choice, all of one seed."""
    models = len(choices)
    values: dict[str, object] = {
        "slices": (TrainingSlice((0, 1, 2), 0, 400),) * models,
        "seeds": (seed,) * models,
        "learning_rates": (rate,) * models,
        "regularisations": tuple(choices),
        "frozen_groups": (frozenset(),) * models,
    }
    plan = StackPlan(**(values | more))  # type: ignore[arg-type]
    start = init_weights(network, panel.n_features, 3, plan.seeds)
    return train_stack(panel, start, network, MARKET, optimiser, plan)


EACH = {
    "input_noise": 0.5,
    "l1_first_layer": 0.05,
    "group_lasso": 2.0,
    "weight_decay": 1.0,
    "dropout": 0.4,
    "turnover_penalty_bps": 20.0,
    "l2_pull": 0.1,
    "forecast": "lasso",
}


def test_every_regulariser_is_tried_here():
    assert EACH.keys() == Regularisation.model_fields.keys()


@pytest.mark.parametrize("name", EACH)
def test_a_regulariser_acts_on_its_own_model_alone(panel: Panel, name: str):
    choice = Regularisation(**{name: EACH[name]})
    both = train(panel, [NONE, choice]).weights
    for model, alone in enumerate((train(panel, [NONE]), train(panel, [choice]))):
        for key, value in alone.weights.items():
            torch.testing.assert_close(value[0], both[key][model], atol=2e-5, rtol=0.0)
    moved = max(float((value[0] - value[1]).abs().max()) for value in both.values())
    assert moved > 1e-3


def test_group_lasso_drops_features_of_noise_whole_and_keeps_the_signal():
    panel = planted_panel(3, 1500, n_noise=6, seed=5)
    sizes = SIZES.model_copy(update={"n_updates": 150, "n_paths": 8, "path_sessions": 60})
    choices = [NONE, Regularisation(group_lasso=3.0)]
    network = NetworkParams(encoder="mlp", encoder_units=8, head_units=8)
    weights = train(panel, choices, network=network, optimiser=sizes, rate=0.02).weights
    rows = weights["encoder.input"].norm(dim=-1)  # (S, F)
    assert (rows[0] > 0.05).all()
    assert rows[1, 0] > 0.2
    assert (rows[1, 1:] == 0.0).sum() >= 5
    r = score_greedy(panel, weights, network, MARKET, [0, 0], 400, 1500, 6).net_return
    sharpe = r.mean(1) / r.std(1) * 252**0.5
    assert sharpe[1] > 1.5


def test_shrinking_follows_its_formula_and_spares_what_rests():
    weights = init_weights(NETWORK, 4, 3, [1, 2])
    weights["adversary.hidden"] = torch.ones(2, 3, 3)
    before = {name: value.clone() for name, value in weights.items()}
    choices = [Regularisation(weight_decay=2.0), Regularisation(group_lasso=3.0)]
    moved = {name: torch.tensor([1.0, 0.5]) for name in weights}
    moved["head.hidden"] = torch.zeros(2)
    rates = torch.tensor([0.01, 0.02])
    Penalties.of(choices, torch.device("cpu")).shrink(weights, rates, moved)
    for name in ("encoder.input", "encoder.recurrent", "head.output", "head.position"):
        torch.testing.assert_close(weights[name][0], 0.98 * before[name][0])
    for name in ("encoder.bias", "head.bias", "head.hidden", "adversary.hidden"):
        assert torch.equal(weights[name], before[name])
    row, old = weights["encoder.input"][1], before["encoder.input"][1]
    torch.testing.assert_close(row.norm(dim=-1), old.norm(dim=-1) - 0.03)
    torch.testing.assert_close(
        row / row.norm(dim=-1, keepdim=True), old / old.norm(dim=-1)[:, None]
    )
    assert torch.equal(weights["encoder.recurrent"][1], before["encoder.recurrent"][1])


def test_the_pull_holds_at_the_start_where_decay_leads_to_zero(panel: Panel):
    choices = [NONE, Regularisation(l2_pull=100.0), Regularisation(weight_decay=10.0)]
    sizes = SIZES.model_copy(update={"n_updates": 60})
    end = train(panel, choices, optimiser=sizes).weights["encoder.recurrent"]
    start = init_weights(NETWORK, 4, 3, [7])["encoder.recurrent"][0]
    away = (end - start).flatten(1).norm(dim=1)
    assert away[1] < 0.3 * away[0]
    assert end[2].norm() < 0.2 * start.norm() < 0.9 * end[1].norm()


def test_a_pull_of_the_plan_equals_that_of_the_grid(panel: Panel):
    own = train(panel, [Regularisation(l2_pull=0.5)] * 2, pulls=(0.0, 0.25)).weights
    other = train(panel, [Regularisation(l2_pull=0.75)]).weights
    for name, value in own.items():
        torch.testing.assert_close(value[1], other[name][0], atol=2e-6, rtol=0.0)
        assert (value[0] - value[1]).abs().max() > 1e-5


def test_the_turnover_penalty_trades_less_and_scoring_does_not_know_it(panel: Panel):
    sizes = SIZES.model_copy(update={"n_updates": 80, "n_paths": 8})
    choices = [NONE, Regularisation(turnover_penalty_bps=60.0)]
    weights = train(panel, choices, optimiser=sizes, rate=0.02).weights
    scored = score_greedy(panel, weights, NETWORK, MARKET, [0, 0], 400, 500, 6)
    plain, dear = scored.turnover.mean(1)
    assert plain > 0.3
    assert dear < 0.7 * plain
    torch.testing.assert_close(scored.cost, scored.turnover * 1e-4)
    held = scored.position[1]
    market = panel.overnight[0, 401:500], panel.intraday[0, 401:500]
    before = torch.cat([held.new_zeros(1), held[:-1]])
    expected = before * market[0] + held * market[1] - (held - before).abs() * 1e-4
    torch.testing.assert_close(scored.net_return[1], expected)


def test_the_turnover_penalty_is_a_cost_in_the_objective(panel: Panel):
    sizes = SIZES.model_copy(update={"n_updates": 1})
    charged = train(panel, [NONE, Regularisation(turnover_penalty_bps=25.0)], optimiser=sizes)
    market = MarketParams(cost_bps=26.0)
    start = init_weights(NETWORK, panel.n_features, 3, [7])
    plan = StackPlan((TrainingSlice((0, 1, 2), 0, 400),), (7,), (0.01,), (NONE,), (frozenset(),))
    dearer = train_stack(panel, start, NETWORK, market, sizes, plan)
    torch.testing.assert_close(charged.objective[0, 1], dearer.objective[0, 0])
    assert charged.objective[0, 1] < charged.objective[0, 0] - 1e-3


@pytest.mark.parametrize("algorithm", ["exact_ppo", "ppo", "dqn"])
def test_dropout_thins_training_and_leaves_scoring_whole(panel: Panel, algorithm: str):
    sizes = SIZES.model_copy(update={"algorithm": algorithm, "n_updates": 4, "epochs": 2})
    result = train(panel, [NONE, Regularisation(dropout=0.5)], optimiser=sizes)
    assert not torch.equal(result.objective[:, 0], result.objective[:, 1])
    again = train(panel, [NONE, Regularisation(dropout=0.5)], optimiser=sizes)
    assert torch.equal(result.objective, again.objective)
    own = select_models(result.weights, [1])
    first, second = (
        score_greedy(panel, own, NETWORK, MARKET, [0], 400, 500, 6).position for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("network", "bottom"),
    [
        (NETWORK, 2),
        (NetworkParams(encoder="mlp", encoder_units=6, head_units=5), 1),
        (NetworkParams(encoder="mlp", encoder_layers=3, encoder_units=6, head_units=5), 2),
    ],
)
def test_lower_layers_take_smaller_steps(panel: Panel, network: NetworkParams, bottom: int):
    one = SIZES.model_copy(update={"n_updates": 1})
    decays = (1.0, 0.25)
    plain = train(panel, [NONE] * 2, network=network, optimiser=one, layer_decays=decays)
    start = init_weights(network, 4, 3, [7])
    depths = layer_depths(list(start), network)
    assert depths["encoder.input"] == bottom
    assert {depths[name] for name in start} == set(range(bottom + 1))
    for name, value in plain.weights.items():
        step = (value - start[name]).flatten(1)
        assert step[0].abs().max() > 0
        torch.testing.assert_close(step[1], step[0] * 0.25 ** depths[name], atol=1e-8, rtol=2e-3)
