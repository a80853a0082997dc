"""States of encoders that rest, computed once instead of in every update.

Where a model trains its head alone and its inputs carry no noise, its encoder says the same of a
session in every update. It is then run once over the model's whole slice, from the burn-in before
it on, as scoring does. The paths of a recurrent encoder otherwise start from a zero state and a
burn-in of their own; states known from the whole record differ from those by what the burn-in has
not forgotten, and are the ones that scoring sees. Noise on the inputs makes every path's states
its own, so models with noise run their encoder as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.learning.networks import Weights, encode, select_models
from transfergate.market.panel import Panel
from transfergate.settings import NetworkParams
from transfergate.storage import content_hash

if TYPE_CHECKING:
    from transfergate.learning.sampling import TrainingSlice

log = logging.getLogger(__name__)


class Embeddings:
    """States of some models over their slices; models of one encoder and slice share them."""

    def __init__(
        self,
        panel: Panel,
        weights: Weights,
        network: NetworkParams,
        slices: Sequence[TrainingSlice],
        burn_in: int,
        resting: npt.NDArray[np.bool_],
    ) -> None:
        """Run the encoders of the models that ``resting`` (S,) marks, once each.

        Args:
            panel: Features; nothing at or after a slice's ``stop`` is read.
            weights: S models.
            network: Their network.
            slices: Where they learn.
            burn_in: Sessions before ``first`` that a path may start with.
            resting: Whose encoder rests and sees no noise.
        """
        models, device = len(slices), panel.device
        self.resting = resting
        self._base = torch.full((models, len(panel.tickers)), -1, dtype=torch.int64)
        self._begin = torch.zeros(models, 1, 1, dtype=torch.int64)
        known: dict[str, tuple[int, int]] = {}
        stored: list[Tensor] = []
        size = 0
        for model in np.flatnonzero(resting).tolist():
            part = slices[model]
            begin, rows = max(0, part.first - burn_in), list(part.rows)
            own = select_models(weights, [model])
            key = _key(own, part)
            if key not in known:
                x = panel.features[rows, begin : part.stop - 1].unsqueeze(0)
                states = encode(own, network, x)[0].flatten(0, 1)
                known[key] = size, states.shape[0] // len(rows)
                size += states.shape[0]
                stored.append(states)
            first, sessions = known[key]
            for slot, row in enumerate(rows):
                self._base[model, row] = first + slot * sessions
            self._begin[model] = begin
        self._states = torch.cat(stored) if stored else torch.empty(0, network.encoder_units)
        self._base, self._begin = self._base.to(device), self._begin.to(device)
        log.info("%d models share %d encodings that are computed once", resting.sum(), len(known))

    def take(self, models: slice, rows: Tensor, sessions: Tensor) -> Tensor | None:
        """States (S, D, B, H) of drawn decisions; None where the models' encoders are to run.

        Args:
            models: Neighbours, either all resting or none.
            rows: Panel row of each path, (S, B).
            sessions: (S, D, B), inside the slices.
        """
        if not self.resting[models].all():
            return None
        base = self._base[models].gather(1, rows).unsqueeze(1)
        places = base + sessions - self._begin[models]
        return self._states.index_select(0, places.reshape(-1)).view(*sessions.shape, -1)


def _key(weights: Weights, part: TrainingSlice) -> str:
    encoder = [v for name, v in sorted(weights.items()) if name.startswith("encoder.")]
    return content_hash(repr(part), *(v.cpu().contiguous().numpy().tobytes() for v in encoder))


def bytes_needed(
    network: NetworkParams, slices: Sequence[TrainingSlice], resting: npt.NDArray[np.bool_]
) -> int:
    """Bound from above on what the states take, as if no two models shared theirs."""
    sessions = sum(len(slices[m].rows) * slices[m].stop for m in np.flatnonzero(resting).tolist())
    return 4 * network.encoder_units * sessions
