"""Work on many tickers in batches: memory is that of a batch, threads work side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from transfergate.settings import WarehouseParams
from transfergate.warehouse.batch_bars import (
    TickerPlan,
)

_SMALL_BATCH_BARS = 20_000
_Work = TypeVar("_Work")
_Done = TypeVar("_Done")


@dataclass(frozen=True)
class KeptBatch:
    """Tickers to compute at once, and the file of their adjusted bars; None to read them."""

    plans: list[TickerPlan]
    file: Path | None = None


def cut_batches(
    plans: Sequence[TickerPlan], bars: Mapping[str, int], resources: WarehouseParams
) -> list[list[TickerPlan]]:
    """Cut plans into contiguous batches of about equal size that keep every thread busy.

    Args:
        plans: Sorted by ticker.
        bars: Ticker -> about how many bars it has.
        resources: ``batch_bars`` a batch at most, about; ``threads``.
    """
    if not plans:
        return []
    sizes = [max(1, bars.get(plan.ticker, 1) - plan.first_bar_number) for plan in plans]
    ends = np.cumsum(sizes, dtype=int)
    total, threads = int(ends[-1]), resources.threads
    rounds = -(-total // (resources.batch_bars * threads))
    n = max(1, min(rounds * threads, total // _SMALL_BATCH_BARS))
    edges = np.searchsorted(ends, [total * k // n for k in range(1, n)], side="right")
    parts = np.split(np.arange(len(plans)), edges)
    return [[plans[number] for number in part] for part in parts if len(part)]


def in_parallel(
    work: Callable[[_Work], _Done], items: Sequence[_Work], threads: int
) -> list[_Done]:
    """Do one piece of work for each item, in their order; the first failure is raised."""
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))
