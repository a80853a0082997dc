"""The chain on CeleryExecutor, PostgreSQL, Redis, MLflow and an object store, as production has it.

Beside it the same chain on the embedded Airflow, with the same settings and seeds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import psutil
import pytest

from tests.kept_objects import kept_objects
from tests.topology.compose import ROOT
from tests.topology.conftest import TINY, Cluster, environment_of
from transfergate import steps
from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.retrain import collect
from transfergate.registry.tracking import Tracking, model_name
from transfergate.settings import Settings

pytestmark = [pytest.mark.topology, pytest.mark.timeout(1200)]

WORKERS = {
    "default": {"worker-default"},
    "warehouse": {"worker-warehouse"},
    "gpu": {"worker-cpu-1", "worker-cpu-2"},
}
WAREHOUSE_TASKS = {"validate", "load", "build"}
TRAINING_TASKS = {"pretrain", "backtest", "finetune"}


def environment(home: str) -> dict[str, str]:
    """Of an embedded run with the cluster's settings, artefacts in a folder."""
    return {**os.environ, **environment_of(TINY), "PYTHONPATH": str(ROOT / "include"),
            "TRANSFERGATE_HOME": home, "OMP_NUM_THREADS": "1"}  # fmt: skip


@pytest.fixture(scope="module")
def chain(cluster: Cluster) -> dict[str, Any]:
    """One run of the chain: results, task instances, wall time."""
    began = time.monotonic()
    runs = cluster.run_chain()
    seconds = time.monotonic() - began
    instances = [one for run in runs for one in cluster.instances(run)]
    made = {"seconds": seconds, "tasks": instances, **collect(cluster, runs)}  # type: ignore[arg-type]
    _write_table(cluster, made)
    return made


@pytest.fixture(scope="module")
def embedded(chain, tmp_path_factory) -> tuple[dict[str, Any], Settings]:
    """The same chain by ``make retrain``'s command: its result, and settings that read its home."""
    home = tmp_path_factory.mktemp("embedded")
    result = home / "result.json"
    subprocess.run(
        [sys.executable, "-m", "transfergate.orchestration.retrain", "--source", "synthetic",
         "--result", str(result)],
        cwd=ROOT, env=environment(str(home)), check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    return json.loads(result.read_text()), Settings(home=home)


def _write_table(cluster: Cluster, made: dict[str, Any]) -> None:
    rows = [
        {key: one[key] for key in ("dag_id", "task_id", "map_index", "queue", "pool", "hostname",
                                   "start_date", "duration", "try_number", "state")}
        for one in sorted(made["tasks"], key=lambda one: one["start_date"] or "")
    ]  # fmt: skip
    folder = ROOT / "var" / "topology"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"chain_seconds": made["seconds"], "start_seconds": cluster.loopback.seconds,
              "tasks": rows}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record, indent=1) + "\n")


def _span(one: dict[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(one["start_date"]), datetime.fromisoformat(one["end_date"])


def test_every_task_ran_on_a_worker_of_its_queue(chain):
    ran = [one for one in chain["tasks"] if one["state"] == "success"]
    assert {one["dag_id"] for one in ran} == set(CHAIN)
    for one in ran:
        assert one["hostname"] in WORKERS[one["queue"]], one["task_id"]
    on = {queue: {one["task_id"] for one in ran if one["queue"] == queue} for queue in WORKERS}
    assert on["warehouse"] == WAREHOUSE_TASKS
    assert on["gpu"] == TRAINING_TASKS
    assert {"plan", "fetch", "register", "judge", "promote"} <= on["default"]


def test_two_workers_fine_tuned_at_once(chain):
    first, second = (one for one in chain["tasks"] if one["task_id"] == "finetune")
    assert {first["hostname"], second["hostname"]} == WORKERS["gpu"]
    (a, b), (c, d) = _span(first), _span(second)
    assert max(a, c) < min(b, d)


def test_only_the_warehouse_worker_has_the_warehouse(chain, cluster):
    files = {path.relative_to(cluster.loopback.root).as_posix()
             for path in cluster.loopback.root.rglob("*.duckdb*")}  # fmt: skip
    assert {file.removesuffix(".wal") for file in files} == {"volumes/warehouse/warehouse.duckdb"}


def test_verdicts_and_artefacts_are_those_of_the_embedded_run(
    chain, cluster, embedded, monkeypatch
):
    result, at_home = embedded
    for stage, key in (("features", "snapshot_id"), ("foundation", "foundation_version")):
        assert chain[stage][key] == result[stage][key]
    assert chain["evaluation_id"] == result["evaluation_id"]
    assert chain["promotions"]["promoted"] == result["promotions"]["promoted"] == ["SHARED"]
    settings = cluster.settings(monkeypatch)
    here = steps.summary(settings, chain["evaluation_id"])["tickers"]
    assert _judged(here) == _judged(result["summary"]["tickers"])
    in_bucket, in_folder = (kept_objects(one, besides=("who",)) for one in (settings, at_home))
    assert list(in_bucket) == list(in_folder)
    differ = [key for key in in_folder if in_bucket[key] != in_folder[key]]
    assert differ == [], _first_difference(in_bucket[differ[0]], in_folder[differ[0]])


def _first_difference(one: bytes, other: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    near = slice(max(at - 150, 0), at + 150)
    return f"in the bucket {one[near]!r}, in the folder {other[near]!r}"


def _judged(tickers: dict[str, Any]) -> dict[str, Any]:
    """All that is said of each ticker; of its outcome, which names run and moment, what serves."""
    return {
        ticker: report | {"outcome": report["outcome"].partition(", in run ")[0]}
        for ticker, report in tickers.items()
    }


def test_the_mlflow_server_has_the_champion(chain, cluster, monkeypatch):
    settings = cluster.settings(monkeypatch)
    champion = steps.status(settings)["tickers"]["SHARED"]["champion"]["version"]
    tracking = Tracking(settings.tracking_uri, settings.artefacts_at)
    assert tracking.tracking_uri.startswith("http://127.0.0.1:")
    assert tracking.aliased(model_name("SHARED")) == champion
    assert tracking.aliased(model_name("OPPOSED")) is None


def test_the_pages_read_the_bucket_and_ask_who_reads(chain, cluster):
    page = f"{cluster.url}/transfergate/champions/SHARED"
    with httpx.Client(timeout=60) as browser:
        assert browser.get(page).status_code in (302, 303, 307, 401)
        token = cluster.api._client.headers["Authorization"].removeprefix("Bearer ")
        browser.cookies.set("_token", token)
        seen = browser.get(page)
        assert seen.status_code == 200
        assert "SHARED" in seen.text


def test_every_health_check_of_the_file_passes(chain, cluster):
    names = [n for n, p in cluster.loopback.processes.items() if p.service.health and p.popen]
    assert {"postgres", "redis", "mlflow", "scheduler", "triggerer", "worker-cpu-2"} <= set(names)
    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(names, pool.map(cluster.loopback.healthy, names), strict=True))
    assert {name: said for name, (well, said) in answers.items() if not well} == {}


def test_a_role_reaches_its_own_database_and_no_other(cluster):
    port = cluster.loopback.port("postgres", 5432)

    def may(role: str, database: str) -> bool:
        secret = cluster.secrets[f"{role.upper()}_DB_PASSWORD"]
        done = subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", role, "-d", database, "-qtAc",
             "select rolsuper or rolcreatedb or rolcreaterole from pg_roles "
             "where rolname = current_user"],
            env={"PGPASSWORD": secret, "PATH": os.environ["PATH"]}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.stdout.strip() in ("", "f")
        return done.returncode == 0

    roles = ("airflow", "celery", "mlflow")
    reached = {(role, name) for role in roles for name in (*roles, "postgres") if may(role, name)}
    assert reached == {(role, role) for role in roles}


def test_workers_know_no_key_that_signs(chain, cluster):
    keys = {"AIRFLOW_JWT_SECRET", "AIRFLOW_FERNET_KEY", "AIRFLOW_API_SECRET_KEY",
            "AIRFLOW_DB_PASSWORD", "AIRFLOW_ADMIN_PASSWORD", "POSTGRES_PASSWORD",
            "MLFLOW_DB_PASSWORD"}  # fmt: skip
    values = {cluster.secrets[key] for key in keys}
    for name, process in cluster.loopback.processes.items():
        if name.startswith("worker"):
            assert process.popen is not None
            said = " ".join(psutil.Process(process.popen.pid).environ().values())
            assert [value for value in values if value in said] == [], name


def test_no_log_holds_a_secret(chain, cluster):
    hidden = {key: value for key, value in cluster.secrets.items() if len(value) > 20}
    assert len(hidden) > 10
    root = cluster.loopback.root
    logs = [*root.glob("services/*/log"), *(root / "volumes" / "logs").rglob("*.log")]
    assert len(logs) > 20
    found = [
        (log.relative_to(root).as_posix(), key)
        for log in logs
        for key, value in hidden.items()
        if value in log.read_text(errors="replace")
    ]
    assert found == []
