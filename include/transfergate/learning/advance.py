"""One update of a whole stack: draw, then group by group gather, update, count."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning import embeddings as frozen
from transfergate.learning.adam import part, trainable_masks
from transfergate.learning.adversary import Adversary
from transfergate.learning.cloning import feature_column
from transfergate.learning.distributed import Ranks
from transfergate.learning.embeddings import Embeddings
from transfergate.learning.exact import scan_chunk
from transfergate.learning.groups import Groups, bytes_per_model, free_bytes, models_at_once
from transfergate.learning.hyper import Hyper, rate_factor
from transfergate.learning.layers import layer_factors
from transfergate.learning.networks import Weights, n_models
from transfergate.learning.penalties import Penalties, penalised
from transfergate.learning.runtime import fast_cpu
from transfergate.learning.sampling import PathDraw, PathSampler
from transfergate.learning.state import StackPlan, TrainingState
from transfergate.learning.update import update_models
from transfergate.market import dynamics
from transfergate.market.panel import Panel
from transfergate.market.rewards import reward_of
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams

log = logging.getLogger(__name__)

_EMBEDDING_FRAC = 0.25
"""Share of the free memory that states of frozen encoders may take."""


@dataclass
class Advance:
    """Takes a state from one update to the next.

    Attributes:
        sampler: Draws and reads the paths.
        hyper: What steers the updates.
        groups: How many models at once.
        ranks: The processes that share the stack; this one advances its share alone.
        embeddings: States of frozen encoders, if any were worth keeping.
        kinds: Per model, whether its states are known: a group has models of one kind.
    """

    sampler: PathSampler
    hyper: Hyper
    groups: Groups
    ranks: Ranks
    embeddings: Embeddings | None
    kinds: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        panel: Panel,
        weights: Weights,
        network: NetworkParams,
        market: MarketParams,
        optimiser: OptimiserParams,
        plan: StackPlan,
        adversary: Adversary | None = None,
    ) -> Advance:
        """Prepare the training of a plan; arguments as for ``train_stack``."""
        sampler = PathSampler(
            panel,
            market,
            optimiser,
            plan.slices,
            plan.seeds,
            input_noise=tuple(r.input_noise for r in plan.regularisations),
            turnover_bps=tuple(r.turnover_penalty_bps for r in plan.regularisations),
            forecasts=tuple(r.forecast for r in plan.regularisations),
        )
        hyper = hyper_of(panel, weights, network, market, optimiser, plan, adversary)
        free = free_bytes(panel.device)
        one = bytes_per_model(network, optimiser, panel.n_features, len(market.positions))
        resting = _resting(hyper, plan)
        known = None
        if resting.any():
            need = frozen.bytes_needed(network, plan.slices, resting)
            if need <= _EMBEDDING_FRAC * free:
                burn_in = optimiser.burn_in_sessions
                known = Embeddings(panel, weights, network, plan.slices, burn_in, resting)
            else:
                log.info("states of frozen encoders would take %d bytes: not kept", need)
        return cls(
            sampler,
            hyper,
            Groups(models_at_once(one, free, panel.device)),
            Ranks.current(),
            known,
            resting if known else np.zeros_like(resting),
        )

    def __call__(self, state: TrainingState) -> None:
        """Take this process's share of one update; ``state`` changes in place.

        Raises:
            TrainingError: If a model's loss is not finite, or memory is too small for one model.
        """
        draw = self.sampler.draw(state.update)
        tensors = [state.weights, state.adam.first, state.adam.second, state.memory]
        share = self.ranks.share(n_models(state.weights))
        with fast_cpu():
            for models in self._of_one_kind(share):
                self.groups.each(models, tensors, lambda some: self._group(state, draw, some))
        state.update += 1

    def _of_one_kind(self, share: slice) -> list[slice]:
        turns = np.flatnonzero(np.diff(self.kinds[share])) + 1 + share.start
        ends = [share.start, *turns.tolist(), share.stop]
        return [slice(a, b) for a, b in pairwise(ends) if a < b]

    def _group(self, state: TrainingState, draw: PathDraw, some: slice) -> None:
        batch = self.sampler.gather(draw, some, self.embeddings)
        objective, norm, steps = update_models(
            part(state.weights, some),
            part(state.start, some),
            state.adam.part(some),
            batch,
            self.hyper.part(some),
            rate_factor(self.hyper.optimiser.schedule, state.update / self.hyper.n_updates),
            state.update,
            part(state.memory, some),
        )
        _refuse_unhealthy(objective, norm, some.start, state.update)
        taken = batch.features.shape[2] * self.hyper.optimiser.path_sessions
        state.meter.count(some, taken, steps, self.sampler.last_read(draw, some))
        state.objective[state.update, some] = objective


def _refuse_unhealthy(objective: Tensor, norm: Tensor, first: int, update: int) -> None:
    healthy = torch.isfinite(objective) & torch.isfinite(norm)
    if bool(healthy.all()):
        return
    model = int((~healthy).nonzero()[0])
    raise TrainingError(
        f"model {first + model}: the loss is not finite at update {update} "
        f"(objective {float(objective[model])}, gradient norm {float(norm[model])}); look for "
        f"extreme features or returns in its slice, or lower its learning rate"
    )


def _resting(hyper: Hyper, plan: StackPlan) -> npt.NDArray[np.bool_]:
    # Whose states never change: nothing of the encoder trains, and its inputs carry no noise.
    quiet = [r.input_noise == 0.0 and r.dropout == 0.0 for r in plan.regularisations]
    trains = hyper.encoder_trains
    return np.zeros(len(quiet), dtype=bool) if trains is None else ~trains & np.array(quiet)


def hyper_of(
    panel: Panel,
    weights: Weights,
    network: NetworkParams,
    market: MarketParams,
    optimiser: OptimiserParams,
    plan: StackPlan,
    adversary: Adversary | None = None,
) -> Hyper:
    """What steers the updates of a plan; ``weights`` are those of the state, critic included."""
    device = panel.device
    masks = trainable_masks(list(weights), plan.frozen_groups, device)
    encoder = torch.stack([m for n, m in masks.items() if n.startswith("encoder.")]).any(0)
    trains = encoder.cpu().numpy()
    choices, cloned = plan.regularisations, optimiser.cloning_updates > 0
    decisions = optimiser.path_sessions + optimiser.tail_sessions
    return Hyper(
        network=network,
        optimiser=optimiser,
        reward=reward_of(market),
        flat=dynamics.flat_index(market),
        grid=dynamics.position_grid(market, device),
        cloned_feature=feature_column(panel, optimiser.cloning) if cloned else None,
        seeds=np.array(plan.seeds, dtype=np.uint64),
        rates=torch.tensor(plan.learning_rates, dtype=torch.float32, device=device),
        penalties=Penalties.of(choices, device, plan.pulls)
        if penalised(choices, plan.pulls)
        else None,
        dropouts=tuple(choice.dropout for choice in choices),
        adversary=adversary,
        factors=layer_factors(list(weights), network, plan.layer_decays, device),
        masks=masks,
        any_frozen=any(plan.frozen_groups),
        train_encoder=bool(trains.any()),
        encoder_trains=trains,
        scan_chunk=scan_chunk(
            decisions, len(plan.seeds) * optimiser.n_paths, device, len(market.positions)
        ),
    )
