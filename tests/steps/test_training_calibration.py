"""Calibration on real training: the planted markets are what they say, and real policies train."""

from __future__ import annotations

import numpy as np
import pytest

from transfergate.cli.calibrate import render
from transfergate.settings import (
    FinetuneParams,
    GateParams,
    OptimiserParams,
    PretrainParams,
    SyntheticParams,
    WalkForwardParams,
)
from transfergate.steps.calibration import (
    TRANSFER_WORLDS,
    TrainingBudget,
    TransferWorld,
    calibrate_training,
    train_cohort,
)
from transfergate.steps.planted import panel_rows, planted_transfer

MARKET = SyntheticParams(kind="ar", n_sessions=12_000, strength=0.5)


def test_signs_plant_the_structure_its_opposite_and_none():
    panel = planted_transfer([1.0, -1.0, 0.0], MARKET)
    signal = panel.features[:, :-1, 0].numpy()
    earned = [
        float(np.corrcoef(x, y)[0, 1])
        for x, y in zip(signal, panel.intraday[:, 1:].numpy(), strict=True)
    ]
    assert earned[0] > 0.3
    assert earned[1] < -0.3
    assert abs(earned[2]) < 4 / np.sqrt(12_000)


def test_where_nothing_is_planted_simple_returns_are_a_martingales():
    wild = MARKET.model_copy(update={"daily_volatility": 0.1})
    panel = planted_transfer([0.0] * 4, wild)
    total = ((1 + panel.overnight) * (1 + panel.intraday) - 1).numpy().mean(axis=1)
    # Log returns of mean 0 would give 0.005; the standard error is 0.0009 a ticker.
    assert abs(total.mean()) < 0.0025


def test_rows_of_a_panel_are_tickers_in_the_order_asked_for():
    panel = planted_transfer([1.0, 0.0, -1.0], MARKET.model_copy(update={"n_sessions": 100}))
    some = panel_rows(panel, [2, 0])
    assert some.tickers == ("PLANT002", "PLANT000")
    assert bool((some.features[0] == panel.features[2]).all())


@pytest.fixture
def tiny():
    optimiser = OptimiserParams(
        n_updates=4, n_paths=2, path_sessions=30, burn_in_sessions=0, tail_sessions=4,
        n_validations=2,
    )  # fmt: skip
    base = TrainingBudget()
    return base.model_copy(
        update={
            "n_sources": 2,
            "n_targets": 2,
            "market": SyntheticParams(n_sessions=330),
            "folds": WalkForwardParams(
                n_folds=2, min_train_sessions=120, validation_sessions=40, test_sessions=40
            ),
            "pretrain": PretrainParams(optimiser=optimiser),
            "finetune": FinetuneParams(optimiser=optimiser, grid=base.finetune.grid, n_seeds=2),
        }
    )


def test_real_policies_are_trained_scored_and_judged(tiny):
    worlds = {"null": TransferWorld(0.0, 0.7, 0.0, 2)}
    rule = GateParams(min_oos_sessions=80, min_seeds=2)
    seen = []
    result = calibrate_training(
        1, rule, budget=tiny, worlds=worlds, on_ticker=lambda name, n: seen.append((name, n))
    )
    assert seen == [("null", 1), ("null", 2)] * 2
    assert set(result["sharpe"]["null"]) == {
        "finetuned", "scratch", "zero_shot", "buy_hold", "random", "ridge"
    }  # fmt: skip
    shares = result["worlds"]["null"]["ticker"]
    assert shares["INVALID"]["rate"] == 0.0
    verdicts = ("PROMOTE", "REJECT_GUARDRAIL", "REJECT_NEGATIVE_TRANSFER", "INCONCLUSIVE")
    assert sum(shares[verdict]["rate"] for verdict in verdicts) == pytest.approx(1.0)
    assert {check["world"] for check in result["checks"]} == {"null"}
    text = render(result)
    assert "null 2: cohorts of 2 tickers" in text
    assert "mean Sharpe ratio" in text


def test_a_cohort_is_repeatable_and_pays_what_its_world_charges(tiny):
    free, costly = TransferWorld(1.0, 0.7, 0.0, 1), TransferWorld(1.0, 0.7, 5.0, 1)
    table, parity = train_cohort(3, "positive", free, tiny)
    assert table.equals(train_cohort(3, "positive", free, tiny)[0])
    assert all(audit.passed for own in parity.values() for audit in own)
    assert sum(table["cost"].to_pylist()) == 0.0
    assert sum(train_cohort(3, "positive", costly, tiny)[0]["cost"].to_pylist()) > 0.0


def test_the_null_world_is_free_of_costs_and_structure():
    null = TRANSFER_WORLDS["null"]
    assert (null.sign, null.cost_bps) == (0.0, 0.0)
    assert all(world.n_cohorts * TrainingBudget().n_targets >= 20
               for world in TRANSFER_WORLDS.values())  # fmt: skip
