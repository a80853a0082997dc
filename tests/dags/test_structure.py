"""DAG files parse, cheaply, into the graph that the design names."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from transfergate.orchestration.assets import BY_HAND, CHAIN, MAINTENANCE

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "duckdb", "great_expectations", "mlflow", "pandas", "gymnasium", "pyarrow"}

POOLS = {
    ("ingest_daily_bars", "validate"): ("duckdb_writer", "warehouse"),
    ("ingest_daily_bars", "load"): ("duckdb_writer", "warehouse"),
    ("build_features", "build"): ("duckdb_writer", "warehouse"),
    ("pretrain_foundation", "pretrain"): ("gpu", "gpu"),
    ("pretrain_foundation", "backtest"): ("gpu", "gpu"),
    ("finetune_tickers", "finetune"): ("gpu", "gpu"),
}


def test_all_dags_import_and_no_others(dagbag):
    assert dagbag.import_errors == {}
    assert set(dagbag.dags) == {*CHAIN, *BY_HAND, *MAINTENANCE}


@pytest.mark.golden
def test_tasks_edges_and_outlets_are_the_designed_ones(dagbag, golden):
    lines = []
    for dag_id in (*CHAIN, *BY_HAND, *MAINTENANCE):
        for task in dagbag.dags[dag_id].topological_sort():
            below = " ".join(sorted(task.downstream_task_ids)) or "."
            outlets = "".join(f"  => {asset.name}" for asset in task.outlets)
            lines.append(f"{dag_id}: {task.task_id} -> {below}{outlets}")
    golden("dag_edges.txt", "\n".join(lines) + "\n")


def test_each_asset_wakes_the_next_dag_when_retraining_on_assets():
    """In a process of its own: schedules are read when the files are parsed."""
    code = (
        "import json\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "woken_by = lambda dag: getattr(dag.timetable.asset_condition, 'objects', [])\n"
        "print(json.dumps({dag_id: [asset.name for asset in woken_by(dag)]\n"
        "                  for dag_id, dag in DagBag('dags').dags.items()}))\n"
    )
    environment = {"TRANSFERGATE_SCHEDULES__RETRAIN": "asset",
                   "TRANSFERGATE_SCHEDULES__INGEST": "manual"}  # fmt: skip
    found = json.loads(_run(code, environment).splitlines()[-1])
    assert found == {
        "ingest_daily_bars": [],
        "build_features": ["bars"],
        "pretrain_foundation": ["features"],
        "finetune_tickers": ["foundation"],
        "roll_back_champion": [],
        "prune_artefacts": [],
    }


def test_default_schedules_are_daily_after_the_close_and_monthly(dagbag):
    ingest = dagbag.dags["ingest_daily_bars"].timetable
    pretrain = dagbag.dags["pretrain_foundation"].timetable
    assert (ingest.expression, str(ingest.timezone)) == ("0 18 * * 1-5", "America/New_York")
    prune = dagbag.dags["prune_artefacts"]
    assert (prune.timetable.expression, prune.is_paused_upon_creation) == ("0 3 * * 0", None)
    assert (pretrain.expression, str(pretrain.timezone)) == ("0 20 1 * *", "America/New_York")


@pytest.mark.parametrize("dag_id", [*CHAIN, *BY_HAND, *MAINTENANCE])
def test_house_rules_of_a_dag(dagbag, dag_id):
    dag = dagbag.dags[dag_id]
    assert dag.catchup is False
    assert "transfergate" in dag.tags
    assert dag.doc_md.startswith(f"{dag_id}: ")
    for heading in ("**When it runs.**", "**What it writes.**", "**When it fails.**"):
        assert heading in dag.doc_md
    assert dag.dag_display_name != dag_id
    assert dag.description
    if getattr(dag.timetable.asset_condition, "objects", []):
        assert dag.max_active_runs > 1, "one active run loses asset events"
    for task in dag.tasks:
        assert len(task.doc_md.strip()) > 60, f"{task.task_id} does not explain itself in the UI"
        assert task.retry_policy is not None
        assert task.on_failure_callback


def test_a_source_that_never_answers_is_given_up(dagbag):
    fetch = dagbag.dags["ingest_daily_bars"].get_task("fetch")
    assert fetch.partial_kwargs["execution_timeout"] == timedelta(hours=2)


def test_a_backfill_of_training_or_of_maintenance_is_refused(dagbag):
    """One run a date would train a model a date, all of them on the newest snapshot."""
    for dag_id in ("pretrain_foundation", "prune_artefacts"):
        assert "backfill" not in {kind.value for kind in dagbag.dags[dag_id].allowed_run_types}
    assert dagbag.dags["ingest_daily_bars"].allowed_run_types is None
    for dag_id in ("build_features", "finetune_tickers"):
        assert dagbag.dags[dag_id].timetable.asset_condition, "Airflow refuses to backfill these"


def test_pools_exist_and_the_warehouse_has_one_writer(dagbag):
    pools = json.loads((ROOT / "include/pools.json").read_text())
    found = {
        (dag_id, task.task_id): (task.pool, task.queue)
        for dag_id, dag in dagbag.dags.items()
        for task in dag.tasks
        if task.pool != "default_pool" or task.queue != "default"
    }
    assert found == POOLS
    assert {pool for pool, _ in found.values()} == set(pools)
    assert pools["duckdb_writer"]["slots"] == 1


def test_parsing_imports_nothing_heavy():
    code = (
        "import runpy, sys, glob, json\n"
        "for path in sorted(glob.glob('dags/*.py')): runpy.run_path(path)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    loaded = set(json.loads(_run(code).splitlines()[-1]))
    assert "airflow" in loaded
    assert loaded & HEAVY == set()


def test_the_plugin_imports_no_web_framework():
    code = (
        "import runpy, sys, glob, json\n"
        "for path in sorted(glob.glob('plugins/*.py')): runpy.run_path(path)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    loaded = set(json.loads(_run(code).splitlines()[-1]))
    assert loaded & (HEAVY | {"fastapi", "starlette"}) == set()


def _run(code: str, environment: dict[str, str] | None = None) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "include")} | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
