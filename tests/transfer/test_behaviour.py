"""Really trained policies: one that trades, and those that collapse to flat, long and short."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Weights
from transfergate.market import Panel, planted_panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
    Regularisation,
)
from transfergate.transfer import audits
from transfergate.transfer.arms import FINETUNED, SCRATCH, train_arms
from transfergate.transfer.behaviour import Conduct, conduct, refusal
from transfergate.transfer.pretraining import pretrain_family
from transfergate.transfer.records import arm_record, flat_seeds
from transfergate.transfer.scoring import arm_paths, ledger_rows

NETWORK = NetworkParams(encoder="mlp", encoder_units=6, head_units=6)
SIZES = OptimiserParams(
    n_updates=60,
    n_paths=8,
    path_sessions=60,
    burn_in_sessions=2,
    tail_sessions=4,
    learning_rate=0.05,
    n_validations=1,
)
FOLD = Fold(-1, Window(0, 350), Window(360, 400), None)
CHEAP = MarketParams(cost_bps=1.0)


def market(drift: float = 0.0, signal: bool = True) -> Panel:
    panel = planted_panel(2, 420, n_noise=1, phi=0.3 if signal else 0.0, seed=2)
    return replace(panel, intraday=panel.intraday + drift)


def pretrained(panel: Panel, params: MarketParams) -> Weights:
    return pretrain_family(
        panel,
        (FOLD,),
        market=params,
        network=NETWORK,
        params=PretrainParams(optimiser=SIZES),
        seed_parts=("behaviour",),
        checkpoint=None,
        on_progress=None,
    ).result.weights


def seen(panel: Panel, weights: Weights, params: MarketParams) -> Conduct:
    return conduct(panel, weights, 400, params, NETWORK, 2)


def test_a_policy_that_learnt_something_passes():
    panel = market()
    found = seen(panel, pretrained(panel, CHEAP), CHEAP)
    assert found.finding is None
    assert found.position is None
    assert found.decisions == 2 * 397
    assert 0.3 < found.exposure <= 1.0
    assert refusal(["now"], [found], admit_constant=False) is None


@pytest.mark.parametrize(
    ("drift", "cost_bps", "finding", "position", "exposure"),
    [
        (0.0, 500.0, "always flat", 0.0, 0.0),
        (0.03, 1.0, "always long", 1.0, 1.0),
        (-0.03, 1.0, "always short", -1.0, 1.0),
    ],
)
def test_a_policy_that_always_holds_one_position_is_named_and_refused(
    drift: float, cost_bps: float, finding: str, position: float, exposure: float
):
    panel, params = market(drift, signal=False), MarketParams(cost_bps=cost_bps)
    found = seen(panel, pretrained(panel, params), params)
    assert (found.finding, found.position, found.exposure) == (finding, position, exposure)
    reason = refusal(["now"], [found], admit_constant=False)
    assert reason is not None
    assert f"{finding} by construction" in reason
    assert "now" in reason
    assert "794 decisions" in reason
    assert "ADMIT_CONSTANT" in reason
    assert refusal(["now"], [found], admit_constant=True) is None


def test_weights_that_are_no_numbers_are_refused_even_if_constant_ones_are_admitted():
    panel = market()
    weights = pretrained(panel, CHEAP)
    weights["encoder.bias"] = weights["encoder.bias"].clone()
    weights["encoder.bias"][0, 0, 2] = math.nan
    found = seen(panel, weights, CHEAP)
    assert found.finding == "not finite"
    fine = Conduct(None, 10, None, 0.5)
    reason = refusal(["fold-1", "now"], [found, fine], admit_constant=True)
    assert reason is not None
    assert "not finite: the weights of fold-1 (1 of 2 checkpoints)" in reason


def test_a_policy_that_keeps_what_it_holds_never_leaves_flat():
    """Long from long and short from short, but nothing leads there."""
    panel = market()
    weights = pretrained(panel, CHEAP)
    weights = {name: torch.zeros_like(value) for name, value in weights.items()}
    weights["head.position"][0, :, :3] = 4.0 * torch.eye(3)
    weights["head.output"][0, :3] = torch.eye(3)
    found = seen(panel, weights, CHEAP)
    assert (found.finding, found.exposure) == ("always flat", 0.0)


def test_a_family_is_refused_by_its_last_or_by_half_of_it():
    fine, flat = Conduct(None, 10, None, 0.5), Conduct("always flat", 10, 0.0, 0.0)
    names = ["fold-1", "fold-2", "fold-3", "now"]

    def refused(*found: Conduct) -> bool:
        return refusal(names, found, admit_constant=False) is not None

    assert not refused(fine, fine, fine, fine)
    assert not refused(flat, fine, fine, fine)
    assert refused(fine, fine, fine, flat)
    assert refused(flat, flat, fine, fine)


def test_collapsed_seeds_are_counted_in_both_arms_and_none_is_dropped():
    panel, params = planted_panel(1, 420, n_noise=1, seed=2), MarketParams(cost_bps=500.0)
    fold = Fold(0, Window(0, 300), Window(305, 350), Window(355, 400))
    settings = FinetuneParams(
        optimiser=SIZES, grid=(Regularisation(),), n_seeds=4, learning_rate_ratio=1.0
    )
    counts = {}
    for market_params in (CHEAP, params):
        runs = train_arms(
            panel,
            [fold],
            pretrained(panel, market_params),
            arms_of_fold=[(FINETUNED, SCRATCH)],
            market=market_params,
            network=NETWORK,
            params=settings,
            seed_parts=("collapsed",),
            on_progress=None,
        )
        records = {}
        for run in runs:
            rows = ledger_rows(panel, fold, arm_paths(panel, run, market_params, NETWORK, 2))
            assert rows.num_rows == 4 * fold.test.sessions
            assert len(run.seeds) == 4
            assert (run.choice is None) == (market_params is params)  # flat is a choice
            flat = flat_seeds(rows)
            records[run.arm] = {**arm_record(run, panel), "flat_in_test": flat}
        figures = audits.budget_parity([{"fold": "fold-0", "arms": records}])["figures"]
        counts[market_params.cost_bps] = figures["totals"]
    assert counts[500.0]["collapsed"] == {"finetuned": 4, "scratch": 4}
    assert counts[500.0]["flat_in_test"] == {"finetuned": 4, "scratch": 4}
    assert counts[1.0]["collapsed"] == {"finetuned": 0, "scratch": 0}
