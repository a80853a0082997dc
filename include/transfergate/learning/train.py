"""Stacked training: PPO with exact advantages, many models at once, resumable bit for bit.

One update of one model: draw ``n_paths`` paths, encode them once, evaluate the policy exactly
(``exact.py``), then take ``epochs`` clipped policy-gradient steps over all positions and actions.
The first epoch reuses the forward pass of the evaluation. Models share nothing but the loop.

Source: docs/adr/0020-exact-advantages.md.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning.adam import part, trainable_masks
from transfergate.learning.adversary import Adversary
from transfergate.learning.checkpoint import Checkpoint, fingerprint
from transfergate.learning.cloning import feature_column
from transfergate.learning.critic import critic_size, policy_of
from transfergate.learning.hyper import Hyper, rate_factor
from transfergate.learning.layers import layer_factors
from transfergate.learning.networks import Weights, n_models
from transfergate.learning.penalties import Penalties, penalised
from transfergate.learning.runtime import fast_cpu
from transfergate.learning.sampling import PathSampler
from transfergate.learning.state import Meter, StackPlan, TrainingState, fresh_state
from transfergate.learning.update import update_models
from transfergate.market import dynamics
from transfergate.market.panel import Panel
from transfergate.market.rewards import reward_of
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, uncovered

log = logging.getLogger(__name__)

CPU_MODELS_AT_ONCE = 64
"""Sub-stack whose activations stay in the processor's cache; a GPU takes the whole stack."""
CUDA_MODELS_AT_ONCE = 2048


@dataclass(frozen=True)
class TrainingProgress:
    """State after one update.

    Attributes:
        update: Updates done, of ``n_updates``.
        n_updates: Full budget.
        objective: (S,) expected log return per session on the last batch, exploring.
        validation: (S,) scores, if this update was validated.
        best_score: (S,) best validation score so far; -inf before the first.
    """

    update: int
    n_updates: int
    objective: Tensor
    validation: Tensor | None
    best_score: Tensor


@dataclass(frozen=True)
class TrainingResult:
    """Outcome of ``train_stack``; every tensor on the panel's device.

    Attributes:
        weights: Per model the best validated weights, or the last without validation.
        last_weights: After the full budget.
        best_score: (S,) validation score of ``weights``; NaN without validation.
        best_update: int64 (S,), updates done when ``weights`` was taken.
        objective: (n_updates, S), expected log return per session on each batch.
        validation: (n_validations + 1, S), scores at ``validation_updates``.
        validation_updates: Updates done at each validation; the first is 0.
        meter: What each model consumed, counted while it trained.
        critic_parameters: Numbers in one model's critic, which only training used.
    """

    weights: Weights
    last_weights: Weights
    best_score: Tensor
    best_update: Tensor
    objective: Tensor
    validation: Tensor
    validation_updates: tuple[int, ...]
    meter: Meter
    critic_parameters: int = 0

    @property
    def steps_per_model(self) -> int:
        """Trained environment steps of the model that took most."""
        return int(self.meter.env_steps.max())

    @property
    def updates_per_model(self) -> int:
        """Gradient steps of the model that took most."""
        return int(self.meter.updates.max())


def train_stack(
    panel: Panel,
    weights: Weights,
    network: NetworkParams,
    market: MarketParams,
    optimiser: OptimiserParams,
    plan: StackPlan,
    *,
    validate: Callable[[Weights], Tensor] | None = None,
    checkpoint: Checkpoint | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    adversary: Adversary | None = None,
) -> TrainingResult:
    """Train S models at once on the panel's device.

    The full budget always runs; validation only selects which trained weights are returned. The
    starting weights are scored for the learning curve but are no choice: untrained policies hold
    nearly constant positions, and a drift in a short validation makes one look best too often.

    Args:
        panel: Features and returns; model s reads only its slice and the burn-in before it.
        weights: Starting models; unchanged.
        network: Their network.
        market: Positions, costs, timing.
        optimiser: Budget and hyper-parameters.
        plan: What each model does.
        validate: Scores of S models, (S,), higher is better; called ``n_validations`` + 1 times.
        checkpoint: Where to keep progress; a run with the same inputs resumes from it.
        on_progress: Called after every update.
        adversary: What the encoders learn to hide; None for nothing.

    Raises:
        TrainingError: If inputs do not fit, or a model's loss is not finite.
        NotEnoughData: If a slice is shorter than one path.
    """
    _check(weights, panel, market, optimiser, plan)
    sampler = PathSampler(
        panel,
        market,
        optimiser,
        plan.slices,
        plan.seeds,
        tuple(r.input_noise for r in plan.regularisations),
        tuple(r.turnover_penalty_bps for r in plan.regularisations),
    )
    state = fresh_state(weights, optimiser, plan.seeds, panel.device, adversary)
    hyper = _hyper(state.weights, network, market, optimiser, plan, panel, adversary)
    if checkpoint:
        mark = fingerprint(panel, weights, network, market, optimiser, plan, adversary)
        checkpoint.load(mark, state)
    if validate and not state.validation:
        _validate(state, validate)
    log.info(
        "training %d models from update %d of %d", len(plan.seeds), state.update, hyper.n_updates
    )
    due = _validation_updates(optimiser)
    while state.update < optimiser.n_updates:
        with fast_cpu():
            state.objective[state.update] = _one_update(state, sampler, hyper)
        state.update += 1
        score = _validate(state, validate) if validate and state.update in due else None
        if checkpoint and checkpoint.due(state.update, optimiser.n_updates):
            checkpoint.save(mark, state)
        if on_progress:
            objective = state.objective[state.update - 1]
            on_progress(
                TrainingProgress(
                    state.update, optimiser.n_updates, objective, score, state.best_score
                )
            )
    log.info("trained %d models, %d updates", len(plan.seeds), optimiser.n_updates)
    return _result(state, optimiser, validated=validate is not None)


def _check(
    weights: Weights,
    panel: Panel,
    market: MarketParams,
    optimiser: OptimiserParams,
    plan: StackPlan,
) -> None:
    if reason := uncovered(optimiser.algorithm, market.reward, optimiser.discount):
        raise TrainingError(reason)
    models = n_models(weights)
    lengths = {name: len(getattr(plan, name)) for name in StackPlan.__dataclass_fields__}
    if set(lengths.values()) != {models}:
        raise TrainingError(
            f"plan: expected {models} entries each, one a model, found {lengths}; make them equal"
        )
    features, positions = weights["encoder.input"].shape[1], weights["head.bias"].shape[-1]
    if (features, positions) != (panel.n_features, len(market.positions)):
        raise TrainingError(
            f"weights are for {features} features and {positions} positions, but the panel has "
            f"{panel.n_features} and the market {len(market.positions)}; use weights of this recipe"
        )


def _hyper(
    weights: Weights,
    network: NetworkParams,
    market: MarketParams,
    optimiser: OptimiserParams,
    plan: StackPlan,
    panel: Panel,
    adversary: Adversary | None,
) -> Hyper:
    device = panel.device

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    masks = trainable_masks(list(weights), plan.frozen_groups, device)
    choices, cloned = plan.regularisations, optimiser.cloning_updates > 0
    return Hyper(
        network=network,
        optimiser=optimiser,
        reward=reward_of(market),
        flat=dynamics.flat_index(market),
        grid=dynamics.position_grid(market, device),
        cloned_feature=feature_column(panel, optimiser.cloning) if cloned else None,
        seeds=np.array(plan.seeds, dtype=np.uint64),
        rates=column(list(plan.learning_rates)),
        penalties=Penalties.of(choices, device, plan.pulls)
        if penalised(choices, plan.pulls)
        else None,
        dropouts=tuple(choice.dropout for choice in choices),
        adversary=adversary,
        factors=layer_factors(list(weights), network, plan.layer_decays, device),
        masks=masks,
        any_frozen=any(plan.frozen_groups),
        train_encoder=any(bool(m.any()) for n, m in masks.items() if n.startswith("encoder.")),
    )


def _one_update(state: TrainingState, sampler: PathSampler, hyper: Hyper) -> Tensor:
    draw = sampler.draw(state.update)
    decay = rate_factor(hyper.optimiser.schedule, state.update / hyper.n_updates)
    models = n_models(state.weights)
    size = CUDA_MODELS_AT_ONCE if draw.rows.is_cuda else CPU_MODELS_AT_ONCE
    objectives = []
    for first in range(0, models, size):
        some = slice(first, min(first + size, models))
        batch = sampler.gather(draw, some)
        objective, norm, steps = update_models(
            part(state.weights, some),
            part(state.start, some),
            state.adam.part(some),
            batch,
            hyper.part(some),
            decay,
            state.update,
            part(state.memory, some),
        )
        taken = batch.features.shape[2] * hyper.optimiser.path_sessions
        state.meter.count(some, taken, steps, sampler.last_read(draw, some))
        healthy = torch.isfinite(objective) & torch.isfinite(norm)
        if not bool(healthy.all()):
            model = first + int((~healthy).nonzero()[0])
            raise TrainingError(
                f"model {model}: the loss is not finite at update {state.update} "
                f"(objective {float(objective[model - first])}, gradient norm "
                f"{float(norm[model - first])}); look for extreme features or returns in its "
                f"slice, or lower its learning rate"
            )
        objectives.append(objective)
    return torch.cat(objectives)


def _validation_updates(optimiser: OptimiserParams) -> frozenset[int]:
    n = optimiser.n_validations
    return frozenset(round(j * optimiser.n_updates / n) for j in range(1, n + 1)) - {0}


def _validate(state: TrainingState, validate: Callable[[Weights], Tensor]) -> Tensor:
    score = validate(policy_of(state.weights)).to(state.best_score)
    better = torch.nan_to_num(score, nan=-math.inf) > state.best_score
    if state.update == 0:
        better = torch.zeros_like(better)  # shown in the curve, never a choice
    state.best_score = torch.where(better, score, state.best_score)
    state.best_update = torch.where(better, state.update, state.best_update)
    for name, value in state.weights.items():
        state.best[name][better] = value[better]
    state.validation.append(score)
    return score


def _result(state: TrainingState, optimiser: OptimiserParams, *, validated: bool) -> TrainingResult:
    models = state.best_score.shape[0]
    none = torch.full_like(state.best_score, math.nan)
    updates = (0, *sorted(_validation_updates(optimiser)))
    return TrainingResult(
        weights=policy_of(state.best if validated else state.weights),
        last_weights=policy_of(state.weights),
        best_score=state.best_score if validated else none,
        best_update=state.best_update
        if validated
        else torch.full_like(state.best_update, optimiser.n_updates),
        objective=state.objective,
        validation=torch.stack(state.validation) if validated else none.new_zeros(0, models),
        validation_updates=updates if validated else (),
        meter=state.meter,
        critic_parameters=critic_size(state.weights),
    )
