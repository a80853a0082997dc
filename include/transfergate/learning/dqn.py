"""Q-learning: double, dueling, off-policy, on every (position, action) of a replayed path at once.

Prices do not react to orders, so the record of prices is the replay memory, and a complete one:
for each session it holds the reward and the successor of *every* position and action, taken or
not. A batch is some paths drawn evenly from the slice; there is no behaviour policy, nothing to
explore, and no transition grows stale. What remains of DQN is the bootstrapped target: the
network's own values, by a slowly following copy.

The head's outputs are action values divided by a temperature, so the most probable action is the
one of the highest value, and scoring is that of every other policy. With ``dueling`` the critic
holds the state's value and the head's outputs count less their mean over actions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from transfergate.learning import networks
from transfergate.learning.critic import value_gradients, values_of
from transfergate.learning.head import HeadTrace
from transfergate.learning.hyper import Job, worst
from transfergate.learning.networks import Trace, Weights
from transfergate.learning.rollout import roll
from transfergate.learning.sampling import PathBatch
from transfergate.learning.tables import REWARD_SCALE
from transfergate.settings import DqnParams


def dqn_update(job: Job) -> tuple[Tensor, Tensor, int]:
    """Take ``epochs`` steps towards the batch's targets, then pull the target network along."""
    sizes, dqn = job.optimiser, job.optimiser.dqn
    kept = sizes.path_sessions
    logits, trace = job.forward(job.batch.features)
    q, value_trace = action_values(job.weights, logits, trace, dqn)
    targets, counts = q_targets(job, q)
    rollout = roll(logits, None, job.batch, job.hyper.flat)
    norms = []
    for epoch in range(sizes.epochs):
        if epoch:
            logits, trace = job.forward(job.kept_features())
            q, value_trace = action_values(job.weights, logits, trace, dqn)
        error = (targets - q[:, :, :kept]) * counts / targets[0].numel()
        by_logits, by_values = error_gradients(error, dqn)
        grads = job.backward(trace, by_logits)
        extra = value_gradients(value_trace, by_values) if value_trace else None
        norms.append(job.step(grads, job.update * sizes.epochs + epoch + 1, extra))
    follow(job.memory, job.weights, dqn, job.update)
    earned = rollout.along(job.batch.reward) * rollout.reached
    return earned[:kept].mean((0, 2)) / REWARD_SCALE, worst(norms), len(norms)


def follow(memory: Weights, weights: Mapping[str, Tensor], dqn: DqnParams, update: int) -> None:
    """Pull the target network to the online one, in place, after every ``target_every`` updates.

    Source: Mnih et al. 2015 (copies); Lillicrap et al. 2016 (soft updates).
    """
    if (update + 1) % dqn.target_every == 0:
        for name, value in memory.items():
            value.lerp_(weights[name], dqn.target_rate)


def action_values(
    weights: Mapping[str, Tensor], logits: Tensor, trace: Trace, dqn: DqnParams
) -> tuple[Tensor, HeadTrace | None]:
    """Action values (S, A, D, B, P) in per cent, and the trace of the dueling state value.

    Source: Wang et al. 2016, Dueling Network Architectures, eq. 9 (mean over actions).
    """
    q = logits * dqn.temperature
    if not dqn.dueling:
        return q, None
    values, value_trace = values_of(weights, trace.head.states)
    shaped = values.view(logits.shape[0], 1, *logits.shape[2:])
    return shaped + q - q.mean(1, keepdim=True), value_trace


def error_gradients(error: Tensor, dqn: DqnParams) -> tuple[Tensor, Tensor]:
    """Gradients of minus half the squared error by logits and by the dueling state values.

    Args:
        error: Weighted temporal differences (S, A, L, B, P).
        dqn: Names the head's form.

    Returns:
        By logits (S, A, L, B, P), by state values (S, L * B, P).
    """
    by_values = error.sum(1)
    by_logits = error
    if dqn.dueling:
        by_logits = error - by_values.unsqueeze(1) / error.shape[1]
    return by_logits * dqn.temperature, by_values.flatten(1, 2)


def q_targets(job: Job, q: Tensor) -> tuple[Tensor, Tensor]:
    """Targets of every (position, action) in the kept sessions, and which of them count.

    ``y[k, a] = r[k, a] + discount * W_{t+1}(a)``, the future worth nothing behind ruin and at the
    slice's end. W is the target network's value of the action that the online network (double)
    or the target network itself prefers; where a session cannot be traded it is what keeping
    earns, and such decisions teach nothing.

    Args:
        job: The update; its memory is the target network.
        q: Action values of the online network (S, A, D, B, P).

    Returns:
        Both (S, A, L, B, P): targets in per cent, and 1 or 0.

    Source: van Hasselt et al. 2016, Deep RL with Double Q-learning.
    """
    sizes, batch = job.optimiser, job.batch
    kept = sizes.path_sessions
    logits, trace = _target_forward(job)
    theirs, _ = action_values(job.memory, logits, trace, sizes.dqn)
    best = (q if sizes.dqn.double else theirs).argmax(1, keepdim=True)
    preferred = theirs.gather(1, best).squeeze(1).transpose(0, 1)  # (D, S, B, P)
    future = _state_values(preferred, batch, sizes.discount)[1 : kept + 1].unsqueeze(3)
    reward = batch.reward.view(*preferred.shape, -1)[:kept]
    if batch.alive is not None:
        future = future * batch.alive.view(*preferred.shape, -1)[:kept]
    targets = (reward + sizes.discount * future).permute(1, 4, 0, 2, 3)
    counts = batch.executable.view(preferred.shape[:3])[:kept].transpose(0, 1)
    return targets, counts[:, None, :, :, None].float()


def _target_forward(job: Job) -> tuple[Tensor, Trace]:
    # Without dropout; a frozen encoder is the same in both networks.
    batch, burn_in = job.batch, job.optimiser.burn_in_sessions
    if batch.states is not None:
        return networks.forward_states(job.memory, batch.states, 0)
    return networks.forward(job.memory, job.hyper.network, batch.features, burn_in, 0)


def _state_values(preferred: Tensor, batch: PathBatch, discount: float) -> Tensor:
    # (D, S, B, P): worth of holding each position at each close, 0 beyond the slice.
    shape = preferred.shape
    within = batch.within.view(shape[:3]).unsqueeze(-1)
    values = preferred * within
    stuck = within & ~batch.executable.view(shape[:3]).unsqueeze(-1)
    if bool(stuck.any()):
        keeping = batch.reward.view(*shape, -1).diagonal(dim1=3, dim2=4)
        lives = torch.ones_like(keeping)
        if batch.alive is not None:
            lives = batch.alive.view(*shape, -1).diagonal(dim1=3, dim2=4)
        for t in range(len(values) - 2, -1, -1):
            kept = keeping[t] + discount * lives[t] * values[t + 1]
            values[t] = torch.where(stuck[t], kept, values[t])
    return values
