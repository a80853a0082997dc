"""Wall time of the fine-tuning DAG through a real Airflow: ``python -m benchmarks.dag --json``.

40 planted tickers x 4 folds x 5 seeds x 2 arms, one choice of the grid, 1,300 sessions, the default
network and features. Bars, features and a foundation (of 8 further tickers, few updates) are made
once, without Airflow. Then ``finetune_tickers`` runs in an embedded Airflow (SQLite, LocalExecutor,
two tasks at a time on two cores) on a copy of them: from the run's start to its end, so with the
start of every task, scoring, permutation importance, the refits, the gate and the promotions, and
without the start of Airflow itself. ``peer`` is one ticker a task (``finetune.tickers_per_task`` 1:
40 tasks), ours the default (8 tasks of 5). What grouping saves does not depend on the updates, so
``--updates`` is few by default and said in the row; ``--ways`` splits the two runs, whose seconds
are kept below ``--home``, by tickers and updates.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._harness import Figures, figure, finish
from transfergate.orchestration.processes import interruptible

TARGETS = (*(f"SRC{number:02d}" for number in range(1, 39)), "OPPOSED", "SHARED")
SOURCES = tuple(f"SRC{number:02d}" for number in range(39, 47))
WAYS = {"before": 1, "after": 8}
"""``finetune.tickers_per_task`` of each."""
DAG, PATIENCE = "finetune_tickers", 1800.0


def choose(home: Path, updates: int, tickers: int, per_task: int) -> None:
    """Put the settings of a run into this process's environment, which Airflow inherits."""
    universe = {"sources": SOURCES, "targets": TARGETS[-tickers:]}
    synthetic = {"n_sources": 46, "n_sessions": 1300}
    values: dict[str, Any] = {
        "HOME": str(home),
        "INGEST__SOURCE": "synthetic",
        "SOURCES__SYNTHETIC__SYNTHETIC": synthetic,
        "SOURCES__SYNTHETIC__UNIVERSE": universe,
        "WALK_FORWARD": {"n_folds": 4},
        "PRETRAIN__OPTIMISER": {"n_updates": 20, "n_validations": 1},
        "PRETRAIN__ADMIT_CONSTANT": "true",
        "FINETUNE__OPTIMISER": {"n_updates": updates, "n_validations": 2},
        "FINETUNE__GRID": [{"input_noise": 0.3}],
        "FINETUNE__N_SEEDS": 5,
        "FINETUNE__TICKERS_PER_TASK": str(per_task),
        "APPROVAL__BY": "auto",
    }
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        os.environ[f"TRANSFERGATE_{key}"] = text


def prepare(home: Path) -> str:
    """Bars, features and a foundation below a home, if they are not there yet; its version."""
    done = home / "prepared.json"
    if done.exists():
        return str(json.loads(done.read_text()))
    from transfergate import settings as settings_module
    from transfergate import steps
    from transfergate.steps import chain

    settings = settings_module.load()
    bars = chain.ingest_all(settings, source="synthetic")
    made = steps.build_features(settings, bars["source"])
    version = chain.pretrain_all(settings, made["snapshot_id"])["foundation_version"]
    done.write_text(json.dumps(version))
    return str(version)


def wall(home: Path, version: str) -> tuple[float, int]:
    """Seconds of one run of the DAG below a home, and how many tasks fine-tuned."""
    from transfergate import settings as settings_module
    from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment

    settings = settings_module.load()
    environment = settings_environment(settings) | {
        "TRANSFERGATE_SCHEDULES__RETRAIN": "manual",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    }
    begin = time.time()
    with EmbeddedAirflow(settings, environment) as airflow:
        airflow.start_scheduler()
        airflow.api.wait_for_dags((DAG,), parsed_after=begin, seconds=180.0)
        airflow.api.set_paused(DAG, paused=False)
        begin = time.perf_counter()
        run = airflow.api.trigger(DAG, {"foundation_version": version})
        while (state := airflow.api.run_state(DAG, run)) in ("queued", "running"):
            airflow.check()
            if time.perf_counter() - begin > PATIENCE:
                raise SystemExit(f"{DAG} was not done after {PATIENCE:.0f} s")
            time.sleep(0.5)
        took = time.perf_counter() - begin
        tasks = airflow.api.task_instances(DAG, run)
    if state != "success":
        raise SystemExit(f"{DAG} ended {state}; task logs lie below {airflow.logs}")
    return took, sum(one.task_id == "finetune" for one in tasks)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--updates", type=int, default=25, help="of each fit")
    parser.add_argument("--tickers", type=int, default=40)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--home", type=Path, help="kept between runs; default: a temporary one")
    options = parser.parse_args()
    interruptible()  # a terminated benchmark stops its Airflow
    home = (options.home or Path(tempfile.mkdtemp(prefix="dag-"))).resolve()
    home.mkdir(parents=True, exist_ok=True)
    base = home / f"base-{options.tickers}"
    kept = home / f"seconds-{options.tickers}-{options.updates}.json"
    choose(base, options.updates, options.tickers, 1)
    base.mkdir(exist_ok=True)
    version = prepare(base)
    seconds: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for way in options.ways:
        own = home / way
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(base, own)
        choose(own, options.updates, options.tickers, WAYS[way])
        seconds[way] = wall(own, version)
        kept.write_text(json.dumps(seconds))
        shutil.rmtree(own)
    if options.home is None:
        shutil.rmtree(home)
    finish(figures_of(seconds, options.tickers, options.updates), as_json=options.json)


def figures_of(seconds: dict[str, Any], tickers: int, updates: int) -> Figures:
    """The row, of the ways that ran."""
    ours, tasks = seconds.get("after", (None, 0))
    peer, before = seconds.get("before", (None, 0))
    fits = tickers * 4 * 5 * 2
    said = (
        f"{fits:,} fits and {tickers} refits of {updates} updates; {tasks} tasks that fine-tune "
        f"against {before}; both with all that the DAG does besides"
    )
    return {
        "finetune_dag_wall_s": figure(
            ours, peer, "the same DAG, one ticker a task", less_is_better=True, note=said
        )
    }


if __name__ == "__main__":
    main()
