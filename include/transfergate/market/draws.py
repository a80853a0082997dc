"""Counter-based random draws: a draw is a hash of (seed, counters), not the state of a stream.

So a draw depends neither on how many things are drawn side by side nor on the device, and
resuming needs no generator states.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

UInts = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(values: UInts) -> UInts:
    """Scramble 64 bits with SplitMix64's finaliser (a bijection with full avalanche)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def draw_below(
    bound: npt.NDArray[np.int64] | int, seeds: UInts, counters: Sequence[npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64]:
    """Draw integers in [0, bound), one for each broadcast combination of seed and counters.

    Args:
        bound: At least 1, at most 2^31; broadcasts with the seeds.
        seeds: One per stream of draws.
        counters: What tells the draws of one stream apart, e.g. (purpose, update, path).
    """
    state = mix(np.atleast_1d(seeds) + _GOLDEN)
    for counter in counters:
        state = mix(state + _GOLDEN * (np.atleast_1d(counter).astype(np.uint64) + np.uint64(1)))
    # 32 random bits scaled to the bound: no division, bias below bound / 2^32.
    wide = (state >> np.uint64(32)) * np.asarray(bound, dtype=np.uint64)
    return (wide >> np.uint64(32)).astype(np.int64)
