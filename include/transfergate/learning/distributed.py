"""Several processes that share one stack of models: each trains its own, all know the result.

Models share nothing, so no gradient is ever averaged: rank r of W trains a run of neighbouring
models, and the ranks tell each other their share only where the whole stack is looked at: at
validations, checkpoints and the end. The result is that of one process. ``torchrun`` starts the
processes (``steps/ranks.py``); without it there is one rank, and nothing here costs anything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from transfergate.errors import TrainingError

log = logging.getLogger(__name__)

_PATIENCE = timedelta(hours=6)
"""Longest stretch of training between two exchanges; a dead rank is noticed by torchrun at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one stack.

    Attributes:
        rank: Its number, from 0.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """As ``joined`` set up; alone otherwise."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes for all."""
        return self.rank == 0

    def share(self, models: int, rank: int | None = None) -> slice:
        """The models that a rank (this one by default) trains; shares differ by one at most."""
        rank = self.rank if rank is None else rank
        return slice(rank * models // self.world, (rank + 1) * models // self.world)

    def exchange(self, state: Sequence[Mapping[str, Tensor]]) -> None:
        """Give every rank all shares of tensors whose first axis is the models; in place.

        Goes through main memory, so that it serves any device; it happens a few times per run.
        """
        if self.world == 1:
            return
        for group in state:
            for name in sorted(group):
                value = group[name]
                for rank in range(self.world):
                    own = self.share(len(value), rank)
                    part = value[own].cpu().contiguous()
                    dist.broadcast(part, src=rank)
                    value[own] = part.to(value.device)

    def agree(self, problem: str | None) -> None:
        """Go on only if no rank has a problem; every rank must call it equally often.

        Raises:
            TrainingError: On every rank, with the problem of the first that has one.
        """
        if self.world == 1:
            if problem is not None:
                raise TrainingError(problem)
            return
        said: list[str | None] = [None] * self.world
        dist.all_gather_object(said, problem)
        for rank, one in enumerate(said):
            if one is not None:
                raise TrainingError(f"{one} (rank {rank} of {self.world})")


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; leave them at the end.

    Gloo on any device: what is exchanged is small and lies in main memory. On CUDA, rank r takes
    the GPU of its local number (``runtime.choose_device``).
    """
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        ranks = Ranks.current()
        log.info("rank %d of %d", ranks.rank, ranks.world)
        yield ranks
    finally:
        dist.destroy_process_group()


def local_device(kind: str) -> torch.device:
    """The GPU that this process trains on: one per rank and machine, in order."""
    ranks = Ranks.current()
    if ranks.world == 1:
        return torch.device(kind)
    return torch.device(kind, ranks.rank % torch.cuda.device_count())
