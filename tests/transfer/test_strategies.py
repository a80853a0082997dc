"""Each strategy moves what it says of the fine-tuned arm, and nothing of the control."""

from __future__ import annotations

import pytest
import torch

from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Weights, init_weights
from transfergate.market import Panel, planted_panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
)
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmRun, train_arms

MARKET = MarketParams(cost_bps=1.0)
NETWORK = NetworkParams(encoder="gru", encoder_units=5, head_units=4)
FOLDS = [Fold(0, Window(0, 150), Window(155, 190), Window(195, 230))]
PARAMS = FinetuneParams(
    optimiser=OptimiserParams(
        n_updates=1, n_paths=4, path_sessions=30, burn_in_sessions=4, tail_sessions=4,
        n_validations=1,
    ),
    grid=(Regularisation(weight_decay=0.5, group_lasso=0.5),),
    n_seeds=3,
)  # fmt: skip
LOWER, UPPER = {"encoder.input", "encoder.bias"}, {"encoder.recurrent"}
HEAD = {"head.hidden", "head.position", "head.output", "head.bias"}


@pytest.fixture(scope="module")
def panel() -> Panel:
    return planted_panel(1, 240, n_noise=2, seed=6)


@pytest.fixture(scope="module")
def foundation() -> Weights:
    return init_weights(NETWORK, 3, 3, [99])


def train(panel: Panel, foundation: Weights, **changes: object) -> dict[str, ArmRun]:
    runs = train_arms(
        panel,
        FOLDS,
        foundation,
        arms_of_fold=[(FINETUNED, SCRATCH)],
        market=MARKET,
        network=NETWORK,
        params=PARAMS.model_copy(update=changes),
        seed_parts=("strategies",),
        on_progress=None,
    )
    return {run.arm: run for run in runs}


@pytest.mark.parametrize(
    ("strategy", "moving"),
    [
        ("head", HEAD),
        ("partial", HEAD | UPPER),
        ("full", HEAD | UPPER | LOWER),
        ("discriminative", HEAD | UPPER | LOWER),
    ],
)
def test_a_strategy_moves_exactly_its_parameters(
    panel: Panel, foundation: Weights, strategy: str, moving: set[str]
):
    arms = train(panel, foundation, strategy=strategy)
    plain = train(panel, foundation)
    for name, value in arms[FINETUNED].weights.items():
        moved = [not torch.equal(value[seed], foundation[name][0]) for seed in range(3)]
        assert moved == [name in moving] * 3, name
        torch.testing.assert_close(arms[SCRATCH].weights[name], plain[SCRATCH].weights[name])


def test_discriminative_rates_fall_from_layer_to_layer(panel: Panel, foundation: Weights):
    no_penalty = (Regularisation(),)
    full = train(panel, foundation, grid=no_penalty)[FINETUNED].weights
    slow = train(
        panel, foundation, grid=no_penalty, strategy="discriminative", layer_rate_decay=0.5
    )[FINETUNED].weights
    for name, value in full.items():
        factor = 1.0 if name in HEAD else 0.5 if name in UPPER else 0.25
        whole, part = (x[0] - foundation[name][0] for x in (value, slow[name]))
        assert whole.abs().max() > 1e-4
        torch.testing.assert_close(part, factor * whole, atol=1e-7, rtol=5e-3)


def test_the_fine_tuned_arm_takes_ten_times_smaller_steps_by_default(
    panel: Panel, foundation: Weights
):
    assert FinetuneParams().learning_rate_ratio == 0.1
    no_penalty = (Regularisation(),)
    one = train(panel, foundation, grid=no_penalty)[FINETUNED].weights
    ten = train(panel, foundation, grid=no_penalty, learning_rate_ratio=1.0)[FINETUNED].weights
    for name, value in one.items():
        small, large = (x[0] - foundation[name][0] for x in (value, ten[name]))
        torch.testing.assert_close(small * 10.0, large, atol=2e-6, rtol=5e-3)


def test_the_pull_to_the_foundation_is_for_the_fine_tuned_arm_alone(
    panel: Panel, foundation: Weights
):
    more = {
        "optimiser": PARAMS.optimiser.model_copy(update={"n_updates": 40}),
        "grid": (Regularisation(),),
        "learning_rate_ratio": 1.0,
    }
    free = train(panel, foundation, **more)
    held = train(panel, foundation, foundation_pull=100.0, **more)
    away = [
        max(
            float((arms[FINETUNED].weights[name] - foundation[name][0]).abs().max())
            for name in foundation
        )
        for arms in (free, held)
    ]
    assert away[1] < 0.3 * away[0]
    for name, value in free[SCRATCH].weights.items():
        torch.testing.assert_close(value, held[SCRATCH].weights[name])


def test_both_arms_have_equal_trials_whatever_the_grid(panel: Panel, foundation: Weights):
    grid = tuple(Regularisation(dropout=0.1 * i) for i in range(4))
    arms = train(panel, foundation, grid=grid)
    for run in arms.values():
        assert (run.n_choices, run.trained_models) == (4, 12)
        assert len(run.validation_sharpe) == 4
    for figure in ("env_steps", "updates", "validations", "sessions", "seeds", "parameters"):
        assert getattr(arms[FINETUNED], figure) == getattr(arms[SCRATCH], figure), figure
