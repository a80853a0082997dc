"""The Helm values say what docker-compose.yaml says; test_helm_chart renders them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import pytest
import yaml

from tests.topology.compose import ROOT, services
from transfergate.cli.secrets import draw
from transfergate.settings import QueueParams

SECRETS = draw() | {"TRAINING_WORKERS": "1"}
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/helm-values.yaml").read_text())
SETS = {one["name"]: one for one in VALUES["workers"]["celery"]["sets"]}


def variables(entries: list[dict[str, str]]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in entries}


def test_each_queue_has_a_set_of_workers_with_the_slots_of_the_compose_file():
    assert {one["queue"] for one in SETS.values()} == set(QueueParams().model_dump().values())
    for profile in ("cpu", "gpu"):
        for name, service in services(SECRETS, {}, (profile,)).items():
            if name.startswith("worker"):
                words = list(service.command)
                queue = words[words.index("--queues") + 1]
                slots = words[words.index("--concurrency") + 1]
                said = variables(SETS[queue]["env"])
                assert said["AIRFLOW__CELERY__WORKER_CONCURRENCY"] == slots, name
    assert SETS["warehouse"]["replicas"] == 1
    assert SETS["warehouse"]["strategy"] == {"type": "Recreate"}
    # The chart puts its own beside it unless that is taken away, and Kubernetes refuses both.
    assert VALUES["workers"]["strategy"] == {"rollingUpdate": None}
    assert [name for name, one in SETS.items() if "extraVolumes" in one] == ["warehouse"]
    assert SETS["gpu"]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_airflow_is_configured_as_in_the_compose_file():
    environment = services(SECRETS, {})["scheduler"].environment
    for section, options in VALUES["config"].items():
        for option, value in options.items():
            there = environment.get(f"AIRFLOW__{section}__{option}".upper())
            if option == "hostname_callable":  # Compose's names are in Docker's DNS
                assert there is None
                continue
            if section == "celery_broker_transport_options":
                there = environment["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"]
            assert there == value, (section, option)
    worker = services(SECRETS, {})["worker-default"].environment
    for name, value in variables(VALUES["env"]).items():
        assert worker[name] == value or "example.org" in value, name


def test_no_secret_stands_in_the_values_and_all_that_they_name_are_written(tmp_path):
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    done = subprocess.run(
        [ROOT / "deploy/kubernetes-secrets.sh", env, "there", "db.there", "redis.there"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    written = {
        one["metadata"]["name"]: one["stringData"] for one in yaml.safe_load_all(done.stdout)
    }
    named = {VALUES["fernetKeySecretName"], VALUES["apiSecretKeySecretName"],
             VALUES["jwtSecretName"], *VALUES["data"].values()}  # fmt: skip
    assert set(written) == named | {"transfergate-store"}
    environment = services(SECRETS, {})["scheduler"].environment
    assert written["transfergate-metadata"]["connection"] == environment[
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    ].replace("@postgres:", "@db.there:")
    assert written["transfergate-broker"]["connection"].startswith("redis://:")
    text = (ROOT / "deploy/helm-values.yaml").read_text()
    assert not [value for secret in written.values() for value in secret.values() if value in text]
    assert VALUES["createUserJob"] == {"enabled": False}


@pytest.mark.parametrize(
    ("words", "started"),
    [
        (["api-server"], "airflow api-server"),
        (["airflow", "db", "migrate"], "airflow db migrate"),
        (["bash", "-c", "exec airflow celery worker -q gpu"], "airflow celery worker -q gpu"),
        (["python", "-m", "celery"], "python -m celery"),
    ],
)
def test_the_entrypoint_starts_what_compose_and_the_chart_name(tmp_path, words, started):
    for name in ("airflow", "python"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "deploy/entrypoint.sh", *words], env={"PATH": path}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == started


def test_old_log_files_are_deleted_and_young_ones_stay(tmp_path):
    logs = tmp_path / "logs" / "dag_id=x"
    logs.mkdir(parents=True)
    for name, days in (("old", 16), ("young", 14)):
        (logs / name).write_text("line")
        moment = time.time() - days * 86_400
        os.utime(logs / name, (moment, moment))
    environment = {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path)}
    process = subprocess.Popen([ROOT / "deploy/clean-logs.sh"], env=environment, process_group=0)
    deadline = time.monotonic() + 30
    while (logs / "old").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, "it goes on"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert [path.name for path in logs.iterdir()] == ["young"]
