"""A real Airflow with records of every kind, and runs that are old."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.made_records import chain
from transfergate.evaluation.gate import unjudged
from transfergate.orchestration.assets import BY_HAND, CHAIN, MAINTENANCE
from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment
from transfergate.settings import GateParams, RetentionParams, Settings

DAG_OF_RUNS = "build_features"
EVALUATION = "e1e1e1e1e1e1e1e1"
VERDICTS = {
    "evaluation_id": EVALUATION,
    "foundation_version": "f1",
    "config": GateParams().model_dump(mode="json"),
    "pool": {},
    "tickers": {"AAA": unjudged("INVALID", ["broken"], GateParams()) | {"candidate": None}},
}


@pytest.fixture(scope="module")  # a whole session would keep it running beside other tests
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAirflow]:
    """An Airflow without a scheduler, on an installation with records of every kind."""
    settings = Settings(home=tmp_path_factory.mktemp("pages"))
    chain(settings.artefact_root)
    files = {
        f"evaluations/{EVALUATION}/report.html": "<p>verdicts of e1</p>",
        f"evaluations/{EVALUATION}/verdicts.json": json.dumps(VERDICTS),
        "data_docs/index.html": "<p>what was checked</p>",
        "champions/secret.json": "{}",
    }
    for name, text in files.items():
        file = settings.artefact_root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (settings.artefact_root / f"evaluations/{EVALUATION}/link").symlink_to(
        settings.artefact_root / "champions/secret.json"
    )
    started = time.time()
    with EmbeddedAirflow(settings, settings_environment(settings)) as running:
        running.api.wait_for_dags(
            (*CHAIN, *BY_HAND, *MAINTENANCE), parsed_after=started, seconds=180
        )
        yield running


@pytest.fixture
def connected(airflow: EmbeddedAirflow, monkeypatch: pytest.MonkeyPatch) -> RetentionParams:
    """Settings whose connection may delete runs."""
    login = f"admin:{airflow.secrets['admin_password']}"
    monkeypatch.setenv("AIRFLOW_CONN_TG_RUNS", f"http://{login}@127.0.0.1:{airflow.port}")
    return RetentionParams(airflow_connection="tg_runs", airflow_days=7, airflow_runs=3)


@pytest.fixture
def runs(airflow: EmbeddedAirflow) -> Iterator[list[str]]:
    """Ids: four that ended 40, 30, 20 and 10 days ago, one that ended now, one that is queued."""
    made = [airflow.api.trigger(DAG_OF_RUNS, {}) for _ in range(6)]
    for run_id in made[:5]:
        path = f"/dags/{DAG_OF_RUNS}/dagRuns/{run_id}"
        airflow.api._call("PATCH", path, json={"state": "success"})
    with closing(sqlite3.connect(airflow._database, timeout=30)) as database:
        for days, run_id in zip((40, 30, 20, 10), made, strict=False):
            ended = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
            database.execute("update dag_run set end_date = ? where run_id = ?", (ended, run_id))
        database.commit()
    yield made
    for run_id in made:
        airflow.api.delete_run(DAG_OF_RUNS, run_id)
