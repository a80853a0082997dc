"""How many stacked models are updated at once: what the cache likes and the memory allows.

A group is a run of neighbouring models whose update is one set of batched products. Models share
nothing, so the size of a group changes speed and memory, and no result (docs/learning.md says to
which bit). Where memory runs out all the same, the group is halved and the update taken again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.settings import NetworkParams, OptimiserParams

log = logging.getLogger(__name__)

CPU_MODELS_AT_ONCE = 64
"""Larger groups leave the processor's cache and win nothing."""
CUDA_MODELS_AT_ONCE = 2048
USABLE_FRAC = 0.5
"""Share of the free memory that the activations of one group may take."""

_FLOAT_BYTES = 4
_UNLIMITED = 1 << 60
_BLOCKS = {"gru": 11, "lstm": 16, "mlp": 4, "transformer": 30, "resnet_lstm": 40}
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "bad_alloc")


def bytes_per_model(
    network: NetworkParams, optimiser: OptimiserParams, n_features: int, n_positions: int
) -> int:
    """Activations and gradients that one model's update holds at its peak, in bytes.

    An estimate from above: per session and path the inputs twice, the encoder's blocks of hidden
    width (forward, slopes and gradients), the head's sigmoids twice, and the tables over
    (previous position, action). Measured peaks stand in tests/learning/test_groups.py.
    """
    sessions = optimiser.burn_in_sessions + optimiser.path_sessions + optimiser.tail_sessions
    units = network.encoder_units * network.encoder_layers * _BLOCKS[network.encoder]
    head = network.head_units * (2 + 3 * n_positions)
    window = 0
    if network.encoder == "transformer":
        heads = network.attention_heads * network.encoder_layers
        window = 4 * heads * min(network.attention_window, sessions)
    tables = 16 * n_positions * n_positions
    numbers = 3 * n_features + units + window + head + tables
    return _FLOAT_BYTES * sessions * optimiser.n_paths * numbers


def free_bytes(device: torch.device) -> int:
    """Memory that a training may still take: of the GPU, or of the machine and its container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    return min(_available_ram(), _cgroup_room())


def _available_ram() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux: the group is halved when memory runs out
        return _UNLIMITED
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def _cgroup_room(root: Path = Path("/sys/fs/cgroup")) -> int:
    # Version 2, as containers have it; "max" is no limit.
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
    except (OSError, ValueError):
        return _UNLIMITED
    return _UNLIMITED if limit == "max" else max(0, int(limit) - used)


def models_at_once(per_model: int, free: int, device: torch.device) -> int:
    """Size of a group: as many as pay, fewer where memory is short, at least one."""
    most = CUDA_MODELS_AT_ONCE if device.type == "cuda" else CPU_MODELS_AT_ONCE
    return max(1, min(most, int(free * USABLE_FRAC) // max(1, per_model)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that an allocation failed, on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)


@dataclass
class Groups:
    """Walks over models group by group; ``size`` only falls.

    Attributes:
        size: Models in one group.
        halved: Sizes that memory was too small for.
    """

    size: int
    halved: list[int] = field(default_factory=list)

    def each(
        self,
        models: slice,
        state: Sequence[Mapping[str, Tensor]],
        work: Callable[[slice], None],
    ) -> None:
        """Do ``work`` on all models; where memory runs out, undo it, halve, and do it again.

        Args:
            models: Which models, as a plain range.
            state: Tensors by model that ``work`` changes in place; put back before it is repeated.
            work: One group's update. What it changes outside of ``state`` must come last in it.

        Raises:
            TrainingError: If memory is too small for a single model.
        """
        first = models.start
        while first < models.stop:
            some = slice(first, min(first + self.size, models.stop))
            if self._fits(some, state, work):
                first = some.stop
            else:
                self._halve(some)

    def _fits(
        self, some: slice, state: Sequence[Mapping[str, Tensor]], work: Callable[[slice], None]
    ) -> bool:
        kept: list[dict[str, Tensor]] = []
        try:
            kept.extend({name: value[some].clone() for name, value in g.items()} for g in state)
            work(some)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("models %d to %d: %s", some.start, some.stop - 1, _first_line(error))
        else:
            return True
        if len(kept) == len(state):  # else nothing was changed yet
            for before, group in zip(kept, state, strict=True):
                for name, value in before.items():
                    group[name][some] = value
        return False

    def _halve(self, some: slice) -> None:
        tried = some.stop - some.start
        if tried == 1:
            raise TrainingError(
                "memory is too small for the update of one model; lower n_paths, path_sessions or "
                "the network's widths, or train where there is more memory"
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.halved.append(tried)
        self.size = tried // 2
        log.warning("out of memory with %d models at once; going on with %d", tried, self.size)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
