"""One update of some stacked models on one batch of paths: exact evaluation, clipped ascent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transfergate.learning import networks
from transfergate.learning.adam import AdamState, ascend, clip_per_model, per_model, silence
from transfergate.learning.exact import ExactEvaluation, evaluate_policy
from transfergate.learning.networks import Weights
from transfergate.learning.penalties import Penalties
from transfergate.learning.sampling import REWARD_SCALE, PathBatch
from transfergate.settings import NetworkParams, OptimiserParams


@dataclass(frozen=True)
class Hyper:
    """What steers the updates; tensors have one entry a model.

    Attributes:
        network: Of all models.
        optimiser: Budget and hyper-parameters of all models.
        flat: Index of the flat position, with which every path starts.
        rates: Learning rates (S,).
        penalties: What pulls on the weights besides the reward; None where nothing does.
        masks: Which models train each parameter, name -> (S,).
        any_frozen: Whether any parameter of any model rests.
        train_encoder: Whether any model trains its encoder.
    """

    network: NetworkParams
    optimiser: OptimiserParams
    flat: int
    rates: Tensor
    penalties: Penalties | None
    masks: dict[str, Tensor]
    any_frozen: bool
    train_encoder: bool

    @property
    def n_updates(self) -> int:
        """Full budget."""
        return self.optimiser.n_updates

    def part(self, models: slice) -> Hyper:
        """The same for some models."""
        return replace(
            self,
            rates=self.rates[models],
            penalties=self.penalties.part(models) if self.penalties else None,
            masks={name: mask[models] for name, mask in self.masks.items()},
        )


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
) -> tuple[Tensor, Tensor, int]:
    """Take ``epochs`` steps of PPO with exact advantages; changes weights and moments in place.

    Args:
        weights: Models to train.
        start: Their starting weights.
        adam: Their moments.
        batch: Their paths.
        hyper: Their hyper-parameters.
        decay: Factor on the learning rates.
        update: Updates done before this one.

    Returns:
        Expected log return per session under the policy before the update, and the largest
        gradient norm, both (S,); and the number of gradient steps.
    """
    sizes = hyper.optimiser
    kept = sizes.path_sessions
    logits, trace = networks.forward(
        weights, hyper.network, batch.features, sizes.burn_in_sessions, kept
    )
    policy = torch.softmax(logits, dim=1)
    evaluation = _evaluate(policy, batch, hyper)
    terms = _surrogate_terms(policy, evaluation, kept)
    policy = terms.policy
    norms = []
    for epoch in range(sizes.epochs):
        if epoch:
            x = batch.features[:, : sizes.burn_in_sessions + kept]
            logits, trace = networks.forward(
                weights, hyper.network, x, sizes.burn_in_sessions, kept
            )
            policy = torch.softmax(logits, dim=1)
        by_logits = surrogate_gradient(policy, terms, sizes.clip if epoch else None)
        grads = networks.backward(trace, by_logits, encoder=hyper.train_encoder)
        if hyper.penalties:
            hyper.penalties.add_to(grads, weights, start)
        if hyper.any_frozen:
            silence(grads, hyper.masks)
        norms.append(clip_per_model(grads, sizes.max_gradient_norm))
        step = update * sizes.epochs + epoch + 1
        ascend(weights, grads, adam, hyper.rates * decay, step)
    reward = evaluation.expected_reward[:kept].view(kept, policy.shape[0], -1)
    return reward.mean((0, 2)) / REWARD_SCALE, torch.stack(norms).amax(0), len(norms)


def _evaluate(policy: Tensor, batch: PathBatch, hyper: Hyper) -> ExactEvaluation:
    models, actions, sessions, paths, positions = policy.shape
    by_session = policy.permute(2, 0, 3, 4, 1).reshape(sessions, models * paths, positions, actions)
    return evaluate_policy(
        by_session,
        batch.reward,
        batch.executable,
        hyper.optimiser.discount,
        hyper.flat,
        alive=batch.alive,
    )


def _surrogate_terms(policy: Tensor, evaluation: ExactEvaluation, kept: int) -> SurrogateTerms:
    models, actions, _, paths, positions = policy.shape
    policy = policy[:, :, :kept]
    advantage = evaluation.advantage[:kept].view(kept, models, paths, positions, actions)
    advantage = advantage.permute(1, 4, 0, 2, 3)
    occupancy = evaluation.occupancy[:kept].view(kept, models, paths, positions)
    occupancy = occupancy.permute(1, 0, 2, 3).unsqueeze(1) / (kept * paths)
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
