"""The Helm values say what docker-compose.yaml says; the chart itself is not at hand."""

from __future__ import annotations

import subprocess
from typing import Any

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
    assert [name for name, one in SETS.items() if "extraVolumes" in one] == ["warehouse"]
    assert SETS["gpu"]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_airflow_is_configured_as_in_the_compose_file():
    environment = services(SECRETS, {})["scheduler"].environment
    for section, options in VALUES["config"].items():
        for option, value in options.items():
            there = environment.get(f"AIRFLOW__{section}__{option}".upper())
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
