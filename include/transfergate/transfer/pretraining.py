"""Pre-training the foundation family: one checkpoint per fold cut-off, and one up to now.

One shared foundation would be variance that no standard error sees, and one trained up to now
would have seen the test sessions of every fold. So each fold gets its own, independently seeded
and cut off where the fold's training ends, source tickers included. All are trained in one stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.errors import NotEnoughData
from transfergate.evaluation.splits import Fold, Window, refit_fold, walk_forward_folds
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
from transfergate.transfer.recipe import derive_seed

Progress = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class FoundationFamily:
    """One model per fold, in the order of ``folds``; the last is the refit up to now."""

    folds: tuple[Fold, ...]
    seeds: tuple[int, ...]
    result: TrainingResult

    def last_session(self, model: int) -> int:
        """Latest session (index in the panel) that a model's training or validation read."""
        validated = self.folds[model].validation.stop - 1
        return max(int(self.result.meter.last_session[model]), validated)


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
    enough = [
        Fold(fold.number, Window(first, fold.train.stop), fold.validation, fold.test)
        for fold in folds
        if fold.train.stop - first >= params.min_train_sessions
    ]
    refit = refit_fold(n_sessions, params)
    if refit.train.stop - first < params.min_train_sessions:
        raise NotEnoughData(
            f"source tickers {', '.join(panel.tickers)}: {max(refit.train.stop - first, 0)} "
            f"sessions to train on before validation, expected at least "
            f"{params.min_train_sessions}; ingest a longer history or lower "
            f"TRANSFERGATE_WALK_FORWARD__MIN_TRAIN_SESSIONS"
        )
    return (*enough, Fold(-1, Window(first, refit.train.stop), refit.validation, None))


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
) -> FoundationFamily:
    """Train all foundations in one stack on the panel's tickers (sources only).

    Args:
        panel: Source tickers only.
        folds: From :func:`family_folds`.
        market: The market.
        network: The network.
        params: Budget and regularisation.
        seed_parts: What the seeds are derived from, the fold's name apart.
        checkpoint: Where a retried task resumes from.
        on_progress: Called at a steady rhythm.

    Returns:
        The family; each model is the checkpoint with the best mean Sharpe ratio of its own
        validation window over the source tickers.
    """
    seeds = tuple(derive_seed(*seed_parts, "foundation", fold.name) for fold in folds)
    plan = StackPlan(
        slices=tuple(_slice(panel, fold) for fold in folds),
        seeds=seeds,
        learning_rates=(params.optimiser.learning_rate,) * len(folds),
        regularisations=(params.regularisation,) * len(folds),
        frozen_groups=(frozenset(),) * len(folds),
    )

    def validate(weights: Weights) -> Tensor:
        return torch.tensor(
            [
                mean_sharpe(
                    panel,
                    select_models(weights, [model]),
                    network,
                    market,
                    fold.validation,
                    params.optimiser.burn_in_sessions,
                )
                for model, fold in enumerate(folds)
            ]
        )

    weights = init_weights(network, panel.features.shape[-1], len(market.positions), seeds)
    weights = {name: tensor.to(panel.features.device) for name, tensor in weights.items()}
    result = train_stack(
        panel,
        weights,
        network,
        market,
        params.optimiser,
        plan,
        validate=validate,
        checkpoint=checkpoint,
        on_progress=on_progress,
    )
    return FoundationFamily(folds, seeds, result)


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
    ratio = returns.mean(-1) / deviation.clamp_min(1e-12) * 252**0.5
    return torch.where(deviation > 1e-12, ratio, torch.zeros_like(ratio))


def _slice(panel: Panel, fold: Fold) -> TrainingSlice:
    rows = tuple(
        row
        for row in range(len(panel.tickers))
        if int(panel.ready[row, fold.train.first : fold.train.stop].sum()) > 0
    )
    return TrainingSlice(rows, fold.train.first, fold.train.stop)
