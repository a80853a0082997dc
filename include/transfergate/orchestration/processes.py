"""Background processes that never outlive their purpose.

Each runs in a session of its own, so that a Ctrl-C in the terminal reaches only the process that
started them, which then stops them in order. They are written down, so that a later start finds
what a killed one left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from transfergate.orchestration.rest import ChainError

STOP_SECONDS = 10.0
TAIL_LINES = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Processes:
    """Named processes with a log file each.

    Args:
        logs: Folder of the log files.
        record: File that names the processes while they run.
    """

    def __init__(self, logs: Path, record: Path) -> None:
        self._logs = logs
        self._record = record
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to ``<logs>/<name>.log``."""
        with (self._logs / f"{name}.log").open("wb") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = process
        self._write_down()
        return process

    def finish(self, name: str) -> None:
        """Wait for a process that ends by itself.

        Raises:
            ChainError: If it fails; with the last lines of its log.
        """
        self._running[name].wait()
        if self._running[name].returncode != 0:
            self.check()
        del self._running[name]

    def check(self) -> None:
        """Raise ``ChainError`` with the last lines of its log if a process has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                file = self._logs / f"{name}.log"
                tail = "\n".join(read_tail(file, TAIL_LINES))
                raise ChainError(
                    f"airflow {name} ended with {process.returncode}; its last lines, from "
                    f"{file}:\n{tail}"
                )

    def stop(self) -> None:
        """Stop all processes, newest first, and all their descendants; idempotent."""
        with _deaf():  # a second Ctrl-C must not leave orphans
            family = [one for p in self._running.values() for one in _family(p.pid)]
            for process in reversed(self._running.values()):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            _wait_or_kill(family)
            for process in self._running.values():
                process.wait()
            self._running.clear()
            self._record.unlink(missing_ok=True)

    def stop_orphans(self) -> int:
        """Kill what a starter that was itself killed has left running; their number."""
        if not self._record.exists():
            return 0
        orphans: list[psutil.Process] = []
        for pid, created in json.loads(self._record.read_text()):
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).create_time() != created:
                    continue  # the number belongs to another process by now
            orphans += _members(pid)
        for orphan in orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.kill()
        psutil.wait_procs(orphans, timeout=STOP_SECONDS)
        self._record.unlink()
        return len(orphans)

    def _write_down(self) -> None:
        rows = []
        for process in self._running.values():
            with suppress(psutil.NoSuchProcess):
                rows.append((process.pid, psutil.Process(process.pid).create_time()))
        self._record.write_text(json.dumps(rows))


def interruptible() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: by way of its ``finally`` blocks."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def read_tail(path: Path, n_lines: int, n_bytes: int = 65_536) -> list[str]:
    """Last lines of a text file; none if it does not exist."""
    if not path.exists():
        return []
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - n_bytes))
        return handle.read().decode(errors="replace").splitlines()[-n_lines:]


@contextmanager
def _deaf() -> Iterator[None]:
    before = [signal.signal(number, signal.SIG_IGN) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


# Also finds members whose leader has died: the kernel gives the number of a living group to none.
def _members(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group:
                found += [process, *process.children(recursive=True)]
    return list(dict.fromkeys(found))


def _wait_or_kill(processes: Iterable[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(list(processes), timeout=STOP_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=STOP_SECONDS)
