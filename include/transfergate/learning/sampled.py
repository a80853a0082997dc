"""Sampled PPO and A2C: one drawn action a session, a critic, generalised advantages.

Every detail and its source stand in docs/learning.md. The exact algorithms are the same ascent
with the expectation over actions and positions taken; both agree in expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from transfergate.learning.adam import per_model
from transfergate.learning.advantages import generalised_advantages
from transfergate.learning.critic import value_gradients, values_of
from transfergate.learning.hyper import Job, worst
from transfergate.learning.rollout import Rollout, action_noise, roll
from transfergate.learning.sampling import PathBatch
from transfergate.learning.tables import REWARD_SCALE, tabled
from transfergate.market.rewards import Reward

_NOT_RETURNS = frozenset({"path_sharpe", "differential_sharpe"})


@dataclass(frozen=True)
class SampledTerms:
    """What stays fixed over the epochs of a batch; (S, L, B) unless said otherwise.

    Attributes:
        held: int64, position index before each decision.
        action: int64, index of the drawn action.
        log_prob: Of the drawn action, at the time of drawing.
        advantage: Normalised if the settings say so; 0 where the decision had no effect.
        value: Of the visited states, by the critic at the time of drawing.
        target: What the critic should say: advantage before normalisation plus value.
        decided: float, 1 where the decision was carried out.
        visited: float, 1 where the state was reached inside the slice.
    """

    held: Tensor
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    value: Tensor
    target: Tensor
    decided: Tensor
    visited: Tensor

    def part(self, paths: slice) -> SampledTerms:
        """The same for some paths of every model."""
        return SampledTerms(*(value[:, :, paths] for value in vars(self).values()))


def sampled_update(job: Job) -> tuple[Tensor, Tensor, int]:
    """Take ``epochs`` passes over the minibatches of one batch; as ``update_models``."""
    sizes, sampled = job.optimiser, job.optimiser.sampled
    logits, trace = job.forward(job.batch.features)
    values, value_trace = values_of(job.weights, trace.head.states)
    models, actions, sessions, paths, _ = logits.shape
    noise = action_noise(job.hyper.seeds, job.update, (actions, sessions, paths), logits.device)
    rollout = roll(logits, noise, job.batch, job.hyper.flat)
    reward = realised_reward(job.hyper.reward, job.batch, rollout)
    terms = sampled_terms(job, logits, values.view(models, sessions, paths, -1), rollout, reward)
    kept = sizes.path_sessions
    parts = _minibatches(paths, sampled.n_minibatches)
    norms: list[Tensor] = []
    for _ in range(sizes.epochs):
        for paths_of in parts:
            some = terms.part(paths_of)
            fresh = not norms and len(parts) == 1  # the pass that drew the actions serves again
            if not fresh:
                logits, trace = job.forward(job.kept_features()[:, :, paths_of], paths_of)
                values, value_trace = values_of(job.weights, trace.head.states)
            now = values.view(models, -1, logits.shape[3], actions)[:, :kept]
            by_logits = policy_gradient(
                torch.log_softmax(logits[:, :, :kept], 1),
                some,
                sizes.clip if norms else None,
                sampled.entropy_bonus,
            )
            by_values = value_gradient(now, some, sampled.value_clip).flatten(1, 2)
            grads = job.backward(trace, by_logits, paths_of)
            number = job.update * sizes.epochs * len(parts) + len(norms) + 1
            norms.append(job.step(grads, number, value_gradients(value_trace, by_values)))
    scale = reward_scale(job.hyper.reward)
    return reward[:kept].mean((0, 2)) / scale, worst(norms), len(norms)


def _minibatches(paths: int, parts: int) -> list[slice]:
    # Paths are drawn independently, so a fixed division of them is a random one.
    edges = [round(i * paths / parts) for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def reward_scale(reward: Reward) -> float:
    """Factor on a reward in training: returns are in per cent."""
    return 1.0 if reward.name in _NOT_RETURNS else REWARD_SCALE


def realised_reward(reward: Reward, batch: PathBatch, rollout: Rollout) -> Tensor:
    """Rewards (D, S, B) of realised paths, scaled; 0 after ruin and beyond the slice."""
    found = rollout.along(batch.reward)
    if not tabled(reward):
        found = reward.along(found.double()).float() * reward_scale(reward)
    return found * rollout.reached


def sampled_terms(
    job: Job, logits: Tensor, values: Tensor, rollout: Rollout, reward: Tensor
) -> SampledTerms:
    """Advantages and targets of realised paths.

    Args:
        job: The update.
        logits: (S, A, D, B, P).
        values: (S, D, B, P), the critic's.
        rollout: The paths.
        reward: Their rewards (D, S, B), scaled.
    """
    sizes, sampled = job.optimiser, job.optimiser.sampled
    held, action = (x.transpose(0, 1) for x in (rollout.held, rollout.action))
    value = values.gather(3, held.unsqueeze(3)).squeeze(3)
    advantage = generalised_advantages(
        reward[:-1],
        value.transpose(0, 1),
        rollout.goes_on[:-1],
        sizes.discount,
        sampled.gae_lambda,
    ).transpose(0, 1)
    kept = slice(0, sizes.path_sessions)
    held, action, value, advantage = (x[:, kept] for x in (held, action, value, advantage))
    visited = rollout.reached.transpose(0, 1)[:, kept]
    shape = rollout.held.shape
    decided = visited & job.batch.executable.view(shape).transpose(0, 1)[:, kept]
    log_prob = _of_drawn(torch.log_softmax(logits[:, :, kept], 1), held, action)
    target = advantage + value
    if sampled.normalise_advantages:
        advantage = _normalised(advantage, decided)
    return SampledTerms(
        held,
        action,
        log_prob,
        advantage * decided,
        value,
        target,
        decided.float(),
        visited.float(),
    )


def _normalised(advantage: Tensor, decided: Tensor) -> Tensor:
    # Zero mean and unit deviation over each model's decisions.
    count = decided.sum((1, 2)).clamp_min(1)
    mean = (advantage * decided).sum((1, 2)) / count
    centred = advantage - per_model(mean, advantage)
    deviation = ((centred * decided).square().sum((1, 2)) / count).sqrt()
    return centred / per_model(deviation + 1e-8, advantage)


def _of_held(table: Tensor, held: Tensor) -> Tensor:
    # (S, A, L, B, P) -> (S, A, L, B), the rows of the positions held.
    index = held[:, None, :, :, None].expand(-1, table.shape[1], -1, -1, 1)
    return table.gather(4, index).squeeze(4)


def _of_drawn(log_policy: Tensor, held: Tensor, action: Tensor) -> Tensor:
    return _of_held(log_policy, held).gather(1, action.unsqueeze(1)).squeeze(1)


def policy_gradient(
    log_policy: Tensor, terms: SampledTerms, clip: float | None, entropy_bonus: float
) -> Tensor:
    """Gradient of the clipped surrogate and the entropy bonus by the logits.

    ``mean min(r A, clip(r) A) + bonus * mean H`` over decisions, r the ratio of the drawn action's
    probability to that at its drawing. Only the rows of the positions held are touched.

    Args:
        log_policy: Log-probabilities now, (S, A, L, B, P).
        terms: What the batch fixed.
        clip: Half-width of the trust region; None where policy and old are the same.
        entropy_bonus: Weight of the entropy.

    Returns:
        Gradient in ``log_policy``'s shape.
    """
    of_held = _of_held(log_policy, terms.held)
    policy = of_held.exp()
    drawn = of_held.gather(1, terms.action.unsqueeze(1)).squeeze(1)
    ratio = (drawn - terms.log_prob).exp()
    weight = ratio * terms.advantage
    if clip is not None:
        over = torch.where(terms.advantage > 0, ratio > 1.0 + clip, ratio < 1.0 - clip)
        weight = weight.masked_fill(over, 0.0)
    by_row = -policy * weight.unsqueeze(1)
    by_row.scatter_add_(1, terms.action.unsqueeze(1), weight.unsqueeze(1))
    if entropy_bonus:
        entropy = -(policy * of_held).sum(1, keepdim=True)
        slope = -policy * (of_held + entropy)
        by_row += entropy_bonus * slope * terms.decided.unsqueeze(1)
    by_row /= terms.held[0].numel()
    index = terms.held[:, None, :, :, None].expand(-1, log_policy.shape[1], -1, -1, 1)
    return torch.zeros_like(log_policy).scatter_(4, index, by_row.unsqueeze(4))


def value_gradient(values: Tensor, terms: SampledTerms, clip: float | None) -> Tensor:
    """Gradient of minus half the mean squared error of the critic by its values (S, L, B, P).

    With ``clip`` the error is the larger one of the value and of the value held within that
    distance of the old one.
    """
    value = values.gather(3, terms.held.unsqueeze(3)).squeeze(3)
    error = terms.target - value
    if clip is not None:
        change = value - terms.value
        held_back = terms.target - (terms.value + change.clamp(-clip, clip))
        stuck = (change.abs() > clip) & (held_back.abs() > error.abs())
        error = error.masked_fill(stuck, 0.0)
    by_value = error * terms.visited / terms.held[0].numel()
    return torch.zeros_like(values).scatter_(3, terms.held.unsqueeze(3), by_value.unsqueeze(3))
