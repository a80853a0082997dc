"""``make up``: prints where it is and how to log in, and stops cleanly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from transfergate.orchestration.assets import CHAIN, MAINTENANCE
from transfergate.orchestration.rest import AirflowApi

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_up_serves_paused_dags_until_it_is_told_to_stop(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "transfergate.orchestration.serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "include", "TRANSFERGATE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = "".join(process.stdout.readline() for _ in range(4))
    url, password = re.search(r"(http://127\.0\.0\.1:\d+)[\s\S]*password (\S+)", said).groups()
    assert httpx.get(url, timeout=30).status_code == 200
    api = AirflowApi(url, "admin", password)
    api.wait_for_dags((*CHAIN, *MAINTENANCE), parsed_after=0.0, seconds=60)
    assert api.paused() == {*CHAIN, *MAINTENANCE}
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.stdout.read().endswith("stopped\n")
    assert process.wait(timeout=60) == 0
    assert psutil.wait_procs(started, timeout=10)[1] == []
