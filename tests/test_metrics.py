"""The pipeline's own figures arrive where they are sent, by UDP and through Airflow's metrics."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from transfergate import metrics

ROOT = Path(__file__).resolve().parents[1]


class Listener:
    """A StatsD server on loopback."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def heard(self) -> dict[str, str]:
        """Last value under each name, with its type."""
        found: dict[str, str] = {}
        while True:
            try:
                for line in self.socket.recv(65536).decode().splitlines():
                    name, _, value = line.partition(":")
                    if "transfergate." in name:  # Airflow has its own
                        found[name] = value
            except TimeoutError:
                return found


@pytest.fixture
def statsd() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.socket.close()


@pytest.fixture(autouse=True)
def _nobody_listens_afterwards() -> Iterator[None]:
    yield
    metrics.send_to(None)


def test_figures_go_nowhere_until_somebody_listens(statsd):
    metrics.count("rows.loaded", 1)
    assert statsd.heard() == {}


def test_counts_and_gauges_with_what_they_are_about(statsd):
    metrics.send_to(metrics.statsd(statsd.address))
    metrics.counts({"rows.loaded": 7, "rows.quarantined": 0}, "sample")
    metrics.gauge("looks.number", 2, "BRK.B")
    metrics.gauge("training.steps_per_second", 1234.5, "pre-training")
    assert statsd.heard() == {
        "transfergate.rows.loaded.sample": "7|c",
        "transfergate.looks.number.BRK_B": "2|g",
        "transfergate.training.steps_per_second.pre-training": "1234.5|g",
    }


def test_a_sink_that_fails_fails_nobody_else(caplog):
    def broken(kind: str, name: str, value: float) -> None:
        raise OSError("no route")

    metrics.send_to(broken)
    metrics.count("rows.loaded", 1)
    assert "transfergate.rows.loaded was not sent: no route" in caplog.text


def _run(code: str, home: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": "include", "TRANSFERGATE_HOME": str(home), "OMP_NUM_THREADS": "1"}
        | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_command_says_what_it_loaded_and_what_it_refused(statsd, tmp_path):
    folder = tmp_path / "bars"
    folder.mkdir()
    header = "ticker,date,open,high,low,close,volume\n"
    days = ("2012-01-03", "2012-01-04", "2012-01-05", "2012-01-06")
    rows = [f"AAA,{day},10,11,9,10,100\n" for day in days]
    (folder / "a.csv").write_text(header + "".join(rows) + "AAA,2012-01-07,10,11,9,10,100\n")
    command = "import sys; from transfergate.cli import main; sys.exit(main({!r}) != {})"
    ingest = ["ingest", "--source", "files", "--data", str(folder)]
    environment = {
        "TRANSFERGATE_METRICS__STATSD": statsd.address,
        "TRANSFERGATE_SOURCES": '{"files": {"kind": "files", "quality": '
        '{"max_bad_row_frac": 0.5, "max_bad_ticker_frac": 1.0}}}',
    }
    _run(command.format(ingest, 0), tmp_path / "home", **environment)
    heard = statsd.heard()
    assert heard.pop("transfergate.data.age_days.files").endswith("|g")
    assert heard == {
        "transfergate.rows.received.files": "5|c",
        "transfergate.rows.loaded.files": "4|c",
        "transfergate.rows.quarantined.files": "1|c",
        "transfergate.rows.new_revisions.files": "4|c",
    }
    _run(command.format(ingest, 0), tmp_path / "home", **environment)
    assert list(statsd.heard()) == ["transfergate.data.age_days.files"], "nothing but age is new"
    environment["TRANSFERGATE_SOURCES"] = '{"files": {"kind": "files"}}'
    (folder / "a.csv").write_text(header + rows[0] * 4)
    _run(command.format(ingest, 2), tmp_path / "home", **environment)
    assert statsd.heard() == {"transfergate.batches.refused.files": "1|c"}


IN_A_TASK = """
from types import SimpleNamespace
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from transfergate import metrics
from transfergate.orchestration.figures import before_task

stats.initialize(factory=get_stats_factory(), export_legacy_names=True)  # as Airflow's task runner
before_task({"dag": SimpleNamespace(params={}, dag_id="d"), "dag_run": None})
metrics.counts({"rows.loaded": 7}, "sample")
metrics.gauge("data.age_days", 3, "sample")
"""


def test_tasks_send_them_with_airflows_own_statsd(statsd, tmp_path):
    host, _, port = statsd.address.partition(":")
    on = {"STATSD_ON": "True", "STATSD_HOST": host, "STATSD_PORT": port, "STATSD_PREFIX": "af"}
    environment = {f"AIRFLOW__METRICS__{name}": value for name, value in on.items()}
    _run(IN_A_TASK, tmp_path, **environment)
    assert statsd.heard() == {
        "af.transfergate.rows.loaded.sample": "7|c",
        "af.transfergate.data.age_days.sample": "3|g",
    }


def test_tasks_send_them_with_airflows_own_opentelemetry(tmp_path):
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _run(
        IN_A_TASK
        + "from opentelemetry import metrics as o\no.get_meter_provider().force_flush()\n",
        tmp_path,
        AIRFLOW__METRICS__OTEL_ON="True",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
        OTEL_SERVICE_NAME="transfergate",
    )
    server.shutdown()
    sent = b"".join(received)
    assert b"transfergate.rows.loaded.sample" in sent
    assert b"transfergate.data.age_days.sample" in sent
