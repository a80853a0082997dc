"""Both arms of the comparison: the fine-tuned policy and its from-scratch control.

They share data, budget, grid of regularisation, early-stop rule and seeds; they differ only in the
weights they start from and, as every fine-tuning does, in the learning rate (and, for the
strategies ``head`` and ``partial``, in which parameters move). All models of a ticker, over folds,
seeds, grid and arms, train as one stack; ``together.py`` puts several tickers into one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transfergate.evaluation.splits import Fold
from transfergate.learning import (
    Checkpoint,
    StackPlan,
    TrainingResult,
    TrainingSlice,
    Weights,
    frozen_parameters,
    init_weights,
    select_models,
    train_stack,
)
from transfergate.market.dynamics import cost_rates
from transfergate.market.panel import Panel
from transfergate.settings import FinetuneParams, MarketParams, NetworkParams
from transfergate.storage import content_hash
from transfergate.transfer.arm_runs import FINETUNED, SCRATCH, ArmRun
from transfergate.transfer.choosing import preferred, taken, validated
from transfergate.transfer.curves import learning_curves
from transfergate.transfer.pretraining import Progress, annualised_sharpe
from transfergate.transfer.recipe import derive_seed
from transfergate.transfer.windows import score_window

__all__ = ["FINETUNED", "SCRATCH", "ArmRun", "ArmsStack", "ArmsTask", "train_arms"]


@dataclass(frozen=True)
class _Model:
    arm: str
    fold: int
    seed: int
    choice: int


@dataclass(frozen=True)
class ArmsTask:
    """What is to be trained of one ticker.

    Attributes:
        panel: The target ticker alone.
        folds: Folds to train, the refit included where wanted.
        foundations: One model per fold, in the same order.
        arms_of_fold: Which arms each fold trains (the refit needs no control).
        seed_parts: What the seeds are derived from, fold and seed number apart.
    """

    panel: Panel
    folds: Sequence[Fold]
    foundations: Weights
    arms_of_fold: Sequence[tuple[str, ...]]
    seed_parts: tuple[str | int, ...]


class ArmsStack:
    """The models of one task: a stack of their own, or a part of a larger one."""

    def __init__(
        self, task: ArmsTask, market: MarketParams, network: NetworkParams, params: FinetuneParams
    ) -> None:
        self.task, self.market, self.network, self.params = task, market, network, params
        self._models = [
            _Model(arm, fold, seed, choice)
            for fold in range(len(task.folds))
            for arm in task.arms_of_fold[fold]
            for choice in range(len(params.grid))
            for seed in range(params.n_seeds)
        ]
        models, folds = self._models, task.folds
        self._seeds = [derive_seed(*task.seed_parts, folds[m.fold].name, m.seed) for m in models]
        self.plan = _plan(models, self._seeds, folds, network, params)
        self.weights = _starting_weights(
            task.panel, models, self._seeds, task.foundations, market, network
        )

    def validate(self, weights: Weights) -> Tensor:
        """Validation Sharpe ratio of each model, (S,)."""
        return _validation_scores(
            self.task.panel,
            self._models,
            self.task.folds,
            weights,
            self.market,
            self.network,
            self.params,
        )

    def runs(self, result: TrainingResult) -> list[ArmRun]:
        """One run per arm and fold, from the result of these models alone."""
        task, runs = self.task, []
        for fold in range(len(task.folds)):
            for arm in task.arms_of_fold[fold]:
                members = [i for i, m in enumerate(self._models) if (m.arm, m.fold) == (arm, fold)]
                run = _choose(
                    task.panel,
                    task.folds[fold],
                    arm,
                    members,
                    self._seeds,
                    result,
                    self.market,
                    self.network,
                    self.params,
                )
                trials = len({self._models[i].choice for i in members})
                runs.append(replace(run, n_choices=trials))
        return runs


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
    checkpoint: Checkpoint | None = None,
) -> list[ArmRun]:
    """Train every (arm, fold, seed, grid choice) of one ticker in one stack.

    Arguments as of ``ArmsTask`` and ``train_stack``; ``params`` has budget, grid and strategy.

    Returns:
        One run per arm and fold.
    """
    task = ArmsTask(panel, folds, foundations, arms_of_fold, seed_parts)
    stack = ArmsStack(task, market, network, params)
    result = train_stack(
        panel,
        stack.weights,
        network,
        market,
        params.optimiser,
        stack.plan,
        validate=stack.validate,
        checkpoint=checkpoint,
        on_progress=on_progress,
    )
    return stack.runs(result)


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
    """Pick the grid choice by the seed-mean validation returns, as ``choosing.py`` says."""
    weights = select_models(result.weights, members)
    scored = score_window(
        panel, weights, fold.validation, market, network, params.optimiser.burn_in_sessions
    )
    by_choice = scored.net_return.view(len(params.grid), params.n_seeds, -1)
    found = validated(by_choice.double().mean(1).cpu().numpy())
    index = preferred(found.behind, params.choice_margin)
    chosen = list(range(index * params.n_seeds, (index + 1) * params.n_seeds))
    kept = [members[i] for i in chosen]
    curve = result.validation[:, kept].mean(1)
    return ArmRun(
        arm=arm,
        fold=fold,
        seeds=tuple(seeds[i] for i in kept),
        choice=taken(found.sharpe, found.behind, params.choice_margin),
        validation_sharpe=found.sharpe,
        validation_behind=found.behind,
        choice_margin=params.choice_margin,
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
        curves=learning_curves(result, kept),
    )
