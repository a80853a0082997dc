"""One update of some stacked models on one batch of paths, by any of the algorithms.

The exact ones stand here: evaluation by dynamic programming over positions, clipped ascent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.learning.adam import AdamState, per_model
from transfergate.learning.cloning import cloning_update
from transfergate.learning.dqn import dqn_update
from transfergate.learning.exact import ExactEvaluation, evaluate_policy
from transfergate.learning.hyper import Hyper, Job, worst
from transfergate.learning.networks import Weights
from transfergate.learning.sampled import sampled_update
from transfergate.learning.sampling import PathBatch
from transfergate.learning.tables import REWARD_SCALE
from transfergate.market.moments import expected_moments


@dataclass(frozen=True)
class SurrogateTerms:
    """What stays fixed over the epochs of a batch; action first, (S, A, L, B, P).

    Attributes:
        policy: Probabilities at the time of the evaluation.
        advantage: Normalised exact advantages, per model.
        occupancy: (S, 1, L, B, P), divided by the number of decisions.
    """

    policy: Tensor
    advantage: Tensor
    occupancy: Tensor


def update_models(
    weights: Weights,
    start: Weights,
    adam: AdamState,
    batch: PathBatch,
    hyper: Hyper,
    decay: float,
    update: int,
    memory: Weights,
) -> tuple[Tensor, Tensor, int]:
    """Take the gradient steps of one update, by the algorithm that the settings name.

    Args:
        weights: Models to train; changed in place.
        start: Their starting weights.
        adam: Their moments; changed in place.
        batch: Their paths.
        hyper: Their hyper-parameters.
        decay: Factor on the learning rates.
        update: Updates done before this one.
        memory: What else the algorithm remembers; changed in place.

    Returns:
        Expected reward per session under the policy before the update, and the largest gradient
        norm, both (S,); and the number of gradient steps.
    """
    job = Job(weights, start, adam, memory, batch, hyper, decay, update)
    if update < hyper.optimiser.cloning_updates:
        return cloning_update(job)
    return _ALGORITHMS[hyper.optimiser.algorithm](job)


def exact_update(job: Job) -> tuple[Tensor, Tensor, int]:
    """Take ``epochs`` steps of PPO with exact advantages; one of them is the exact A2C."""
    sizes, kept = job.optimiser, job.optimiser.path_sessions
    logits, trace = job.forward(job.batch.features)
    policy = torch.softmax(logits, dim=1)
    evaluation, objective = evaluate_exactly(policy, job.batch, job.hyper)
    terms = _surrogate_terms(policy, evaluation, kept)
    policy = terms.policy
    norms = []
    for epoch in range(sizes.epochs):
        if epoch:
            logits, trace = job.forward(job.kept_features())
            policy = torch.softmax(logits, dim=1)
        by_logits = surrogate_gradient(policy, terms, sizes.clip if epoch else None)
        grads = job.backward(trace, by_logits)
        norms.append(job.step(grads, job.update * sizes.epochs + epoch + 1))
    return objective, worst(norms), len(norms)


def evaluate_exactly(
    policy: Tensor, batch: PathBatch, hyper: Hyper
) -> tuple[ExactEvaluation, Tensor]:
    """Evaluate policies on their paths.

    A linearised reward takes two passes: the first for the moments that the policy expects over
    the sessions and paths of a batch, the second for the reward linearised around them.

    Args:
        policy: (S, A, D, B, P).
        batch: Their paths.
        hyper: Their hyper-parameters.

    Returns:
        The evaluation over S * B paths; and per model the expected reward per session, or the
        Sharpe ratio of the expected moments, (S,).
    """
    models, actions, sessions, paths, positions = policy.shape
    kept = hyper.optimiser.path_sessions
    moves = policy.permute(2, 4, 1, 0, 3).reshape(sessions, positions, actions, models * paths)
    moves = moves.permute(0, 3, 1, 2)

    def evaluate(reward: Tensor) -> ExactEvaluation:
        discount, alive = hyper.optimiser.discount, batch.alive
        return evaluate_policy(
            moves,
            reward,
            batch.executable,
            discount,
            hyper.flat,
            alive=alive,
            chunk=hyper.scan_chunk,
        )

    found = evaluate(batch.reward)
    if not hyper.reward.linearised:
        expected = found.expected_reward[:kept].view(kept, models, -1).transpose(0, 1)
        return found, expected.flatten(1).mean(1) / REWARD_SCALE
    by_model = (sessions, models, paths, positions)
    net = batch.reward.view(*by_model, actions)
    moments = expected_moments(
        net[:kept],
        moves.view(*by_model, actions)[:kept],
        found.occupancy.view(by_model)[:kept],
        over=(0, 2),
    )
    table = hyper.reward.table(net, moments).view_as(batch.reward)
    return evaluate(table), moments.sharpe().view(models)


def _surrogate_terms(policy: Tensor, evaluation: ExactEvaluation, kept: int) -> SurrogateTerms:
    models, actions, _, paths, positions = policy.shape
    policy = policy[:, :, :kept]
    advantage = evaluation.advantage[:kept].view(kept, models, paths, positions, actions)
    advantage = advantage.permute(1, 4, 0, 2, 3).contiguous()
    occupancy = evaluation.occupancy[:kept].view(kept, models, paths, positions)
    occupancy = occupancy.permute(1, 0, 2, 3).contiguous().unsqueeze(1) / (kept * paths)
    spread = (occupancy * policy * advantage.square()).flatten(1).sum(1).sqrt()
    advantage = advantage / per_model(spread + 1e-8, advantage)
    return SurrogateTerms(policy, advantage, occupancy)


def surrogate_gradient(policy: Tensor, terms: SurrogateTerms, clip: float | None) -> Tensor:
    """Gradient of the clipped all-action surrogate by the logits.

    The surrogate is ``sum occupancy * old * min(r A, clip(r) A)`` with r = policy / old. Where
    the minimum picks the clipped side, an action's term is constant and its gradient 0.

    Args:
        policy: Current probabilities, (S, A, L, B, P).
        terms: What the batch fixed.
        clip: Half-width of the trust region; None where policy and old are the same.

    Returns:
        Gradient in the policy's shape.
    """
    advantage = terms.advantage
    if clip is not None:
        ratio = policy / terms.policy
        blocked = torch.where(advantage > 0, ratio > 1.0 + clip, ratio < 1.0 - clip)
        advantage = advantage.masked_fill(blocked, 0.0)
    weighted = policy * advantage
    return terms.occupancy * (weighted - policy * weighted.sum(1, keepdim=True))


_ALGORITHMS: dict[str, Callable[[Job], tuple[Tensor, Tensor, int]]] = {
    "exact_ppo": exact_update,
    "exact_a2c": exact_update,
    "ppo": sampled_update,
    "a2c": sampled_update,
    "dqn": dqn_update,
}
