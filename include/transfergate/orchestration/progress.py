"""One line per task instance: redrawn in place on a terminal, appended elsewhere."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from transfergate.orchestration.processes import read_tail
from transfergate.orchestration.rest import TaskInstance

ENDED = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})
UNBORN = frozenset({"none", "scheduled"})
DETAIL_SECONDS = 10.0


class Progress:
    """Show task instances as they change state.

    Args:
        stream: Where lines go; redrawn in place if it is a terminal.
        clock: Seconds, monotonic.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._start = clock()
        self._ended: set[tuple[str, str, str, int]] = set()
        self._shown: dict[tuple[str, str, str, int], tuple[str, str, float]] = {}
        self._drawn = 0
        # A line that wraps could not be redrawn in place.
        columns, lines = shutil.get_terminal_size()
        self._width = columns - 1 if stream.isatty() else 500
        self._height = max(1, lines - 2)

    @property
    def seconds(self) -> float:
        """Since the first line."""
        return self._clock() - self._start

    def say(self, text: str) -> None:
        """Write one line that stays."""
        self._erase()
        self._stream.write(f"{self.seconds:6.1f}s  {text}\n")
        self._stream.flush()

    def show(
        self, instances: Sequence[TaskInstance], details: Mapping[tuple[str, str, str, int], str]
    ) -> None:
        """Write what changed.

        Args:
            instances: All task instances of the runs in progress.
            details: By instance key, the last thing that a running task has said.
        """
        self._erase()
        active = []
        for instance in sorted(instances, key=lambda one: (not one.ended, one.ended)):
            if instance.key in self._ended or instance.state in UNBORN:
                continue
            detail = details.get(instance.key, "")
            if instance.state in ENDED:
                self._ended.add(instance.key)
                self._write(instance, "")
            elif self._stream.isatty():
                active.append((instance, detail))
            elif instance.state != "queued" and self._is_news(instance, detail):
                self._write(instance, detail)
        # More lines than the terminal has could not be redrawn in place: running ones come first.
        active.sort(key=lambda row: row[0].state != "running")
        for instance, detail in active[: self._height]:
            self._write(instance, detail)
        self._drawn = min(len(active), self._height)
        self._stream.flush()

    def _is_news(self, instance: TaskInstance, detail: str) -> bool:
        now = self._clock()
        state, said, at = self._shown.get(instance.key, ("", "", now))
        if state == instance.state and (said == detail or now - at < DETAIL_SECONDS):
            return False
        self._shown[instance.key] = (instance.state, detail, now)
        return True

    def _write(self, instance: TaskInstance, detail: str) -> None:
        label = f"[{instance.label}]" if instance.label else ""
        state = instance.state + (f" (try {instance.attempt})" if instance.attempt > 1 else "")
        took = (
            ""
            if instance.seconds is None or instance.state not in ENDED
            else f"{instance.seconds:.1f} s"
        )
        name = f"{instance.task_id}{label}"
        line = f"{self.seconds:6.1f}s  {instance.dag_id:<20} {name:<22} {state:<9} {took}{detail}"
        self._stream.write(line.rstrip()[: self._width] + "\n")

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0


def last_said(log_file: Path) -> str:
    """Last line that the package itself has logged in a task, without decoration."""
    for line in reversed(read_tail(log_file, 50, 16_384)):
        record = _record(line)
        if str(record.get("logger", "")).startswith("transfergate."):
            return " ".join(str(record.get("event", "")).split())
    return ""


def readable_tail(log_file: Path, n_lines: int) -> list[str]:
    """Last lines of a task's log as a person reads them, exceptions with their text."""
    lines: list[str] = []
    for line in read_tail(log_file, n_lines):
        record = _record(line)
        if not record:
            lines.append(line)
            continue
        if str(record.get("event", "")).startswith("::"):  # folds of the log view in the UI
            continue
        lines.append(f"{record.get('level', ''):<8} {record.get('event', '')}")
        for error in record.get("error_detail") or []:
            lines.append(f"         {error.get('exc_type')}: {error.get('exc_value')}")
    return lines[-n_lines:]


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
