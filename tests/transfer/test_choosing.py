"""The choice from the grid: the restrained one, unless another is better by more than chance."""

from __future__ import annotations

import numpy as np
import pytest

from transfergate.evaluation.metrics import sharpe_ratio
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import init_weights
from transfergate.market import planted_panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
)
from transfergate.transfer import arms
from transfergate.transfer.choosing import preferred, taken, validated
from transfergate.transfer.scoring import arm_paths

SESSIONS = 126


def test_within_the_margin_the_first_choice_is_taken_beyond_it_the_best() -> None:
    behind = (1.4, 0.9, 0.0)
    assert [preferred(behind, margin) for margin in (0.0, 0.8, 1.0, 1.5)] == [2, 2, 1, 0]
    assert taken((0.2, -0.1, 1.0), behind, 1.5) == 0
    assert taken((0.2, -0.1, 1.0), behind, 1.0) is None, "the preferred choice earned nothing"
    assert taken((0.2, -0.1, 1.0), behind, 0.0) == 2


def test_distances_are_standard_errors_of_the_paired_difference() -> None:
    rng = np.random.default_rng(0)
    common = rng.standard_normal(SESSIONS)
    returns = 0.01 * np.stack([common, common + 0.1 * rng.standard_normal(SESSIONS), 0 * common])
    returns[1] += 0.002
    found = validated(returns)
    assert found.sharpe[1] == pytest.approx(sharpe_ratio(returns[1]))
    assert found.sharpe[2] == 0.0
    assert found.behind[1] == 0.0
    gap = returns[1] / returns[1].std() - returns[0] / returns[0].std()
    assert found.behind[0] == pytest.approx(gap.mean() / gap.std() * SESSIONS**0.5)
    assert found.behind[0] > 5.0, "two choices that trade alike are told apart"
    assert found.behind[2] < 5.0, "flat is as far as the Sharpe ratio is from 0"


def test_nothing_traded_is_flat() -> None:
    found = validated(np.zeros((3, SESSIONS)))
    assert taken(found.sharpe, found.behind, 1.0) is None


def test_noise_seldom_leads_away_from_a_first_choice_that_holds_nothing() -> None:
    """Two choices worth a Sharpe ratio of -0.5: the best of the two looks good every other time."""
    rng = np.random.default_rng(1)
    drawn = rng.normal(-0.5 / 252**0.5, 1.0, (400, 2, SESSIONS)) * 0.01
    took = {0.0: 0, 1.0: 0}
    for pair in drawn:
        found = validated(np.concatenate([np.zeros((1, SESSIONS)), pair]))
        for margin in took:
            took[margin] += taken(found.sharpe, found.behind, margin) is not None
    assert took[0.0] > 0.5 * len(drawn)
    assert took[1.0] < 0.2 * len(drawn)


MARKET = MarketParams(cost_bps=10.0)
NETWORK = NetworkParams(encoder="mlp", encoder_units=8, head_units=8)
SIZES = OptimiserParams(
    n_updates=60, n_paths=4, path_sessions=60, burn_in_sessions=2, tail_sessions=4,
    learning_rate=0.03, n_validations=2,
)  # fmt: skip
BEFORE = FinetuneParams(
    optimiser=SIZES,
    n_seeds=2,
    choice_margin=0.0,
    grid=(
        Regularisation(input_noise=0.3),
        Regularisation(input_noise=1.0),
        Regularisation(input_noise=1.0, l1_first_layer=1e-2),
    ),
)
"""The grid without forecasts, and the best of it."""
NOW = FinetuneParams(optimiser=SIZES, n_seeds=2)
"""As the default is: forecasts first, and the first choice within a standard error."""
FOLDS = tuple(
    Fold(i, Window(600 * i + 5, 600 * i + 400), Window(600 * i + 405, 600 * i + 531),
         Window(600 * i + 536, 600 * i + 1400))
    for i in range(6)
)  # fmt: skip


def controls(params: FinetuneParams, phi: float) -> tuple[int, float]:
    """Folds in which the control stays flat, and its mean Sharpe ratio on later sessions."""
    panel = planted_panel(1, 4500, phi=phi, n_noise=15, seed=21)
    runs = arms.train_arms(
        panel,
        FOLDS,
        init_weights(NETWORK, panel.n_features, 3, range(len(FOLDS))),
        arms_of_fold=[(arms.SCRATCH,)] * len(FOLDS),
        market=MARKET,
        network=NETWORK,
        params=params,
        seed_parts=("choosing",),
        on_progress=None,
    )
    paths = [arm_paths(panel, run, MARKET, NETWORK, 2) for run in runs]
    sharpe = [sharpe_ratio(np.mean([one.net_return for one in own], axis=0)) for own in paths]
    flat = sum(all((one.position == 0.0).all() for one in own) for own in paths)
    return flat, float(np.mean(sharpe))


def test_on_pure_noise_the_control_stays_flat_more_often_and_loses_less() -> None:
    flat_before, lost_before = controls(BEFORE, phi=0.0)
    flat, earned = controls(NOW, phi=0.0)
    assert flat >= 4 > flat_before
    assert earned > lost_before


def test_a_strong_signal_is_still_traded() -> None:
    flat, earned = controls(NOW, phi=0.3)
    assert flat <= 1
    assert earned > 1.0


def test_the_margin_is_in_a_recipe_and_a_forecast_where_there_is_one() -> None:
    before, now = BEFORE.model_dump(), NOW.model_dump()
    assert (before["choice_margin"], now["choice_margin"]) == (0.0, 1.0)
    assert "forecast" not in before["grid"][0]
    assert now["grid"][0]["forecast"] == "lasso"
    assert FinetuneParams.model_validate(now) == NOW
    assert FinetuneParams.model_validate(before) == BEFORE
