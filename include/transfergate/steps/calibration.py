"""Calibration on real training: planted transfer, the production training core, the same verdicts.

Markets are those of ``sources/synthetic.py`` (kind ``volume``), drawn many tickers at a time:
sources that obey the planted structure, and targets that obey the same (positive transfer), its
opposite (negative transfer) or none at all. In the last one no policy can earn: returns are a
martingale and trading is free, so the true difference of any two arms is exactly zero, whatever
the foundation has learnt elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from transfergate.evaluation.calibration import check_limits, judge_table, world_rates
from transfergate.evaluation.calibration.run import Shares
from transfergate.evaluation.gate import Audit
from transfergate.evaluation.splits import Fold, walk_forward_folds
from transfergate.learning import Weights, select_models
from transfergate.learning.runtime import use_threads
from transfergate.market.panel import Panel
from transfergate.settings import (
    FinetuneParams,
    GateParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
    Regularisation,
    SyntheticParams,
    WalkForwardParams,
)
from transfergate.settings.base import Params
from transfergate.steps.planted import panel_rows, planted_transfer
from transfergate.transfer import audits
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmRun, train_arms
from transfergate.transfer.pretraining import pretrain_family
from transfergate.transfer.records import arm_record
from transfergate.transfer.scoring import arm_paths, ledger_rows, reference_paths

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransferWorld:
    """What the targets obey, and what trading costs.

    Attributes:
        sign: 1 for the sources' structure, -1 for its opposite, 0 for none.
        strength: Of the structure, see ``sources/synthetic.py``.
        cost_bps: Per unit of turnover, in both training and test.
        n_cohorts: Independent draws of sources and targets.
    """

    sign: float
    strength: float
    cost_bps: float
    n_cohorts: int


TRANSFER_WORLDS: Mapping[str, TransferWorld] = {
    "null": TransferWorld(0.0, 0.7, 0.0, 6),
    "positive": TransferWorld(1.0, 0.7, 5.0, 3),
    "positive_weak": TransferWorld(1.0, 0.4, 5.0, 3),
    "negative": TransferWorld(-1.0, 0.7, 5.0, 3),
}


class TrainingBudget(Params):
    """As small as keeps the learners working; every part of the production core takes part."""

    n_sources: int = 8
    n_targets: int = 20
    market: SyntheticParams = SyntheticParams(kind="volume", n_sessions=1170)
    folds: WalkForwardParams = WalkForwardParams()
    network: NetworkParams = NetworkParams(encoder="mlp", encoder_units=24, head_units=24)
    pretrain: PretrainParams = PretrainParams(
        optimiser=OptimiserParams(
            n_updates=150, n_paths=16, burn_in_sessions=0, tail_sessions=8, n_validations=3
        )
    )
    finetune: FinetuneParams = FinetuneParams(
        optimiser=OptimiserParams(
            n_updates=60, n_paths=4, burn_in_sessions=0, tail_sessions=8, n_validations=2
        ),
        grid=(Regularisation(input_noise=0.3),),
        n_seeds=3,
    )


def calibrate_training(
    seed: int,
    params: GateParams,
    *,
    budget: TrainingBudget | None = None,
    worlds: Mapping[str, TransferWorld] = TRANSFER_WORLDS,
    on_ticker: Callable[[str, int], None] | None = None,
) -> dict[str, Any]:
    """Train real policies on planted transfer and judge them.

    Args:
        seed: Of everything drawn.
        params: The rule; its ``evidence`` is overruled, both kinds are run.
        budget: Sizes.
        worlds: What the targets obey.
        on_ticker: Called with the world's name and the tickers trained, for progress.

    Returns:
        Like :func:`~transfergate.evaluation.calibration.calibrate_worlds`, with ``n_cohorts`` per
        world, and the mean ``sharpe`` of every arm per world.
    """
    budget = budget or TrainingBudget()
    use_threads(1)
    rates: dict[str, Any] = {}
    means: dict[str, dict[str, float]] = {}
    for name, world in worlds.items():
        shares: list[Shares] = []
        sharpe: list[dict[str, float]] = []
        for cohort in range(world.n_cohorts):
            table, parity = train_cohort(seed + cohort, name, world, budget, on_ticker)
            counts, reports = judge_table(table, params, parity)
            shares.append(counts)
            sharpe += [report["sharpe"] for report in reports.values()]
        rates[name] = world_rates(shares)
        means[name] = {arm: float(np.mean([one[arm] for one in sharpe])) for arm in sharpe[0]}
        log.info("world %s: %s", name, means[name])
    checks = check_limits(rates)
    return {
        "n_cohorts": {name: world.n_cohorts for name, world in worlds.items()},
        "n_tickers": budget.n_targets,
        "seed": seed,
        "config": params.model_dump(mode="json"),
        "worlds": rates,
        "sharpe": means,
        "checks": checks,
        "passed": all(check["passed"] for check in checks),
    }


def train_cohort(
    seed: int,
    name: str,
    world: TransferWorld,
    budget: TrainingBudget,
    on_ticker: Callable[[str, int], None] | None = None,
) -> tuple[pa.Table, dict[str, list[Audit]]]:
    """Train the foundations and both arms of every target of one cohort.

    Returns:
        All arms' rows in the ledger's form, and each ticker's audit of equal budgets.
    """
    signs = [1.0] * budget.n_sources + [world.sign] * budget.n_targets
    drawn = {"seed": seed, "strength": world.strength}
    panel = planted_transfer(signs, budget.market.model_copy(update=drawn))
    market = MarketParams(cost_bps=world.cost_bps)
    sources = panel_rows(panel, range(budget.n_sources))
    folds = tuple(walk_forward_folds(panel.n_sessions, 0, budget.folds))
    family = pretrain_family(
        sources,
        folds,
        market=market,
        network=budget.network,
        params=budget.pretrain,
        seed_parts=(seed, str(world.strength), str(world.cost_bps)),
        checkpoint=None,
        on_progress=None,
    )
    tables, parity = [], {}
    for number in range(budget.n_targets):
        target = panel_rows(panel, [budget.n_sources + number])
        runs = train_arms(
            target,
            folds,
            family.result.weights,
            arms_of_fold=[(FINETUNED, SCRATCH)] * len(folds),
            market=market,
            network=budget.network,
            params=budget.finetune,
            seed_parts=(seed, name, target.tickers[0]),
            on_progress=None,
        )
        tables.append(_record(target, folds, runs, family.result.weights, market, budget))
        parity[target.tickers[0]] = [_parity(target, runs)]
        if on_ticker is not None:
            on_ticker(name, number + 1)
    return pa.concat_tables(tables), parity


def _record(
    target: Panel,
    folds: tuple[Fold, ...],
    runs: list[ArmRun],
    foundations: Weights,
    market: MarketParams,
    budget: TrainingBudget,
) -> pa.Table:
    """Out-of-sample rows of every arm and reference of one ticker."""
    burn_in, ticker, parts = budget.finetune.optimiser.burn_in_sessions, target.tickers[0], []
    for number, fold in enumerate(folds):
        paths = {
            run.arm: arm_paths(target, run, market, budget.network, burn_in)
            for run in runs
            if run.fold is fold
        }
        references = reference_paths(
            target,
            fold,
            select_models(foundations, [number]),
            market,
            budget.network,
            burn_in=burn_in,
            seed_parts=(budget.market.seed, ticker),
        )
        for arm, series in {**paths, **{k: [path] for k, path in references.items()}}.items():
            rows = ledger_rows(target, fold, series)
            keys = {"ticker": ticker, "arm": arm, "fold": fold.number}
            for column, value in keys.items():
                rows = rows.append_column(column, pa.array([value] * rows.num_rows))
            parts.append(rows)
    return pa.concat_tables(parts)


def _parity(target: Panel, runs: list[ArmRun]) -> Audit:
    folds = sorted({run.fold.number for run in runs})
    found = audits.budget_parity(
        [
            {
                "fold": fold,
                "arms": {
                    run.arm: arm_record(run, target) for run in runs if run.fold.number == fold
                },
            }
            for fold in folds
        ]
    )
    return Audit(found["name"], bool(found["passed"]), found["figures"])
