"""Shares of a history: which sessions train, select and are scored, and what comes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from transfergate.evaluation.splits import Fold, Window, walk_forward_folds
from transfergate.learning import init_weights
from transfergate.market import planted_panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
    WalkForwardParams,
)
from transfergate.transfer.arms import FINETUNED, SCRATCH, train_arms
from transfergate.transfer.scoring import arm_paths
from transfergate.transfer.sizing import share_budgets, train_curves, validation_folds
from transfergate.transfer.sizing_figures import (
    describe_curve,
    describe_difference,
    fold_sessions,
)

WALK = WalkForwardParams(
    n_folds=3,
    min_train_sessions=300,
    embargo_sessions=5,
    validation_sessions=80,
    test_sessions=40,
)
SIZES = OptimiserParams(
    n_updates=40,
    n_paths=4,
    path_sessions=60,
    burn_in_sessions=2,
    tail_sessions=4,
    learning_rate=0.03,
    n_validations=2,
)
PARAMS = FinetuneParams(
    optimiser=SIZES,
    grid=(Regularisation(input_noise=0.3), Regularisation(input_noise=1.0)),
    n_seeds=2,
)
MARKET = MarketParams(cost_bps=1.0)
NETWORK = NetworkParams(encoder="mlp", encoder_units=8, head_units=8)


def test_validation_windows_are_scored_once_and_nothing_was_chosen_on_them():
    folds = walk_forward_folds(700, 0, WALK)
    found = validation_folds(folds, WALK, np.ones(700, dtype=bool))
    assert [fold.number for fold in found] == [fold.number for fold in folds]
    for own, walk in zip(found, folds, strict=True):
        assert own.test is not None
        assert own.train.stop + WALK.embargo_sessions == own.validation.first
        assert own.validation.stop + WALK.embargo_sessions == own.test.first
        assert own.test.first == walk.validation.first
    scored = [t for fold in found if fold.test for t in range(fold.test.first, fold.test.stop)]
    assert scored == list(range(folds[0].validation.first, folds[-1].validation.stop))


def test_a_test_window_that_is_not_judged_yet_is_never_scored():
    folds = walk_forward_folds(700, 0, WALK)
    assert folds[0].test is not None
    first_test = folds[0].test.first
    allowed = np.arange(700) < first_test
    found = validation_folds(folds, WALK, allowed)
    assert found, "what lies before the first test may be scored"
    assert max(fold.test.stop for fold in found if fold.test) <= first_test


@pytest.mark.parametrize(
    ("share", "path", "paths", "trains"),
    [(100, 60, 4, True), (50, 60, 4, True), (15, 29, 8, True), (5, 0, 0, False)],
)
def test_short_shares_take_shorter_paths_and_as_many_steps_or_say_why_not(
    share: int, path: int, paths: int, trains: bool
) -> None:
    folds = [Fold(0, Window(10, 410), Window(415, 480), Window(485, 545))]
    (budget,) = share_budgets(folds, [share], PARAMS)
    assert (budget.reason is None) == trains
    if trains:
        assert (budget.path_sessions, budget.n_paths) == (path, paths)
        assert abs(path * paths - 240) <= path / 2
    else:
        assert budget.reason is not None
        assert "20 sessions in the fold with the shortest history" in budget.reason


def test_the_whole_history_gives_what_fine_tuning_gives_and_less_of_it_does_not():
    panel = planted_panel(1, 700, phi=0.3, n_noise=1, seed=5)
    folds = walk_forward_folds(700, 0, WALK)[-2:]
    foundations = init_weights(NETWORK, panel.n_features, 3, (1, 2))
    shared = {"market": MARKET, "network": NETWORK, "params": PARAMS, "seed_parts": ("sizing",)}
    runs = train_arms(
        panel,
        folds,
        foundations,
        arms_of_fold=[(FINETUNED, SCRATCH)] * 2,
        on_progress=None,
        **shared,
    )
    budgets = share_budgets(folds, [5, 40, 100], PARAMS)
    curves = train_curves(
        panel, folds, foundations, budgets, ["full", "head"], on_progress=None, **shared
    )
    assert set(curves) == {(s, arm) for s in (40, 100) for arm in ("full", "head", SCRATCH)}
    for arm, name in ((FINETUNED, "full"), (SCRATCH, SCRATCH)):
        paths = [
            np.stack([p.net_return for p in arm_paths(panel, run, MARKET, NETWORK, 2)])
            for run in runs
            if run.arm == arm
        ]
        np.testing.assert_allclose(curves[100, name].returns, np.concatenate(paths, 1), atol=1e-9)
        assert np.abs(curves[40, name].returns - curves[100, name].returns).max() > 1e-4
        assert curves[40, name].env_steps == curves[100, name].env_steps
    sessions = fold_sessions(folds)
    same = describe_difference(curves[100, "full"], curves[100, "full"], sessions)
    assert same["delta_sharpe"] == same["se"] == 0.0
    figures = describe_curve(curves[100, SCRATCH], sessions)
    assert figures["low"] < figures["sharpe"] < figures["high"]
    assert figures["se"] == pytest.approx(np.hypot(figures["se_time"], figures["se_seed"]))


def test_a_share_reads_nothing_from_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shocks before the latest 40 % change the policies trained on all, not those on 40 %."""
    panel = planted_panel(1, 700, phi=0.3, n_noise=1, seed=6)
    folds = walk_forward_folds(700, 0, WALK)[-1:]
    start = folds[0].train.stop - round(0.4 * folds[0].train.sessions)
    features, intraday = panel.features.clone(), panel.intraday.clone()
    features[:, :start] *= -2.0
    intraday[:, :start] *= -1.0
    shocked = dataclasses.replace(panel, features=features, intraday=intraday)
    foundations = init_weights(NETWORK, panel.n_features, 3, (1,))
    first, second = (
        train_curves(
            one,
            folds,
            foundations,
            share_budgets(folds, [40, 100], PARAMS),
            ["full"],
            market=MARKET,
            network=NETWORK,
            params=PARAMS,
            seed_parts=("sizing",),
            on_progress=None,
        )
        for one in (panel, shocked)
    )
    for arm in ("full", SCRATCH):
        np.testing.assert_array_equal(first[40, arm].returns, second[40, arm].returns)
    assert np.abs(first[100, SCRATCH].returns - second[100, SCRATCH].returns).max() > 1e-4
