"""A crippled control and a rising market, made by real training and the real market arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from transfergate import cli
from transfergate.evaluation.baselines import buy_and_hold, walk
from transfergate.evaluation.gate import judge
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import StackPlan, init_weights
from transfergate.market import planted_panel
from transfergate.market.panel import Panel
from transfergate.settings import (
    FinetuneParams,
    GateParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
)
from transfergate.transfer import arms
from transfergate.transfer.scoring import arm_paths, ledger_rows, reference_paths, ticker_market

MARKET = MarketParams(cost_bps=1.0)
NETWORK = NetworkParams(encoder="mlp", encoder_units=8, head_units=8)
PARAMS = FinetuneParams(
    optimiser=OptimiserParams(
        n_updates=60,
        n_paths=4,
        path_sessions=60,
        burn_in_sessions=2,
        tail_sessions=4,
        learning_rate=0.03,
        n_validations=2,
    ),
    grid=(Regularisation(input_noise=0.3),),
    n_seeds=3,
    learning_rate_ratio=1.0,
)
FOLDS = tuple(
    Fold(i, Window(5, 500), Window(505, 600), Window(605 + 130 * i, 735 + 130 * i))
    for i in range(2)
)
GATE = GateParams(evidence="ticker")


def table_of(panel: Panel) -> pa.Table:
    """Train both arms on a planted market, score every arm, and return the ledger's columns."""
    foundations = init_weights(NETWORK, panel.n_features, len(MARKET.positions), (7, 8))
    runs = arms.train_arms(
        panel,
        FOLDS,
        foundations,
        arms_of_fold=[(arms.FINETUNED, arms.SCRATCH)] * 2,
        market=MARKET,
        network=NETWORK,
        params=PARAMS,
        seed_parts=("control",),
        on_progress=None,
    )
    parts = []
    for i, fold in enumerate(FOLDS):
        paths: dict[str, Any] = {
            run.arm: arm_paths(panel, run, MARKET, NETWORK, 2) for run in runs if run.fold is fold
        }
        own = {name: tensor[i : i + 1] for name, tensor in foundations.items()}
        references = reference_paths(
            panel, fold, own, MARKET, NETWORK, burn_in=2, seed_parts=("control",)
        )
        paths |= {name: [path] for name, path in references.items()}
        parts += [labelled(ledger_rows(panel, fold, own), arm, i) for arm, own in paths.items()]
    return pa.concat_tables(parts)


def labelled(rows: pa.Table, arm: str, fold: int) -> pa.Table:
    for name, value in (("ticker", "PLANT"), ("arm", arm), ("fold", fold)):
        rows = rows.append_column(name, pa.array([value] * rows.num_rows))
    return rows


@pytest.fixture(scope="module")
def panel() -> Panel:
    return planted_panel(1, 900, phi=0.3, n_noise=2, seed=4)


def test_an_able_control_is_not_flagged(panel: Panel) -> None:
    report = judge(table_of(panel), GATE)["tickers"]["PLANT"]
    assert report["sharpe"]["scratch"] > 0.5
    assert not any(control["weak"] for control in report["control"].values())
    assert not any("WEAK CONTROL" in reason for reason in report["reasons"])


def test_a_crippled_control_is_flagged_in_the_reasons_and_the_report(
    panel: Panel,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its training walks downhill, and what its validation says of that is not heard."""
    real_plan, real_choose = arms._plan, arms._choose

    def downhill(models: Any, *rest: Any) -> StackPlan:
        plan = real_plan(models, *rest)
        rates = zip(models, plan.learning_rates, strict=True)
        return replace(
            plan, learning_rates=tuple(-r if m.arm == arms.SCRATCH else r for m, r in rates)
        )

    def deaf(*given: Any) -> arms.ArmRun:
        run = real_choose(*given)
        return replace(run, choice=0) if run.arm == arms.SCRATCH else run

    monkeypatch.setattr(arms, "_plan", downhill)
    monkeypatch.setattr(arms, "_choose", deaf)
    table = table_of(panel)
    report = judge(table, GATE)["tickers"]["PLANT"]
    assert report["control"]["flat"]["weak"]
    assert report["control"]["ridge"]["weak"]
    flags = [reason for reason in report["reasons"] if reason.startswith("WEAK CONTROL")]
    assert len(flags) == 2
    assert f"{-report['control']['flat']['difference']:.2f} below holding nothing" in flags[0]
    assert report["verdict"] == "PROMOTE", "against such a control anything wins: hence the flag"

    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path / "var"))
    pq.write_table(table, tmp_path / "returns.parquet")
    page = tmp_path / "page.html"
    assert cli.main(["gate", str(tmp_path / "returns.parquet"), "--html", str(page)]) == 0
    assert "WEAK CONTROL" in capsys.readouterr().out
    assert "WEAK CONTROL" in page.read_text()


def test_a_bull_market_in_which_every_arm_is_long_is_no_promotion() -> None:
    """Both arms only leave out sessions of a rising market; the better one beats the control."""
    panel = planted_panel(1, 800, phi=0.0, n_noise=1, seed=3)
    rise = torch.full_like(panel.intraday, 0.0035)
    panel = replace(panel, intraday=panel.intraday * 0.6 + rise)
    view, fold = ticker_market(panel, MARKET), Fold(0, Window(5, 100), Window(105, 200), None)
    fold = replace(fold, test=Window(205, 790))
    assert fold.test is not None
    long, flat = len(view.positions) - 1, view.flat

    def often_long(share: float, seed: int) -> Any:
        """An arm's seeds leave out nearly the same sessions."""
        common, own = np.random.default_rng(1), np.random.default_rng(seed)
        held = (common.random(1000) < share) ^ (own.random(1000) < 0.02)
        return walk(view, fold.test, lambda t, _: long if held[t] else flat)

    paths = {
        "finetuned": [often_long(0.6, seed) for seed in range(3)],
        "scratch": [often_long(0.2, 10 + seed) for seed in range(3)],
        "buy_hold": [buy_and_hold(view, fold.test)],
    }
    rows = [labelled(ledger_rows(panel, fold, own), arm, 0) for arm, own in paths.items()]
    report = judge(pa.concat_tables(rows), GATE)["tickers"]["PLANT"]
    assert report["sharpe"]["scratch"] > 1
    assert report["p_promote"] < 0.10
    assert report["guards"]["flat"]["passed"]
    assert report["guards"]["buy_hold"]["passed"] is False
    assert report["verdict"] == "REJECT_GUARDRAIL"
    assert any("buying and holding" in reason for reason in report["reasons"])
    alone = judge(pa.concat_tables(rows[:2]), GATE)["tickers"]["PLANT"]
    assert alone["verdict"] == "PROMOTE", "without the guard it would have been promoted"
