"""What steers the updates of some stacked models, and the step that every algorithm ends with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.learning import networks
from transfergate.learning.adam import AdamState, ascend, clip_per_model, part, silence
from transfergate.learning.adversary import PREFIX, Adversary, discriminate
from transfergate.learning.dropout import dropout_mask
from transfergate.learning.networks import Trace, Weights
from transfergate.learning.penalties import Penalties
from transfergate.learning.sampling import PathBatch
from transfergate.market.rewards import Reward
from transfergate.settings import NetworkParams, OptimiserParams

_ALL = slice(None)


@dataclass(frozen=True)
class Hyper:
    """What steers the updates; tensors and arrays have one entry a model.

    Attributes:
        network: Of all models.
        optimiser: Budget and hyper-parameters of all models.
        reward: Of the market.
        flat: Index of the flat position, with which every path starts.
        grid: The positions (P,).
        cloned_feature: Column that the cloned rule reads; None where nothing is cloned.
        seeds: Of the action noise, uint64 (S,).
        rates: Learning rates (S,).
        penalties: What pulls on the weights besides the reward; None where nothing does.
        dropouts: Share of the encoder's outputs that each model drops (S).
        adversary: What the encoders learn to hide; None for nothing.
        factors: On each model's rate, by parameter, name -> (S,); None where all are 1.
        masks: Which models train each parameter, name -> (S,).
        any_frozen: Whether any parameter of any model rests.
        train_encoder: Whether any model trains its encoder.
        encoder_trains: The same per model, (S,); None: for all alike.
        scan_chunk: Of the exact evaluation; one for the whole stack, so that no bit depends on
            how many models are updated at once. None chooses by size.
    """

    network: NetworkParams
    optimiser: OptimiserParams
    reward: Reward
    flat: int
    grid: Tensor
    cloned_feature: int | None
    seeds: npt.NDArray[np.uint64]
    rates: Tensor
    penalties: Penalties | None
    dropouts: tuple[float, ...]
    adversary: Adversary | None
    factors: dict[str, Tensor] | None
    masks: dict[str, Tensor]
    any_frozen: bool
    train_encoder: bool
    encoder_trains: npt.NDArray[np.bool_] | None = None
    scan_chunk: int | None = None

    @property
    def n_updates(self) -> int:
        """Full budget."""
        return self.optimiser.n_updates

    def part(self, models: slice) -> Hyper:
        """The same for some models."""
        trains = None if self.encoder_trains is None else self.encoder_trains[models]
        return replace(
            self,
            seeds=self.seeds[models],
            rates=self.rates[models],
            penalties=self.penalties.part(models) if self.penalties else None,
            dropouts=self.dropouts[models],
            factors=self.factors and part(self.factors, models),
            masks=part(self.masks, models),
            train_encoder=self.train_encoder if trains is None else bool(trains.any()),
            encoder_trains=trains,
        )


@dataclass(frozen=True)
class Job:
    """One update of some models on one batch of their paths.

    Attributes:
        weights: Models to train; changed in place by ``step``.
        start: Their starting weights.
        adam: Their moments, changed in place.
        memory: What else the algorithm remembers (target networks), changed in place.
        batch: Their paths.
        hyper: Their hyper-parameters.
        decay: Factor on the learning rates.
        update: Updates done before this one.
    """

    weights: Weights
    start: Weights
    adam: AdamState
    memory: Weights
    batch: PathBatch
    hyper: Hyper
    decay: float
    update: int

    @property
    def optimiser(self) -> OptimiserParams:
        """Budget and hyper-parameters."""
        return self.hyper.optimiser

    @cached_property
    def dropout(self) -> Tensor | None:
        """Mask (S, 1, B, H) of this update, shared by its epochs; None if nothing is dropped."""
        shape = (self.batch.features.shape[2], self.weights["head.hidden"].shape[1])
        seeds, device = self.hyper.seeds.tolist(), self.batch.features.device
        return dropout_mask(shape, self.hyper.dropouts, seeds, self.update, device)

    def forward(self, features: Tensor, paths: slice = _ALL) -> tuple[Tensor, Trace]:
        """Logits (S, A, T - burn-in, B, P) of paths (S, T, B, F), and what ``backward`` needs.

        ``paths`` says which of the batch's paths the features are of.
        """
        sizes, mask = self.optimiser, self.dropout
        if mask is not None:
            mask = mask[:, :, paths]
        if self.batch.states is not None:  # of a frozen encoder: known before the update
            states = self.batch.states[:, : features.shape[1] - sizes.burn_in_sessions, paths]
            return networks.forward_states(self.weights, states, sizes.path_sessions, dropout=mask)
        return networks.forward(
            self.weights,
            self.hyper.network,
            features,
            sizes.burn_in_sessions,
            sizes.path_sessions,
            dropout=mask,
        )

    def kept_features(self) -> Tensor:
        """Features without the tail."""
        sizes = self.optimiser
        return self.batch.features[:, : sizes.burn_in_sessions + sizes.path_sessions]

    def backward(self, trace: Trace, by_logits: Tensor, paths: slice = _ALL) -> Weights:
        """Gradients of encoder and head for ``by_logits`` (S, A, L, B, P).

        With an adversary also those of its discriminator; the encoder's then include the
        reversed one. ``paths`` as in ``forward``.
        """
        adversary, encoder = self.hyper.adversary, self.hyper.train_encoder
        if adversary is None:
            return networks.backward(trace, by_logits, encoder=encoder)
        models, _, kept, n_paths, _ = by_logits.shape
        states = trace.head.states[:, : kept * n_paths]
        labels = adversary.labels(self.batch.rows[:, paths]).unsqueeze(1).expand(-1, kept, -1)
        _, hidden, by_states = discriminate(self.weights, states, labels.reshape(models, -1))
        reversed_ = by_states.view(models, kept, n_paths, -1) * -adversary.weight(
            self.update / self.hyper.n_updates
        )
        grads = networks.backward(trace, by_logits, encoder=encoder, by_states=reversed_)
        return {**grads, **hidden}

    def step(self, grads: Weights, number: int, extra: Weights | None = None) -> Tensor:
        """Penalise, silence, clip and ascend.

        Args:
            grads: Gradients of the objective by the policy's parameters, and of an adversary by
                its own, which are clipped apart; changed in place.
            number: Which gradient step of this run it is, from 1.
            extra: Gradients of parameters that the policy does not share (``critic.*``): clipped
                apart, so that the size of one loss does not hold the other back.

        Returns:
            Norms of ``grads`` before clipping, (S,).
        """
        hyper = self.hyper
        hidden = {name: grads.pop(name) for name in list(grads) if name.startswith(PREFIX)}
        if hyper.penalties:
            hyper.penalties.add_to(grads, self.weights, self.start)
        if hyper.any_frozen:
            silence(grads, hyper.masks)
        norm = clip_per_model(grads, self.optimiser.max_gradient_norm)
        rates = hyper.rates * self.decay
        ascend(self.weights, grads, self.adam, rates, number, hyper.factors)
        if hyper.penalties:
            moved = {
                name: hyper.masks[name] * (hyper.factors[name] if hyper.factors else 1.0)
                for name in grads
            }
            hyper.penalties.shrink(self.weights, rates, moved)
        if hidden and hyper.adversary:
            clip_per_model(hidden, self.optimiser.max_gradient_norm)
            ascend(self.weights, hidden, self.adam, rates * hyper.adversary.rate_ratio, number)
        if extra:
            clip_per_model(extra, self.optimiser.max_gradient_norm)
            ratio = self.optimiser.sampled.critic_rate_ratio
            ascend(self.weights, extra, self.adam, rates * ratio, number)
        return norm


_FINAL_RATE = 0.05


def rate_factor(schedule: str, progress: float) -> float:
    """Factor on every learning rate after a share ``progress`` of the updates, in [0, 1)."""
    if schedule == "cosine":
        return _FINAL_RATE + (1.0 - _FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0 - progress if schedule == "linear" else 1.0


def worst(norms: list[Tensor]) -> Tensor:
    """Largest gradient norm of each model over the steps of an update, (S,)."""
    return torch.stack(norms).amax(0)
