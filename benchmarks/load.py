"""Many tickers through the fine-tuning DAG: ``python -m benchmarks.load --tickers 50,500``.

Planted markets of 700 sessions, two folds, three seeds, one choice of the grid, a small network
and few updates: small budgets, so that what Airflow adds weighs most. Bars, features and a
foundation are made once, without Airflow. Then ``finetune_tickers`` runs as it is, from ``plan``
over the mapped ``finetune`` and ``judge`` to ``promote``: in the embedded Airflow (SQLite,
LocalExecutor, two training tasks at a time) or, with ``--executor celery``, in the services of
docker-compose.yaml as processes on loopback (PostgreSQL, Redis, two workers that train, MLflow's
server, an S3 server; it needs what ``make test-topology`` needs). ``--per-task`` sets
``finetune.tickers_per_task``.

Overhead, work and start-up are defined in ``_overhead.py`` and read from Airflow's own records.
``overhead_share`` is over all tasks of the run, ``finetune_share`` over the mapped ones; the peer
is the goal, 0.10. ``--home`` keeps bars, features and foundation between runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks._harness import Figures, Row, figure, finish
from benchmarks._overhead import Ran, of_run, ran, together
from benchmarks._prepared import prepared
from transfergate.orchestration.processes import interruptible
from transfergate.orchestration.rest import instance_of

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("plan", "finetune", "judge", "who_decides", "promote")
DAG, PATIENCE, SLOTS, GOAL = "finetune_tickers", 1500.0, 2, 0.10
SOURCES = 2
BUDGET: dict[str, Any] = {
    "INGEST__SOURCE": "synthetic",
    "WALK_FORWARD": {"n_folds": 2, "min_train_sessions": 252, "validation_sessions": 40,
                     "embargo_sessions": 2, "test_sessions": 126},
    "NETWORK": {"encoder": "gru", "encoder_units": 8, "head_units": 8},
    "PRETRAIN__OPTIMISER": {"n_updates": 10, "n_validations": 1},
    "PRETRAIN__ADMIT_CONSTANT": "true",
    "FINETUNE__GRID": [{"input_noise": 0.3}],
    "FINETUNE__N_SEEDS": "3",
    "SCHEDULES__RETRAIN": "manual",
    "APPROVAL__BY": "auto",
}  # fmt: skip


def variables(tickers: int, updates: int, per_task: int) -> dict[str, str]:
    """Settings of a run, as variables of the environment."""
    synthetic = {"n_sources": max(tickers + SOURCES - 2, SOURCES), "n_sessions": 700}
    values = BUDGET | {
        "SOURCES__SYNTHETIC__SYNTHETIC": synthetic,
        "SOURCES__SYNTHETIC__UNIVERSE": {"sources": list(names(tickers)[:SOURCES])},
        "FINETUNE__OPTIMISER": {"n_updates": updates, "n_validations": 1},
        "FINETUNE__TICKERS_PER_TASK": str(per_task),
    }
    return {
        f"TRANSFERGATE_{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }


def names(tickers: int) -> tuple[str, ...]:
    """The sources, then the targets."""
    width = max(2, len(str(tickers + SOURCES - 2)))
    drawn = tuple(f"SRC{number:0{width}d}" for number in range(1, tickers + SOURCES - 1))
    return (*drawn, "SHARED", "OPPOSED")


def prepare(home: Path, tickers: int) -> str:
    """Bars, features and a foundation below a home, if they are not there yet; its version."""
    from transfergate import steps

    sources, targets = names(tickers)[:SOURCES], names(tickers)[SOURCES:]
    return prepared(
        home,
        lambda settings, snapshot: steps.pretrain_foundation(settings, snapshot, sources, targets),
    )


@contextmanager
def embedded(home: Path) -> Iterator[Any]:
    """The embedded Airflow on a home, whose settings stand in the environment."""
    from transfergate import settings as settings_module
    from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment

    settings = settings_module.load()
    more = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600"}
    begin = time.time()
    with EmbeddedAirflow(settings, settings_environment(settings) | more) as airflow:
        airflow.start_scheduler()
        airflow.api.put_pool("gpu", {"slots": SLOTS, "description": "", "include_deferred": False})
        airflow.api.wait_for_dags((DAG,), parsed_after=begin, seconds=180.0)
        yield airflow


@contextmanager
def celery(home: Path, chosen: dict[str, str]) -> Iterator[Any]:
    """The services of docker-compose.yaml on loopback, with a home's artefacts in their bucket."""
    from tests.topology.compose import services
    from tests.topology.conftest import Cluster
    from tests.topology.loopback import Loopback
    from transfergate import cli
    from transfergate import settings as settings_module
    from transfergate.storage import open_store

    before = open_store(settings_module.load())
    root = Path(tempfile.mkdtemp(prefix="transfergate-load-"))
    root.chmod(0o711)  # PostgreSQL runs as a user of its own
    file = root / ".env"
    cli.main(["secrets", "--cpu", "--training-workers", str(SLOTS), "--file", str(file)])
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    secrets = dict(line.split("=", 1) for line in lines)
    mlflow = {"mlflow": ROOT / ".venv-mlflow" / "bin" / "mlflow"}
    python, store = (ROOT / venv / "bin" / "python" for venv in (".venv-cluster", ".venv-s3"))
    try:
        with Loopback(services(secrets, chosen), root, python, mlflow, store) as loopback:
            running = Cluster(loopback, secrets)
            own = loopback.environment("api-server")
            with _in_environment({k: v for k, v in own.items() if k.startswith("AWS_")}):
                bucket = open_store(
                    settings_module.Settings(artefacts=own["TRANSFERGATE_ARTEFACTS"])
                )
                for key in before.keys(""):
                    if not key.startswith("data_docs/"):
                        bucket.replace(key, before.read(key))
            running.api.wait_for_dags((DAG,), parsed_after=0.0, seconds=180.0)
            yield running
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _in_environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


class Peaks(threading.Thread):
    """The largest resident memory of any process that this one has started, by moment."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, float]] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(1.0):
            sizes = [0.0]
            for process in psutil.Process().children(recursive=True):
                try:
                    command = " ".join(process.cmdline())
                    if "worker" in command or "supervisor" in command:
                        sizes.append(process.memory_info().rss / 1e6)
                except psutil.Error:
                    continue
            self.seen.append((time.time(), max(sizes)))

    def within(self, task: Ran) -> float:
        """Megabytes at most while a task ran."""
        return max((mb for when, mb in self.seen if task.start <= when <= task.end), default=0.0)


def follow(airflow: Any, version: str) -> dict[str, Any]:
    """Run the DAG to its end: when it was queued, its tasks, and what passed between them."""
    airflow.api.set_paused(DAG, paused=False)
    begin = time.time()
    run = airflow.api.trigger(DAG, {"foundation_version": version})
    while (state := airflow.api.run_state(DAG, run)) in ("queued", "running"):
        airflow.check()
        if time.time() - begin > PATIENCE:
            raise SystemExit(f"{DAG} was not done after {PATIENCE:.0f} s")
        time.sleep(1.0)
    if state != "success":
        raise SystemExit(f"{DAG} ended {state}; task logs lie below {airflow.logs}")
    tasks = [
        ran(one, instance_of(one).log(airflow.logs))
        for one in airflow.api.task_entries(DAG, run)
        if one["state"] == "success"
    ]
    groups = [one.map_index for one in tasks if one.task_id == "finetune"]
    passed = [len(json.dumps(airflow.api.result(DAG, run, "finetune", one))) for one in groups]
    return {"begin": begin, "tasks": tasks, "xcom_bytes": passed}


def measure(executor: str, tickers: int, options: argparse.Namespace) -> dict[str, Any]:
    """One run of the DAG on an executor; its figures."""
    per_task = options.per_task or max(8, -(-tickers // (4 * SLOTS)))
    chosen = variables(tickers, options.updates, per_task)
    base = options.home / f"load-{tickers}"
    os.environ.update(chosen | {"TRANSFERGATE_HOME": str(base)})
    base.mkdir(parents=True, exist_ok=True)
    version = prepare(base, tickers)
    peaks = Peaks()
    if executor == "celery":
        with celery(base, chosen) as airflow:
            peaks.start()
            seen = follow(airflow, version)
    else:
        own = options.home / "run"
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(base, own)
        os.environ["TRANSFERGATE_HOME"] = str(own)
        with embedded(own) as airflow:
            peaks.start()
            seen = follow(airflow, version)
        shutil.rmtree(own)
    peaks.ended.set()
    return _told(seen, peaks, tickers)


def _told(seen: dict[str, Any], peaks: Peaks, tickers: int) -> dict[str, Any]:
    tasks: list[Ran] = seen["tasks"]
    shares = of_run(tasks, ORDER, seen["begin"], SLOTS)
    every, mapped = together(shares), shares["finetune"]
    one = {task.task_id: task for task in tasks if task.map_index < 0}
    return {
        "wall_s": max(task.end for task in tasks) - seen["begin"],
        "tasks": every.tasks,
        "finetune_tasks": mapped.tasks,
        "tickers_per_task": tickers / mapped.tasks,
        "finetune_work_s": mapped.work,
        "overhead_per_task_s": every.per_task,
        "finetune_overhead_per_task_s": mapped.per_task,
        "finetune_start_up_per_task_s": mapped.start_up / mapped.tasks,
        "queue_median_s": mapped.queued,
        "overhead_share": every.of_work,
        "finetune_share": mapped.of_work,
        "finetune_share_with_start_up": mapped.of_work_with_start_up,
        "judge_s": one["judge"].seconds,
        "promote_s": one["promote"].seconds,
        "judge_peak_mb": peaks.within(one["judge"]),
        "finetune_peak_mb": max(peaks.within(task) for task in tasks if task.task_id == "finetune"),
        "xcom_largest_bytes": max(seen["xcom_bytes"]),
        "xcom_all_bytes": sum(seen["xcom_bytes"]),
    }


def figures_of(executor: str, tickers: int, found: dict[str, Any]) -> Figures:
    """Rows of one run: shares beside their goal, the rest plain."""

    def row(name: str, value: float) -> Row:
        if name in ("overhead_share", "finetune_share"):
            return figure(value, GOAL, "the goal", less_is_better=True, goal=1.0)
        return figure(value, None, "none")

    return {f"{executor}_{tickers}_{name}": row(name, value) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--tickers", default="50,500", help="counts of targets, comma separated")
    parser.add_argument("--executor", choices=("embedded", "celery"), default="embedded")
    parser.add_argument("--updates", type=int, default=5, help="of each fit")
    parser.add_argument("--per-task", type=int, help="default: four tasks for each slot")
    parser.add_argument("--home", type=Path, help="kept between runs; default: a temporary one")
    parser.add_argument("--prepare", action="store_true", help="only bars, features, foundation")
    options = parser.parse_args()
    interruptible()  # a terminated benchmark stops what it has started
    kept, options.home = options.home, (options.home or Path(tempfile.mkdtemp(prefix="load-")))
    options.home = options.home.resolve()
    figures: Figures = {}
    for tickers in (int(text) for text in options.tickers.split(",")):
        if options.prepare:
            os.environ.update(variables(tickers, options.updates, 8))
            os.environ["TRANSFERGATE_HOME"] = str(options.home / f"load-{tickers}")
            (options.home / f"load-{tickers}").mkdir(parents=True, exist_ok=True)
            prepare(options.home / f"load-{tickers}", tickers)
            continue
        found = measure(options.executor, tickers, options)
        figures |= figures_of(options.executor, tickers, found)
    if kept is None:
        shutil.rmtree(options.home)
    finish(figures, as_json=options.json)


if __name__ == "__main__":
    main()
