"""Process-wide switches that make small-network training on the CPU fast."""

from __future__ import annotations

import ctypes
import logging
import sys
from functools import cache

import torch

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@cache
def tune_process() -> None:
    """Flush denormals to zero and keep freed activation buffers mapped.

    Denormals slow sigmoids down. glibc returns freed buffers of many megabytes to the system and
    faults every page in again at the next use, which costs more than the arithmetic on them.
    Changes the whole process, once; results do not depend on the second switch.
    """
    torch.set_flush_denormal(True)
    if not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    except (OSError, AttributeError):  # another C library: slower, not wrong
        log.info("this C library has no mallopt; training runs with its default thresholds")
