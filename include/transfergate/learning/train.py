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
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning.adam import part
from transfergate.learning.advance import Advance
from transfergate.learning.adversary import Adversary
from transfergate.learning.checkpoint import Checkpoint, fingerprint
from transfergate.learning.critic import critic_size, policy_of
from transfergate.learning.distributed import Ranks
from transfergate.learning.networks import Weights, n_models
from transfergate.learning.state import Meter, StackPlan, TrainingState, fresh_state
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, uncovered

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingProgress:
    """State after one update.

    Attributes:
        update: Updates done, of ``n_updates``.
        n_updates: Full budget.
        objective: (S,) expected log return per session on the last batch, exploring; of this
            process's models where several share the stack.
        validation: (S,) scores, if this update was validated.
        best_score: (S,) best validation score so far; -inf before the first.
        env_steps: Environment steps that each update trains, of all models together.
    """

    update: int
    n_updates: int
    objective: Tensor
    validation: Tensor | None
    best_score: Tensor
    env_steps: int = 0


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

    def part(self, models: slice) -> TrainingResult:
        """The same of some models."""
        return replace(
            self,
            weights=part(self.weights, models),
            last_weights=part(self.last_weights, models),
            best_score=self.best_score[models],
            best_update=self.best_update[models],
            objective=self.objective[:, models],
            validation=self.validation[:, models],
            meter=Meter(**{name: value[models] for name, value in vars(self.meter).items()}),
        )

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
        on_progress: Called after every update, by the leading process.
        adversary: What the encoders learn to hide; None for nothing.

    Where ``distributed.joined`` is in force, every process must make the same call: each trains
    its share of the models, and all return the whole result.

    Raises:
        TrainingError: If inputs do not fit, or a model's loss is not finite.
        NotEnoughData: If a slice is shorter than one path.
    """
    _check(weights, panel, market, optimiser, plan)
    state = fresh_state(weights, optimiser, plan.seeds, panel.device, adversary)
    advance = Advance.of(panel, state.weights, network, market, optimiser, plan, adversary)
    ranks, mark = advance.ranks, ""
    if checkpoint:
        mark = fingerprint(panel, weights, network, market, optimiser, plan, adversary)
        checkpoint.load(mark, state)
    if validate and not state.validation:
        _validate(state, validate)
    n_updates, due = optimiser.n_updates, _validation_updates(optimiser)
    log.info("training %d models from update %d of %d", len(plan.seeds), state.update, n_updates)
    problem: str | None = None
    while state.update < n_updates:
        problem = _try(advance, state, problem)
        scored = validate if state.update in due else None
        kept = checkpoint if checkpoint and checkpoint.due(state.update, n_updates) else None
        if scored or kept or state.update == n_updates or ranks.world == 1:
            ranks.agree(problem)
            _exchange(ranks, state)
        score = _validate(state, scored) if scored else None
        if kept and ranks.leads:
            kept.save(mark, state)
        if on_progress and ranks.leads:
            on_progress(_progress(state, optimiser, ranks, score))
    log.info("trained %d models, %d updates", len(plan.seeds), n_updates)
    return _result(state, optimiser, validated=validate is not None)


def _try(advance: Advance, state: TrainingState, problem: str | None) -> str | None:
    # A rank that cannot go on waits for the others to look up, so that none waits for it.
    if problem is not None:
        state.update += 1
        return problem
    update = state.update
    try:
        advance(state)
    except TrainingError as error:
        if advance.ranks.world == 1:
            raise
        state.update = update + 1
        return str(error)
    return None


def _exchange(ranks: Ranks, state: TrainingState) -> None:
    # What was trained and counted since the last time; the scores are computed by every rank.
    groups = [state.weights, state.adam.first, state.adam.second, state.memory, vars(state.meter)]
    ranks.exchange([*groups, {"objective": state.objective.T}])


def _progress(
    state: TrainingState, optimiser: OptimiserParams, ranks: Ranks, score: Tensor | None
) -> TrainingProgress:
    models = state.best_score.shape[0]
    return TrainingProgress(
        state.update,
        optimiser.n_updates,
        state.objective[state.update - 1, ranks.share(models)],
        score,
        state.best_score,
        models * optimiser.n_paths * optimiser.path_sessions,
    )


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
