"""Permutation importance: what is planted comes first, noise covers 0, doing nothing gives 0."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Weights, init_weights
from transfergate.market import planted_panel
from transfergate.market.panel import Panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
)
from transfergate.transfer import importance
from transfergate.transfer.arms import SCRATCH, train_arms
from transfergate.transfer.importance import (
    block_orders,
    combine_folds,
    fold_importance,
    permutation_importance,
)

MARKET = MarketParams(cost_bps=1.0)
NETWORK = NetworkParams(encoder="mlp", encoder_units=8, head_units=8)
PARAMS = FinetuneParams(
    optimiser=OptimiserParams(
        n_updates=80,
        n_paths=8,
        path_sessions=60,
        burn_in_sessions=2,
        tail_sessions=4,
        learning_rate=0.03,
        n_validations=2,
    ),
    grid=(Regularisation(input_noise=0.3),),
    n_seeds=3,
)
FOLD = Fold(0, Window(5, 900), Window(905, 1000), Window(1005, 1400))
WINDOW = Window(1005, 1400)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return planted_panel(1, 1400, phi=0.3, n_noise=4, seed=11)


@pytest.fixture(scope="module")
def trained(panel: Panel) -> Weights:
    foundation = init_weights(NETWORK, panel.n_features, 3, (1,))
    (run,) = train_arms(
        panel,
        [FOLD],
        foundation,
        arms_of_fold=[(SCRATCH,)],
        market=MARKET,
        network=NETWORK,
        params=PARAMS,
        seed_parts=("importance",),
        on_progress=None,
    )
    assert run.choice is not None
    return run.weights


def test_the_planted_feature_comes_first_and_noise_covers_zero(
    panel: Panel, trained: Weights
) -> None:
    found = permutation_importance(panel, trained, WINDOW, MARKET, NETWORK, 2, seed=3)
    planted, *noise = found
    error = [np.sqrt(f["se_time"] ** 2 + f["se_seed"] ** 2 + f["se_repeat"] ** 2) for f in found]
    assert planted["drop_sharpe"] > 4 * error[0]
    assert planted["drop_sharpe"] > 3 * max(one["drop_sharpe"] for one in noise)
    assert planted["drop_return"] > 3 * planted["se_return"]
    assert planted["changed"] > 0.3
    covered = [abs(one["drop_sharpe"]) < 2.58 * e for one, e in zip(noise, error[1:], strict=True)]
    assert all(covered)
    assert min(error) > 0.0


def test_permuting_nothing_changes_nothing(panel: Panel, trained: Weights) -> None:
    read = WINDOW.sessions + 2
    orders = np.tile(np.arange(read), (panel.n_features, 4, 1))
    for figures in permutation_importance(panel, trained, WINDOW, MARKET, NETWORK, 2, orders):
        assert figures["changed"] == 0.0
        assert max(map(abs, figures.values())) < 1e-12


def test_a_feature_that_the_policy_cannot_see_drops_by_exactly_nothing(
    panel: Panel, trained: Weights
) -> None:
    blind = {name: tensor.clone() for name, tensor in trained.items()}
    blind["encoder.input"][:, 0] = 0.0
    first, second, *_ = permutation_importance(panel, blind, WINDOW, MARKET, NETWORK, 2)
    assert first["changed"] == 0.0
    assert max(map(abs, first.values())) < 1e-12
    assert second["changed"] > 0.0


def test_all_in_one_call_equals_feature_by_feature(
    panel: Panel, trained: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = permutation_importance(panel, trained, WINDOW, MARKET, NETWORK, 2, seed=5)
    monkeypatch.setattr(importance, "MODELS_AT_ONCE", 1)
    assert permutation_importance(panel, trained, WINDOW, MARKET, NETWORK, 2, seed=5) == together


def test_sessions_outside_of_what_is_read_do_not_matter(panel: Panel, trained: Weights) -> None:
    features = panel.features.clone()
    features[:, : WINDOW.first - 3] = 9.0
    features[:, WINDOW.stop - 51 :] = -9.0
    window = Window(WINDOW.first, WINDOW.stop - 50)
    found = [
        permutation_importance(one, trained, window, MARKET, NETWORK, 2, seed=7)
        for one in (panel, dataclasses.replace(panel, features=features))
    ]
    assert found[0] == found[1]
    assert found[0][0]["drop_sharpe"] > 0


def test_orders_move_blocks_and_lose_no_session():
    orders = block_orders(95, 20, np.random.default_rng(0))
    assert (np.sort(orders, axis=1) == np.arange(95)).all()
    assert not (orders == np.arange(95)).all(1).any()
    steps = np.diff(orders, axis=1) % 95 == 1
    assert steps.mean() > 0.8, "most sessions keep their neighbour"
    assert (orders == np.arange(95)).mean() < 0.1, "few stay where they were"
    assert sorted(block_orders(2, 1, np.random.default_rng(0))[0].tolist()) == [0, 1]


def test_folds_are_averaged_and_a_flat_one_counts_as_nothing(
    panel: Panel, trained: Weights
) -> None:
    names = [f"f{i}" for i in range(panel.n_features)]
    shared = (WINDOW, MARKET, NETWORK, 2, 1)
    one = fold_importance(names, panel, trained, *shared)
    flat = fold_importance(names, panel, None, *shared)
    both = combine_folds([{"importance": one}, {"importance": flat}])
    assert both is not None
    assert (both["folds"], both["flat_folds"]) == (2, 1)
    top = both["features"][0]
    assert top["name"] == "f0"
    assert top["drop_sharpe"] == pytest.approx(one["features"][0]["drop_sharpe"] / 2)
    assert top["se_time"] == pytest.approx(one["features"][0]["se_time"] / 2)
    assert combine_folds([{"importance": one}, {}]) is None
