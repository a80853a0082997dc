"""What all benchmarks share: cores, clocks, alternating repetitions, rows of the table.

A row is figure -> ``{"ours", "peer", "peer_name", "ratio", ...}``; a ratio above 1 means that ours
is better. Where the peer did not get there within its time, ``censored`` is true: the peer's value
and the ratio are lower bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import torch

Row = dict[str, Any]
Figures = dict[str, Row]


def figure(
    ours: float | None,
    peer: float | None,
    peer_name: str,
    *,
    less_is_better: bool = False,
    goal: float | None = None,
    censored: bool = False,
    note: str = "",
) -> Row:
    """One row; ``goal`` is the least ratio wanted, ``note`` says what a reader must know."""
    ratio = None
    if ours and peer:
        ratio = peer / ours if less_is_better else ours / peer
    row: Row = {"ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio}
    if goal is not None:
        row["goal"] = goal
    if censored:
        row["censored"] = True
    if note:
        row["note"] = note
    return row


def installed(package: str) -> str | None:
    """Version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def on_cores(cores: int) -> Iterator[None]:
    """Pin this process, and those that it starts, to the first cores; as many torch threads."""
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, set(sorted(before)[:cores]))
    torch.set_num_threads(min(cores, len(before)))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        torch.set_num_threads(threads)


def core_counts(wanted: list[int]) -> list[int]:
    """Those of the wanted counts of cores that this process may use."""
    return [cores for cores in wanted if cores <= len(os.sched_getaffinity(0))]


def clock(cores: int) -> Callable[[], float]:
    """CPU seconds on one core (equal to wall time on a quiet machine), else wall seconds."""
    return time.process_time if cores == 1 else time.perf_counter


class Enough(Exception):
    """Raised to end a training that was measured for long enough."""


class Stopwatch:
    """Seconds of training; evaluations in between are not counted."""

    def __init__(self, now: Callable[[], float] = time.process_time) -> None:
        self._now, self._paused = now, 0.0
        self._begin = now()

    def seconds(self) -> float:
        return self._now() - self._begin - self._paused

    @contextmanager
    def pause(self) -> Iterator[None]:
        begin = self._now()
        yield
        self._paused += self._now() - begin


def alternate(
    candidates: Mapping[str, Callable[[], float]], rounds: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Run all candidates in turn, ``rounds`` times: medians, and all values."""
    values: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            values[name].append(run())
    return {name: median(found) for name, found in values.items()}, values


def options(description: str | None, parts: tuple[str, ...] = ()) -> argparse.Namespace:
    """The options that every benchmark has; where there are ``parts``, also which, and of whom."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--quick", action="store_true", help="seconds, not minutes: no figures")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="pinned, in turn")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of a throughput")
    parser.add_argument("--seeds", type=int, default=3, help="learning curves of each")
    parser.add_argument("--cap", type=float, default=60.0, help="seconds that a peer may learn")
    if parts:
        parser.add_argument("--parts", nargs="+", choices=parts, default=parts, help="default: all")
        parser.add_argument("--peers", nargs="+", default=[], help="words of names; default: all")
    return parser.parse_args()


def finish(figures: Figures, *, as_json: bool) -> None:
    """Print the rows for a reader, then the JSON object in one line."""
    if not as_json:
        for name, row in figures.items():
            print(name, row)
    print(json.dumps(figures))


def run_by_cores(description: str | None, measure: Callable[..., Figures]) -> None:
    """Run a benchmark on each count of cores: ``measure(cores, rounds, quick=...)``."""
    arguments = options(description)
    figures: Figures = {}
    for cores in core_counts(arguments.cores):
        with on_cores(cores):
            figures |= measure(cores, arguments.rounds, quick=arguments.quick)
    finish(figures, as_json=arguments.json)
