"""Warm start: the first updates imitate a rule trader instead of learning from rewards.

The rule reads what the policy reads, noise included, up to the session it decides in. Every
session and every previous position is an example. Cloning takes its updates and environment
steps out of the same budget, so both arms of a comparison spend alike.

Source: Pomerleau 1991 (behavioural cloning); Hester et al. 2018 (as a start for Q-learning).
"""

from __future__ import annotations

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning.hyper import Job, worst
from transfergate.market.panel import Panel
from transfergate.settings import CloningParams


def feature_column(panel: Panel, rule: CloningParams) -> int:
    """Number of the feature column that the rule reads.

    Raises:
        TrainingError: If the panel has no such column.
    """
    if isinstance(rule.feature, int) and 0 <= rule.feature < panel.n_features:
        return rule.feature
    names = panel.feature_names or ()
    if rule.feature in names:
        return names.index(rule.feature)
    known = f", named {', '.join(names)}" if names else " without names"
    raise TrainingError(
        f"cloning.feature {rule.feature!r}: the panel has {panel.n_features} columns{known}; "
        f"expected one of those names or a number from 0 to {panel.n_features - 1}"
    )


def rule_actions(signal: Tensor, rule: CloningParams, flat: int, n_positions: int) -> Tensor:
    """Position that the rule wants after each session.

    Args:
        signal: The rule's feature (S, T, B), session by session.
        rule: The rule.
        flat: Index of the flat position.
        n_positions: Size of the grid.

    Returns:
        int64 (S, T, B), indices into the grid; each depends on sessions up to its own.
    """
    total = signal.double().cumsum(1)
    total[:, rule.window :] -= total[:, : -rule.window].clone()
    seen = torch.arange(1, signal.shape[1] + 1, device=signal.device).clamp_max(rule.window)
    mean = total / seen.view(1, -1, 1)
    if rule.rule == "reversal":
        mean = -mean
    wanted = torch.full(signal.shape, flat, dtype=torch.int64, device=signal.device)
    wanted[mean > rule.threshold] = n_positions - 1
    wanted[mean < -rule.threshold] = 0
    return wanted


def cloning_update(job: Job) -> tuple[Tensor, Tensor, int]:
    """Take ``epochs`` steps of cross-entropy towards the rule's actions.

    Returns:
        As ``update_models``, with the mean log-likelihood of the rule's action for the reward.
    """
    sizes, hyper = job.optimiser, job.hyper
    if hyper.cloned_feature is None:
        raise TrainingError("cloning updates without a feature; name cloning.feature")
    features = job.kept_features()
    signal = features[..., hyper.cloned_feature]
    wanted = rule_actions(signal, sizes.cloning, hyper.flat, len(hyper.grid))
    wanted = wanted[:, None, sizes.burn_in_sessions :, :, None]
    kept, models = sizes.path_sessions, signal.shape[0]
    counts = job.batch.executable.view(-1, models, signal.shape[2])[:kept].transpose(0, 1)
    counts = counts[:, None, :, :, None].float()
    norms, likelihood = [], torch.zeros(models, device=signal.device)
    for epoch in range(sizes.epochs):
        logits, trace = job.forward(features)
        log_policy = torch.log_softmax(logits, 1)
        index = wanted.expand(-1, 1, -1, -1, logits.shape[4])
        share = counts / (counts.sum((1, 2, 3, 4), keepdim=True).clamp_min(1) * logits.shape[4])
        if epoch == 0:
            likelihood = (log_policy.gather(1, index) * share).sum((1, 2, 3, 4))
        by_logits = (-log_policy.exp()).scatter_add_(1, index, torch.ones_like(share * index))
        grads = job.backward(trace, by_logits * share)
        norms.append(job.step(grads, job.update * sizes.epochs + epoch + 1))
    for name, value in job.memory.items():  # what follows learns from the cloned policy
        value.copy_(job.weights[name])
    return likelihood, worst(norms), len(norms)
