"""Wall time of the fine-tuning DAG through a real Airflow: ``python -m benchmarks.dag --json``.

40 planted tickers x 4 folds x 5 seeds x 2 arms, one choice of the grid, 1,300 sessions, the default
network, features and budget. Bars, features and a foundation (8 further tickers, few updates) are
made once, without Airflow. Then ``finetune_tickers`` runs in an embedded Airflow (SQLite,
LocalExecutor, two tasks at a time on two cores) on a copy of them: from the run's start to its end,
so with the start of every task, scoring, permutation importance, the refits, the gate and the
promotions, and without the start of Airflow itself.

``after`` is the default: the fits of 5 tickers are one stack in each of 8 tasks. ``before`` is the
same DAG on the first ``--sample`` tickers with one ticker a task and one fit after another: in its
processes a group has one model. The time from the first fine-tuning task's start to the last one's
end is multiplied by 40 / sample, the rest of the run is added once. What each way took is kept
below ``--home``, so that ``--ways`` can run one of them at a time; an interrupted way starts anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks._harness import Figures, figure, finish
from benchmarks._prepared import prepared
from transfergate.orchestration.processes import interruptible
from transfergate.settings import Settings

TARGETS = (*(f"SRC{number:02d}" for number in range(1, 39)), "OPPOSED", "SHARED")
SOURCES = tuple(f"SRC{number:02d}" for number in range(39, 47))
WAYS = {"before": 1, "after": 8}
"""``finetune.tickers_per_task`` of each."""
ONE_BY_ONE = '''\
"""Read by every Python process: a group of models that are updated together has one model."""
import importlib.util
import sys

NAME = "transfergate.learning.groups"


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            module.CPU_MODELS_AT_ONCE = 1
            from transfergate.learning import exact

            # A stack of many models would be solved as such, of one as few paths are: faster.
            exact.BANDED_BELOW_PATHS = 1 << 30

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
'''
"""``sitecustomize.py`` of the processes of ``before``."""
DAG, PATIENCE = "finetune_tickers", 1800.0


def choose(home: Path, updates: int, per_task: int) -> None:
    """Put the settings of a run into this process's environment, which Airflow inherits."""
    universe = {"sources": SOURCES, "targets": TARGETS}
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
    from transfergate.steps import chain

    def pretrain(settings: Settings, snapshot: str) -> str:
        return str(chain.pretrain_all(settings, snapshot)["foundation_version"])

    return prepared(home, pretrain)


def wall(home: Path, version: str, tickers: int, one_by_one: bool) -> dict[str, float]:
    """What one run of the DAG below a home took.

    Returns:
        Seconds of the whole run, ``wall``; from the first start of a task that fine-tunes to the
        last one's end, ``finetune``; and how many tasks fine-tuned, ``tasks``.
    """
    from transfergate import settings as settings_module
    from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment

    settings = settings_module.load()
    environment = settings_environment(settings) | {
        "TRANSFERGATE_SCHEDULES__RETRAIN": "manual",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    }
    if one_by_one:
        folder = home / "one_by_one"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(ONE_BY_ONE)
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    begin = time.time()
    with EmbeddedAirflow(settings, environment) as airflow:
        airflow.start_scheduler()
        airflow.api.wait_for_dags((DAG,), parsed_after=begin, seconds=180.0)
        airflow.api.set_paused(DAG, paused=False)
        begin = time.perf_counter()
        asked = {"foundation_version": version, "targets": list(TARGETS[:tickers])}
        run = airflow.api.trigger(DAG, asked)
        while (state := airflow.api.run_state(DAG, run)) in ("queued", "running"):
            airflow.check()
            if time.perf_counter() - begin > PATIENCE:
                raise SystemExit(f"{DAG} was not done after {PATIENCE:.0f} s")
            time.sleep(0.5)
        took = time.perf_counter() - begin
        tasks = [t for t in airflow.api.task_instances(DAG, run) if t.task_id == "finetune"]
    if state != "success":
        raise SystemExit(f"{DAG} ended {state}; task logs lie below {airflow.logs}")
    ends = [datetime.fromisoformat(task.ended).timestamp() for task in tasks]
    starts = [end - (task.seconds or 0.0) for task, end in zip(tasks, ends, strict=True)]
    return {"wall": took, "finetune": max(ends) - min(starts), "tasks": len(tasks)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--updates", type=int, default=100, help="of each fit")
    parser.add_argument("--tickers", type=int, default=len(TARGETS), help="of after")
    parser.add_argument("--sample", type=int, default=8, help="tickers of before, an even number")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--home", type=Path, help="kept between runs; default: a temporary one")
    options = parser.parse_args()
    interruptible()  # a terminated benchmark stops its Airflow
    home = (options.home or Path(tempfile.mkdtemp(prefix="dag-"))).resolve()
    base, kept = home / "base", home / f"seconds-{options.updates}.json"
    base.mkdir(parents=True, exist_ok=True)
    choose(base, options.updates, 1)
    version = prepare(base)
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for way in options.ways:
        own, tickers = home / way, options.tickers if way == "after" else options.sample
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(base, own)
        choose(own, options.updates, WAYS[way])
        found[way] = wall(own, version, tickers, way == "before") | {"tickers": tickers}
        kept.write_text(json.dumps(found))
        shutil.rmtree(own)
    if options.home is None:
        shutil.rmtree(home)
    finish(figures_of(found, options.updates), as_json=options.json)


def figures_of(found: dict[str, Any], updates: int) -> Figures:
    """The rows, of the ways that ran."""
    after, before = found.get("after", {}), found.get("before", {})
    tickers = after.get("tickers", len(TARGETS))
    said = f"{tickers * 4 * 5 * 2:,} fits and {tickers} refits of {updates} updates"
    walls, spans = [after.get("wall"), None], [after.get("finetune"), None]
    if before:
        spans[1] = before["finetune"] * tickers / before["tickers"]
        walls[1] = before["wall"] - before["finetune"] + spans[1]
        said += (
            f"; before: {before['tickers']} tickers were run in {before['wall']:.0f} s, their "
            f"fine-tuning ({before['finetune']:.0f} s) multiplied"
        )
    peer = "the same DAG, one ticker a task, one fit after another"
    return {
        name: figure(ours, other, peer, less_is_better=True, note=said)
        for name, (ours, other) in {
            "finetune_dag_wall_s": walls,
            "finetune_dag_tasks_that_finetune_s": spans,
        }.items()
    }


if __name__ == "__main__":
    main()
