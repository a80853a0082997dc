"""Both arms of the comparison: the fine-tuned policy and its from-scratch control.

They share data, budget, grid of regularisation, early-stop rule and seeds; they differ only in the
weights they start from and, as every fine-tuning does, in the learning rate (and, for the
strategies ``head`` and ``partial``, in which parameters move). All models of a ticker, over folds,
seeds, grid and arms, train as one stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import (
    Scored,
    StackPlan,
    TrainingResult,
    TrainingSlice,
    Weights,
    frozen_parameters,
    init_weights,
    score_greedy,
    select_models,
    train_stack,
)
from transfergate.market.dynamics import cost_rates
from transfergate.market.panel import Panel
from transfergate.settings import FinetuneParams, MarketParams, NetworkParams
from transfergate.storage import content_hash
from transfergate.transfer.pretraining import Progress, annualised_sharpe
from transfergate.transfer.recipe import derive_seed

FINETUNED, SCRATCH = "finetuned", "scratch"


@dataclass(frozen=True)
class ArmRun:
    """One arm in one fold: its K seeds at the grid's choice, and what that choice was made on.

    Attributes:
        choice: Index into the grid, or None for flat (no choice had a positive validation score).
        validation_sharpe: Of the seed-mean validation returns, per grid choice, in grid order.
        weights: The K chosen models, stacked; those of the best choice even when flat is chosen.
        sessions: Sessions of the target ticker that training could read.
        env_steps: Environment steps of all trained models, counted while they trained.
        updates: Gradient updates of all trained models, counted likewise.
        trained_models: Models that trained for this arm: one per seed and choice.
        n_choices: Distinct choices among them.
        validations: Times that each was scored on validation after training had begun.
        last_session: Latest session (index in the panel) of which training read a return.
        parameters: Numbers in one model, those of its critic in training included.
        network: Hash of the names and shapes of its parameters.
        features: Number of inputs.
        costs: Basis points per unit of turnover, and timing, in which it traded.
        learning_curve: Validation Sharpe ratio at each validation, mean over seeds, of the choice.
        collapsed: Chosen models that hold nothing throughout validation; they count like all
            others, in every mean and in every error.
    """

    arm: str
    fold: Fold
    seeds: tuple[int, ...]
    choice: int | None
    validation_sharpe: tuple[float, ...]
    weights: Weights
    sessions: int
    env_steps: int
    updates: int
    trained_models: int
    n_choices: int
    validations: int
    last_session: int
    parameters: int
    network: str
    features: int
    costs: tuple[float, str]
    learning_curve: tuple[float, ...]
    collapsed: int = 0


@dataclass(frozen=True)
class _Model:
    arm: str
    fold: int
    seed: int
    choice: int


def train_arms(
    panel: Panel,
    folds: Sequence[Fold],
    foundations: Weights,
    *,
    arms_of_fold: Sequence[tuple[str, ...]],
    market: MarketParams,
    network: NetworkParams,
    params: FinetuneParams,
    seed_parts: tuple[str | int, ...],
    on_progress: Progress | None,
) -> list[ArmRun]:
    """Train every (arm, fold, seed, grid choice) of one ticker in one stack.

    Args:
        panel: The target ticker alone.
        folds: Folds to train, the refit included where wanted.
        foundations: One model per fold, in the same order.
        arms_of_fold: Which arms each fold trains (the refit needs no control).
        market: The market.
        network: The network; both arms use it.
        params: Budget, grid, learning-rate ratio and strategy.
        seed_parts: What the seeds are derived from, fold and seed number apart.
        on_progress: Called at a steady rhythm.

    Returns:
        One run per arm and fold.
    """
    models = [
        _Model(arm, fold, seed, choice)
        for fold in range(len(folds))
        for arm in arms_of_fold[fold]
        for choice in range(len(params.grid))
        for seed in range(params.n_seeds)
    ]
    seeds = [derive_seed(*seed_parts, folds[m.fold].name, m.seed) for m in models]
    result = train_stack(
        panel,
        _starting_weights(panel, models, seeds, foundations, market, network),
        network,
        market,
        params.optimiser,
        _plan(models, seeds, folds, network, params),
        validate=lambda weights: _validation_scores(
            panel, models, folds, weights, market, network, params
        ),
        checkpoint=None,
        on_progress=on_progress,
    )
    runs = []
    for fold in range(len(folds)):
        for arm in arms_of_fold[fold]:
            members = [i for i, m in enumerate(models) if m.arm == arm and m.fold == fold]
            run = _choose(panel, folds[fold], arm, members, seeds, result, market, network, params)
            trials = len({models[i].choice for i in members})
            runs.append(replace(run, n_choices=trials))
    return runs


def _starting_weights(
    panel: Panel,
    models: list[_Model],
    seeds: list[int],
    foundations: Weights,
    market: MarketParams,
    network: NetworkParams,
) -> Weights:
    device = panel.features.device
    fresh = init_weights(network, panel.features.shape[-1], len(market.positions), seeds)
    fresh = {name: tensor.to(device) for name, tensor in fresh.items()}
    taught = select_models(foundations, [m.fold for m in models])
    from_scratch = torch.tensor([m.arm == SCRATCH for m in models], device=device)
    return {
        name: torch.where(
            from_scratch.view(-1, *[1] * (fresh[name].dim() - 1)),
            fresh[name],
            taught[name].to(device),
        )
        for name in fresh
    }


def _plan(
    models: list[_Model],
    seeds: list[int],
    folds: Sequence[Fold],
    network: NetworkParams,
    params: FinetuneParams,
) -> StackPlan:
    rate, strategy = params.optimiser.learning_rate, params.strategy
    decay = params.layer_rate_decay if strategy == "discriminative" else 1.0
    frozen = frozen_parameters("full" if strategy == "discriminative" else strategy, network)
    taught = [m.arm == FINETUNED for m in models]
    return StackPlan(
        slices=tuple(
            TrainingSlice((0,), folds[m.fold].train.first, folds[m.fold].train.stop) for m in models
        ),
        seeds=tuple(seeds),
        learning_rates=tuple(rate * (params.learning_rate_ratio if own else 1.0) for own in taught),
        regularisations=tuple(params.grid[m.choice] for m in models),
        frozen_groups=tuple(frozen if own else frozenset() for own in taught),
        layer_decays=tuple(decay if own else 1.0 for own in taught),
        pulls=tuple(params.foundation_pull if own else 0.0 for own in taught),
    )


def score_window(
    panel: Panel,
    weights: Weights,
    window: Window,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
) -> Scored:
    """Run S models greedily over a window of a one-ticker panel.

    The first trade is in session ``window.first``, decided at the close before it.
    """
    n_models = next(iter(weights.values())).shape[0]
    return score_greedy(
        panel,
        weights,
        network,
        market,
        [0] * n_models,
        max(window.first - 1, 0),
        window.stop,
        burn_in,
    )


def _validation_scores(
    panel: Panel,
    models: list[_Model],
    folds: Sequence[Fold],
    weights: Weights,
    market: MarketParams,
    network: NetworkParams,
    params: FinetuneParams,
) -> Tensor:
    scores = torch.zeros(len(models))
    for number, fold in enumerate(folds):
        members = [i for i, m in enumerate(models) if m.fold == number]
        if not members:
            continue
        scored = score_window(
            panel,
            select_models(weights, members),
            fold.validation,
            market,
            network,
            params.optimiser.burn_in_sessions,
        )
        scores[members] = annualised_sharpe(scored.net_return).float().cpu()
    return scores


def _choose(
    panel: Panel,
    fold: Fold,
    arm: str,
    members: list[int],
    seeds: list[int],
    result: TrainingResult,
    market: MarketParams,
    network: NetworkParams,
    params: FinetuneParams,
) -> ArmRun:
    """Pick the grid choice by the Sharpe ratio of the seed-mean validation returns."""
    weights = select_models(result.weights, members)
    scored = score_window(
        panel, weights, fold.validation, market, network, params.optimiser.burn_in_sessions
    )
    by_choice = scored.net_return.view(len(params.grid), params.n_seeds, -1)
    sharpe = annualised_sharpe(by_choice.double().mean(1)).cpu().numpy()
    best = int(np.argmax(sharpe))
    chosen = list(range(best * params.n_seeds, (best + 1) * params.n_seeds))
    kept = [members[i] for i in chosen]
    curve = result.validation[:, kept].mean(1)
    return ArmRun(
        arm=arm,
        fold=fold,
        seeds=tuple(seeds[i] for i in kept),
        choice=best if sharpe[best] > 0.0 else None,
        validation_sharpe=tuple(float(value) for value in sharpe),
        weights=select_models(weights, chosen),
        sessions=int(panel.ready[0, fold.train.first : fold.train.stop].sum()),
        env_steps=int(result.meter.env_steps[members].sum()),
        updates=int(result.meter.updates[members].sum()),
        trained_models=len(members),
        n_choices=len(by_choice),
        validations=len(result.validation) - 1,
        last_session=int(result.meter.last_session[members].max()),
        parameters=result.critic_parameters + sum(t[0].numel() for t in weights.values()),
        network=content_hash(*(f"{k}{tuple(v.shape[1:])}" for k, v in sorted(weights.items()))),
        features=panel.n_features,
        costs=(round(float(cost_rates(panel, market).mean()) * 1e4, 6), market.timing),
        learning_curve=tuple(float(value) for value in curve),
        collapsed=int((scored.position[chosen] == 0.0).all(1).sum()),
    )
