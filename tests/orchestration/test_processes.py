"""No process outlives its purpose, however its starter ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from transfergate.orchestration.processes import Processes, read_tail
from transfergate.orchestration.rest import ChainError

# A parent that ignores SIGTERM, with a child of its own.
STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path, tmp_path / "processes.json")
    yield made
    made.stop()


def start_stubborn(processes, tmp_path):
    process = processes.start("stubborn", [sys.executable, "-c", STUBBORN], os.environ)
    while "ready" not in (tmp_path / "stubborn.log").read_text():
        time.sleep(0.05)
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children()]


def alive(process):
    """A zombie has ended; who must collect it is not the matter here."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_stop_kills_what_does_not_listen_and_its_children(processes, tmp_path, monkeypatch):
    monkeypatch.setattr("transfergate.orchestration.processes.STOP_SECONDS", 0.5)
    family = start_stubborn(processes, tmp_path)
    assert len(family) == 2
    processes.stop()
    assert not any(alive(one) for one in family)
    processes.stop()


def test_a_process_that_ended_is_reported_with_its_last_words(processes):
    command = [sys.executable, "-c", "print('no such table'); raise SystemExit(3)"]
    processes.start("scheduler", command, os.environ)
    with pytest.raises(ChainError, match=r"scheduler ended with 3[\s\S]*no such table"):
        processes.finish("scheduler")


def test_a_process_that_finishes_well_is_forgotten(processes):
    processes.start("db", [sys.executable, "-c", "pass"], os.environ)
    processes.finish("db")
    processes.check()


def test_what_a_killed_starter_left_is_found_and_killed(processes, tmp_path):
    family = start_stubborn(processes, tmp_path)
    later = Processes(tmp_path, tmp_path / "processes.json")
    assert later.stop_orphans() == 2
    processes._running["stubborn"].wait()
    assert not any(alive(one) for one in family)
    assert later.stop_orphans() == 0


def test_another_process_with_the_same_number_is_left_alone(processes, tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "processes.json").write_text(json.dumps([[other.pid, 1.0]]))
        assert processes.stop_orphans() == 0
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_the_tail_of_a_log_that_does_not_exist_is_empty(tmp_path):
    assert read_tail(tmp_path / "none.log", 5) == []
