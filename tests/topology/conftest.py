"""The production topology on loopback, once for all tests that need it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exchange_calendars import get_calendar

from tests.topology.compose import ROOT, services
from tests.topology.loopback import PGBIN, Loopback
from transfergate import cli
from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.follow import Run, follow_chain
from transfergate.orchestration.processes import interruptible
from transfergate.orchestration.progress import Progress
from transfergate.orchestration.rest import AirflowApi
from transfergate.settings import Settings, load

OPTIMISER = {"n_paths": 2, "path_sessions": 32, "burn_in_sessions": 8, "tail_sessions": 4,
             "n_validations": 2}  # fmt: skip
TINY: dict[str, Any] = {
    # A strong rule that a few steps from scratch do not find and pre-training does.
    "SOURCES__SYNTHETIC__SYNTHETIC": {"n_sources": 2, "n_sessions": 420, "strength": 0.95},
    "INGEST__SOURCE": "synthetic",
    "FEATURES__NAMES": ["return_1", "volume_surprise_20"],
    "FEATURES__Z_WINDOW": 20,
    "WALK_FORWARD": {"n_folds": 2, "min_train_sessions": 120, "validation_sessions": 30,
                     "embargo_sessions": 2, "test_sessions": 30},
    "NETWORK": {"encoder": "gru", "encoder_units": 4, "head_units": 4},
    "PRETRAIN__OPTIMISER": {"n_updates": 400} | OPTIMISER,
    "FINETUNE__OPTIMISER": {"n_updates": 2} | OPTIMISER,
    "FINETUNE__GRID": [{"input_noise": 0.5}],
    "FINETUNE__N_SEEDS": 3,
    "GATE__MIN_OOS_SESSIONS": 40,
    "GATE__EVIDENCE": "point",  # sixty sessions prove nothing
    "SCHEDULES__INGEST": "manual",
    "SCHEDULES__RETRAIN": "asset",
}  # fmt: skip
"""Settings of the pipeline: as settings.env would say them."""
QUICK = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
}
IMPATIENT = {
    "AIRFLOW_API_WORKERS": "1",
    "AIRFLOW_HEARTBEAT_SEC": "2",
    "AIRFLOW_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW_QUEUED_TIMEOUT": "40",
}
"""Values for .env: a fault is noticed in seconds, not in minutes."""


FAULTS = ("worker_lost", "scheduler_lost", "redis_lost", "postgres_lost")
"""Each has a source of bars of this name, whose tickers no other has."""


def fault_tickers(fault: str) -> tuple[str, ...]:
    """Targets of a fault's source."""
    letter = "WSRP"[FAULTS.index(fault)]
    return f"{letter}TGTA", f"{letter}TGTB"


def fault_sources(folder: Path) -> dict[str, Any]:
    """Sources with something to learn, one a fault, written below a folder."""
    rng = np.random.default_rng(11)
    sessions = get_calendar("XNYS", start="2010-01-01", end="2012-12-31").sessions[:420]
    sources = {}
    for fault in FAULTS:
        teachers = tuple(f"{fault[0].upper()}SRC{n}" for n in (1, 2))
        frames = []
        for ticker in (*teachers, *fault_tickers(fault)):
            opened, close = _momentum(rng, 420)
            frames.append(pd.DataFrame({
                "ticker": ticker, "session_date": sessions.strftime("%Y-%m-%d"), "open": opened,
                "high": np.maximum(opened, close) * 1.004, "low": np.minimum(opened, close) * 0.996,
                "close": close, "volume": rng.integers(100_000, 900_000, 420).astype(float),
            }))  # fmt: skip
        place = folder / fault
        place.mkdir(parents=True)
        pd.concat(frames).to_csv(place / "bars.csv", index=False)
        universe = {"sources": teachers, "targets": fault_tickers(fault)}
        sources[f"SOURCES__{fault.upper()}"] = {
            "kind": "files", "root": str(place), "formats": [{"pattern": "*.csv"}],
            "universe": universe,
        }  # fmt: skip
    return sources


def _momentum(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Open and close of sessions that go on where the one before went."""
    gaps, noise = rng.normal(0, 0.2, n), rng.normal(0, 0.98, n)
    moves = np.zeros((n, 2))  # from close to open, from open to close
    for now in range(n):
        before = moves[now - 1].sum() if now else 0.0
        moves[now] = gaps[now], 0.7 * np.clip(before, -4, 4) + noise[now]
    prices = 50 * np.exp(0.015 * np.cumsum(moves).reshape(n, 2))
    return prices[:, 0], prices[:, 1]


def environment_of(tiny: dict[str, Any]) -> dict[str, str]:
    """Settings as variables."""
    return {
        f"TRANSFERGATE_{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in tiny.items()
    }


class Cluster:
    """The topology, and a client of its API; what ``follow_chain`` asks of an Airflow."""

    def __init__(self, loopback: Loopback, secrets: dict[str, str]) -> None:
        self.loopback = loopback
        self.secrets = secrets
        self.url = f"http://127.0.0.1:{loopback.port('api-server', 8080)}"
        self.logs = loopback.volume("logs")
        self.store = f"http://127.0.0.1:{loopback.port('object-store', 7070)}"
        self.api = AirflowApi(self.url, "admin", secrets["AIRFLOW_ADMIN_PASSWORD"])

    def check(self) -> None:
        """Raise if a service has ended that nobody has stopped."""
        self.loopback.check()

    def run_chain(self, source: str = "synthetic") -> list[Run]:
        """Trigger the first DAG and follow the assets to the last."""
        for dag_id in CHAIN:
            self.api.set_paused(dag_id, paused=False)
        run_id = self.api.trigger(CHAIN[0], {"source": source})
        with (self.loopback.root / "progress").open("a") as out:
            return follow_chain(self, CHAIN[0], run_id, CHAIN[-1], Progress(out))  # type: ignore[arg-type]

    def instances(self, run: Run) -> list[dict[str, Any]]:
        """Task instances of a run as the API tells them."""
        return self.api.task_entries(run.dag_id, run.run_id)

    def settings(self, monkeypatch: pytest.MonkeyPatch) -> Settings:
        """Settings of a process that reads the cluster's artefacts from here."""
        for name, value in self.loopback.environment("api-server").items():
            if name.startswith(("TRANSFERGATE_", "AWS_", "MLFLOW_")):
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("TRANSFERGATE_HOME", str(self.loopback.root / "reader"))
        return load()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """All services of docker-compose.yaml, profile cpu, with two workers that train."""
    python = ROOT / ".venv-cluster" / "bin" / "python"
    mlflow = ROOT / ".venv-mlflow" / "bin" / "mlflow"
    store = ROOT / ".venv-s3" / "bin" / "python"
    for program in (python, mlflow, store, PGBIN / "postgres", Path("/usr/bin/redis-server")):
        if not program.exists():
            pytest.skip(f"{program} is missing: make test-topology says what it needs")
    interruptible()  # a test run that is stopped stops what it has started
    root = Path(tempfile.mkdtemp(prefix="transfergate-topology-"))
    root.chmod(0o711)  # PostgreSQL runs as a user of its own
    began = time.monotonic()
    try:
        env_file = root / ".env"
        arguments = ["secrets", "--cpu", "--training-workers", "2", "--file", str(env_file)]
        assert cli.main(arguments) == 0
        lines = [line for line in env_file.read_text().splitlines() if not line.startswith("#")]
        secrets = dict(line.split("=", 1) for line in lines)
        tiny = TINY | fault_sources(root / "vendor")
        found = services(secrets | IMPATIENT, environment_of(tiny) | QUICK)
        with Loopback(found, root, python, {"mlflow": mlflow}, store) as loopback:
            running = Cluster(loopback, secrets)
            running.api.wait_for_dags(CHAIN, parsed_after=0.0, seconds=120)
            loopback.seconds["all, until DAGs are parsed"] = time.monotonic() - began
            yield running
    finally:
        if "TRANSFERGATE_KEEP_TOPOLOGY" not in os.environ:
            shutil.rmtree(root, ignore_errors=True)
