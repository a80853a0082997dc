"""Switches of the process that make small-network training on the CPU fast."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from transfergate.learning.distributed import local_device

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@contextmanager
def fast_cpu() -> Iterator[None]:
    """Flush denormals to zero inside the block, and keep freed activation buffers mapped.

    Denormals slow sigmoids down; other code of the process gets them back. glibc returns freed
    buffers of many megabytes to the system and faults every page in again at the next use, which
    costs more than the arithmetic on them; that switch stays, and changes no result.
    """
    _keep_buffers_mapped()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@cache
def _keep_buffers_mapped() -> None:
    if not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    except (OSError, AttributeError):  # another C library: slower, not wrong
        log.info("this C library has no mallopt; training runs with its default thresholds")


def choose_device(name: str) -> torch.device:
    """``cpu`` or ``cuda`` as named; with ``auto``, CUDA when there is one.

    Among several processes that share a training, each takes the GPU of its number.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return local_device(name) if name == "cuda" else torch.device(name)


def use_threads(n_threads: int) -> None:
    """Set how many threads torch computes with; part of what makes a result repeatable."""
    torch.set_num_threads(n_threads)
