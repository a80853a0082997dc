"""Pre-training the foundation family: one checkpoint per fold cut-off, and one up to now.

One shared foundation would be variance that no standard error sees, and one trained up to now
would have seen the test sessions of every fold. So each fold gets its own, independently seeded
and cut off where the fold's training ends, source tickers included. All are trained in one stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transfergate.errors import NotEnoughData
from transfergate.evaluation.metrics import SESSIONS_PER_YEAR
from transfergate.evaluation.splits import (
    Fold,
    Window,
    refit_fold,
    usable_folds,
    walk_forward_folds,
)
from transfergate.learning import (
    Checkpoint,
    StackPlan,
    TrainingProgress,
    TrainingResult,
    TrainingSlice,
    Weights,
    init_weights,
    score_greedy,
    select_models,
    train_stack,
)
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams, PretrainParams, WalkForwardParams
from transfergate.transfer.curriculum import (
    Stage,
    adversary_domains,
    stage_adversary,
    stage_optimiser,
    stage_seeds,
    stage_slice,
    stages,
)
from transfergate.transfer.recipe import derive_seed

Progress = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class FoundationFamily:
    """One model per fold, in the order of ``folds``; the last is the refit up to now.

    Attributes:
        folds: What each model trained and was validated on.
        seeds: Of each model.
        stages: The curriculum; one stage where none is declared.
        teachers: Per stage and model, the tickers that it learnt from.
        results: Of each stage; the last one's weights are the family's.
    """

    folds: tuple[Fold, ...]
    seeds: tuple[int, ...]
    stages: tuple[Stage, ...]
    teachers: tuple[tuple[tuple[str, ...], ...], ...]
    results: tuple[TrainingResult, ...]

    @property
    def result(self) -> TrainingResult:
        """Of the last stage."""
        return self.results[-1]

    @property
    def env_steps(self) -> int:
        """Environment steps of the model that took most, over all stages."""
        return sum(result.steps_per_model for result in self.results)

    @property
    def updates(self) -> int:
        """Gradient steps of the model that took most, over all stages."""
        return sum(result.updates_per_model for result in self.results)

    def last_session(self, model: int) -> int:
        """Latest session (index in the panel) that a model's training or validation read."""
        validated = self.folds[model].validation.stop - 1
        return max(validated, *(int(r.meter.last_session[model]) for r in self.results))

    def lineage(self, model: int) -> list[dict[str, object]]:
        """Stages of a model: name, tickers, gradient steps that were counted."""
        return [
            {
                "name": stage.name,
                "tickers": list(teachers[model]),
                "updates": int(result.meter.updates[model]),
            }
            for stage, teachers, result in zip(
                self.stages, self.teachers, self.results, strict=True
            )
        ]


def family_folds(
    panel: Panel, first_session_ordinal: int, params: WalkForwardParams
) -> tuple[Fold, ...]:
    """Folds of the whole panel, clipped to where its first ticker is ready, and the refit.

    Raises:
        NotEnoughData: If even the refit leaves too little to train on.
    """
    n_sessions = len(panel.sessions)
    first = first_ready(panel, range(len(panel.tickers)))
    folds = walk_forward_folds(n_sessions, first_session_ordinal, params)
    refit = refit_fold(n_sessions, params, first)
    if refit.train.sessions < params.min_train_sessions:
        raise NotEnoughData(
            f"source tickers {', '.join(panel.tickers)}: {max(refit.train.sessions, 0)} "
            f"sessions to train on before validation, expected at least "
            f"{params.min_train_sessions}; ingest a longer history or lower "
            f"TRANSFERGATE_WALK_FORWARD__MIN_TRAIN_SESSIONS"
        )
    return (*usable_folds(folds, first, params), refit)


def first_ready(panel: Panel, rows: Sequence[int]) -> int:
    """First session at which any of the rows has all its features; T if none ever has."""
    ready = panel.ready[list(rows)].any(0)
    return int(ready.int().argmax()) if bool(ready.any()) else len(panel.sessions)


def pretrain_family(
    panel: Panel,
    folds: tuple[Fold, ...],
    *,
    market: MarketParams,
    network: NetworkParams,
    params: PretrainParams,
    seed_parts: tuple[str | int, ...],
    checkpoint: Checkpoint | None,
    on_progress: Progress | None,
    sectors: Mapping[str, str | None] | None = None,
    targets: Sequence[str] = (),
) -> FoundationFamily:
    """Train all foundations in one stack on the panel's tickers (sources only), stage by stage.

    A stage starts from what the stage before it ended with, with fresh moments of the optimiser,
    its own part of the budget and the whole course of the learning rate. A stage of whose tickers
    a fold has too little history takes all sources in that fold.

    Args:
        panel: Sources that teach; nothing else is read.
        folds: From :func:`family_folds`.
        market: The market.
        network: The network.
        params: Budget, regularisation, curriculum, adversary.
        seed_parts: What the seeds are derived from, the fold's name apart.
        checkpoint: Where a retried task resumes from; see :func:`stage_checkpoint`.
        on_progress: Called at a steady rhythm.
        sectors: What is known of the sources' and targets' sectors.
        targets: Tickers to be taught: only their names and sectors are used.

    Returns:
        The family; each model is the checkpoint with the best mean Sharpe ratio of its own
        validation window over the source tickers, in the last stage.

    Raises:
        SettingsError: If a stage or the adversary does not fit the sources.
    """
    chain = stages(params, panel.tickers, sectors or {}, targets)
    seeds = tuple(derive_seed(*seed_parts, "foundation", fold.name) for fold in folds)
    domains = adversary_domains(params.adversary, panel.tickers, sectors or {})
    weights = init_weights(network, panel.features.shape[-1], len(market.positions), seeds)
    weights = {name: tensor.to(panel.features.device) for name, tensor in weights.items()}

    def validate(weights: Weights) -> Tensor:
        return _validation_scores(panel, folds, weights, market, network, params)

    results, teachers, done = [], [], 0
    for number, stage in enumerate(chain):
        slices = tuple(stage_slice(panel, fold, stage, params.optimiser) for fold in folds)
        last = number == len(chain) - 1
        result = train_stack(
            panel,
            weights,
            network,
            market,
            stage_optimiser(params.optimiser, stage, done),
            _stage_plan(slices, stage_seeds(seeds, number), params),
            validate=validate if last else None,
            checkpoint=checkpoint and stage_checkpoint(checkpoint, number),
            on_progress=on_progress,
            adversary=stage_adversary(params, domains, done, stage.n_updates),
        )
        results.append(result)
        teachers.append(tuple(tuple(panel.tickers[row] for row in s.rows) for s in slices))
        weights, done = result.last_weights, done + stage.n_updates
    return FoundationFamily(folds, seeds, tuple(chain), tuple(teachers), tuple(results))


def stage_checkpoint(checkpoint: Checkpoint, stage: int) -> Checkpoint:
    """Where a stage keeps its progress: the first at the key itself, later ones beside it."""
    return replace(checkpoint, key=f"{checkpoint.key}-{stage}") if stage else checkpoint


def _stage_plan(
    slices: tuple[TrainingSlice, ...], seeds: tuple[int, ...], params: PretrainParams
) -> StackPlan:
    return StackPlan(
        slices=slices,
        seeds=seeds,
        learning_rates=(params.optimiser.learning_rate,) * len(slices),
        regularisations=(params.regularisation,) * len(slices),
        frozen_groups=(frozenset(),) * len(slices),
    )


def _validation_scores(
    panel: Panel,
    folds: Sequence[Fold],
    weights: Weights,
    market: MarketParams,
    network: NetworkParams,
    params: PretrainParams,
) -> Tensor:
    burn_in = params.optimiser.burn_in_sessions
    return torch.tensor(
        [
            mean_sharpe(
                panel, select_models(weights, [model]), network, market, fold.validation, burn_in
            )
            for model, fold in enumerate(folds)
        ]
    )


def mean_sharpe(
    panel: Panel,
    weights: Weights,
    network: NetworkParams,
    market: MarketParams,
    window: Window,
    burn_in: int,
) -> float:
    """Mean annualised Sharpe ratio of one model over the tickers tradable in a window."""
    rows = [
        row
        for row in range(len(panel.tickers))
        if bool(panel.ready[row, window.first - 1 : window.stop].any())
    ]
    if not rows:
        return 0.0
    repeated = select_models(weights, [0] * len(rows))
    scored = score_greedy(
        panel, repeated, network, market, rows, window.first - 1, window.stop, burn_in
    )
    return float(annualised_sharpe(scored.net_return).mean())


def annualised_sharpe(net_return: Tensor) -> Tensor:
    """√252 · mean / standard deviation over the last axis; 0 where nothing was traded.

    Args:
        net_return: Simple net returns, shape (..., T).
    """
    returns = net_return.double()
    deviation = returns.std(-1, correction=0)
    ratio = returns.mean(-1) / deviation.clamp_min(1e-12) * SESSIONS_PER_YEAR**0.5
    return torch.where(deviation > 1e-12, ratio, torch.zeros_like(ratio))
