"""What Airflow adds to a run's tasks, read from the records of its task instances.

**Overhead of a task** is the time in which the run could have worked on it and did not: from the
moment that a slot was free for it and all before it was done (the end of the task before on the
same slot, or of the last task that it follows, whichever is later) to its own start. It holds the
scheduler's decision, the time in the queue, the executor's hand-over and the start of a process as
far as Airflow has not yet called the task running. **Work** is what lies between start and end. It
begins with what is no training either: the task's process parses the DAG's file and imports the
packages. That is told apart (``start_up``, from the task's log) and counted as overhead in the
second of the two shares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Ran:
    """One task instance that has ended; moments in seconds since the epoch."""

    task_id: str
    map_index: int
    queued: float
    start: float
    end: float
    start_up: float = 0.0

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        return self.end - self.start


@dataclass(frozen=True)
class Share:
    """Sums over some tasks, in seconds."""

    tasks: int
    work: float
    overhead: float
    queued: float
    start_up: float

    @property
    def per_task(self) -> float:
        """Overhead of one task."""
        return self.overhead / self.tasks

    @property
    def of_work(self) -> float:
        """Overhead as a share of the work."""
        return self.overhead / self.work

    @property
    def of_work_with_start_up(self) -> float:
        """The same where the start of the task's process counts as overhead, not as work."""
        return (self.overhead + self.start_up) / (self.work - self.start_up)


def ran(entry: Mapping[str, Any], log: Path) -> Ran:
    """A task instance as the API tells it, and its log, which may be missing."""
    start = _seconds(entry["start_date"])
    first = first_word(log)
    return Ran(
        task_id=entry["task_id"],
        map_index=int(entry["map_index"]),
        queued=_seconds(entry["queued_when"]),
        start=start,
        end=_seconds(entry["end_date"]),
        start_up=0.0 if first is None else max(0.0, first - start),
    )


def first_word(log: Path) -> float | None:
    """When the pipeline itself first said something in a task's log."""
    if not log.exists():
        return None
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if str(entry.get("logger", "")).startswith("transfergate"):
            return _seconds(entry["timestamp"])
    return None


def overheads(tasks: Sequence[Ran], ready: float, slots: int) -> list[float]:
    """Overhead of each of some tasks that wait for nothing but a slot, by their start.

    Args:
        tasks: The tasks, in any order.
        ready: When the last task before them had ended.
        slots: How many may run at once. The slot that is free for longest takes the next task.
    """
    free = [ready] * slots
    found = []
    for task in sorted(tasks, key=lambda one: one.start):
        earliest = min(range(slots), key=lambda slot: free[slot])
        found.append(max(0.0, task.start - free[earliest]))
        free[earliest] = task.end
    return found


def share(tasks: Sequence[Ran], gaps: Sequence[float]) -> Share:
    """Sums over tasks whose overheads are known."""
    return Share(
        tasks=len(tasks),
        work=sum(one.seconds for one in tasks),
        overhead=sum(gaps),
        queued=median(one.start - one.queued for one in tasks),
        start_up=sum(one.start_up for one in tasks),
    )


def of_run(
    tasks: Sequence[Ran], order: Sequence[str], begin: float, slots: int
) -> dict[str, Share]:
    """Shares of each task of a run whose tasks follow each other, mapped ones side by side.

    Args:
        tasks: All that ran.
        order: Ids in the order in which they follow each other.
        begin: When the run was queued.
        slots: Of the mapped tasks.
    """
    found, ready = {}, begin
    for task_id in order:
        own = [one for one in tasks if one.task_id == task_id]
        if not own:
            continue
        found[task_id] = share(own, overheads(own, ready, slots if len(own) > 1 else 1))
        ready = max(one.end for one in own)
    return found


def together(shares: Mapping[str, Share]) -> Share:
    """Sums over all tasks of a run."""
    return Share(
        tasks=sum(one.tasks for one in shares.values()),
        work=sum(one.work for one in shares.values()),
        overhead=sum(one.overhead for one in shares.values()),
        queued=median(one.queued for one in shares.values()),
        start_up=sum(one.start_up for one in shares.values()),
    )


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
