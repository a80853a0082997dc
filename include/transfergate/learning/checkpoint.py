"""Progress of a training run in one safetensors file, so that a killed run goes on bit for bit.

Random draws are counter-based (``market/draws.py``), so weights, moments, history and the number
of the update are the whole state: there are no generators to store.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import struct
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from transfergate.learning.adversary import Adversary
from transfergate.learning.networks import Weights
from transfergate.learning.state import StackPlan, TrainingState
from transfergate.market.panel import Panel
from transfergate.settings import Params
from transfergate.storage import ArtefactStore, content_hash

log = logging.getLogger(__name__)

_FORMAT = 3
_PARTS = ("weights", "start", "best", "adam_first", "adam_second", "memory")


@dataclass(frozen=True)
class Checkpoint:
    """Where progress is kept: one object, replaced atomically.

    Attributes:
        store: Artefact root.
        key: Key of the object.
        every_updates: Save after so many updates, and after the last.
    """

    store: ArtefactStore
    key: str
    every_updates: int = 25

    def due(self, update: int, n_updates: int) -> bool:
        """Whether to save after ``update`` updates."""
        return update % self.every_updates == 0 or update == n_updates

    def save(self, mark: str, state: TrainingState) -> None:
        """Write the state; an earlier one is replaced at once or not at all."""
        groups = dict(zip(_PARTS, _groups(state), strict=True))
        tensors = {f"{part}/{k}": v for part, group in groups.items() for k, v in group.items()}
        tensors |= {
            "best_score": state.best_score,
            "best_update": state.best_update,
            "objective": state.objective[: state.update],
            **{f"meter/{name}": value for name, value in vars(state.meter).items()},
        }
        if state.validation:
            tensors["validation"] = torch.stack(state.validation)
        header = {"update": state.update, "inputs": mark, "format": _FORMAT}
        content = save_tensors(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            metadata={"training": json.dumps(header, sort_keys=True)},
        )
        self.store.replace(self.key, content)

    def load(self, mark: str, state: TrainingState) -> bool:
        """Fill the state from the object, if there is one of the same inputs.

        A checkpoint is only a saved effort: one of other inputs, or an unreadable one, is
        reported in the log and left to be replaced.

        Returns:
            Whether the state was filled.
        """
        if not self.store.exists(self.key):
            return False
        try:
            content = self.store.read(self.key)
            header, tensors = _header(content), load_tensors(content)
        except (SafetensorError, ValueError, KeyError, struct.error) as error:
            log.warning("checkpoint %s is unreadable (%s); training anew", self.key, error)
            return False
        if (header["inputs"], header["format"]) != (mark, _FORMAT):
            log.info("checkpoint %s belongs to other inputs; training anew", self.key)
            return False
        for part, group in zip(_PARTS, _groups(state), strict=True):
            for name, value in group.items():
                value.copy_(tensors[f"{part}/{name}"])
        state.update = int(header["update"])
        state.best_score.copy_(tensors["best_score"])
        state.best_update.copy_(tensors["best_update"])
        for name, value in vars(state.meter).items():
            value.copy_(tensors[f"meter/{name}"])
        state.objective[: state.update] = tensors["objective"].to(state.objective.device)
        state.validation = list(tensors.get("validation", torch.empty(0)).to(state.best_score))
        log.info("checkpoint %s: resuming after update %d", self.key, state.update)
        return True


def _groups(state: TrainingState) -> tuple[Weights, ...]:
    moments = state.adam.first, state.adam.second
    return state.weights, state.start, state.best, *moments, state.memory


def _header(content: bytes) -> dict[str, Any]:
    # A safetensors file starts with the length of its JSON header, 8 bytes little-endian.
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return dict(json.loads(metadata["training"]))


def fingerprint(
    panel: Panel,
    weights: Weights,
    network: Params,
    market: Params,
    optimiser: Params,
    plan: StackPlan,
    adversary: Adversary | None = None,
) -> str:
    """Hash of everything that a training run depends on."""
    settings = [network, market, optimiser, *plan.regularisations]
    text = [params.model_dump_json() for params in settings]
    text.append(repr((plan.slices, plan.seeds, plan.learning_rates)))
    text.append(repr([sorted(groups) for groups in plan.frozen_groups]))
    text.append(repr((plan.layer_decays, plan.pulls, adversary)))
    tensors = [weights[name] for name in sorted(weights)]
    tensors += [
        value
        for field in dataclasses.fields(panel)
        if isinstance(value := getattr(panel, field.name), Tensor)
    ]
    content = [t.detach().cpu().contiguous().numpy().tobytes() for t in tensors]
    return content_hash(*text, *content)
