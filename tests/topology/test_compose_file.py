"""docker-compose.yaml as a document: what can be said of it without starting anything."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from tests.topology.compose import FILE, ROOT, document, in_order, services
from transfergate.cli.secrets import PASSWORDS, draw
from transfergate.settings import QueueParams

NEEDED = {"postgres", "redis", "api-server", "scheduler", "dag-processor", "triggerer", "mlflow",
          "worker-default", "worker-warehouse", "object-store", "init"}  # fmt: skip
SECRETS = draw() | {"TRAINING_WORKERS": "2"}


def test_it_fits_the_compose_specification():
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         str(FILE)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_names_only_services_and_volumes_that_it_has():
    compose = document()
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= set(compose["services"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), (name, source)
        if target := service.get("build", {}).get("target"):
            assert re.search(rf"^FROM \S+ AS {target}$", (ROOT / "Dockerfile").read_text(), re.M)


def test_each_profile_has_all_services_and_its_own_kind_of_training():
    for profile, trainer in (("cpu", "worker-cpu"), ("gpu", "worker-gpu")):
        found = services(SECRETS, {}, (profile,))
        assert set(found) == NEEDED | {trainer}
        assert [one.name for one in in_order(found)].index("init") > 2
    gpu = document()["services"]["worker-gpu"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_every_queue_of_the_dags_has_a_worker_and_the_warehouse_one_slot():
    found = services(SECRETS, {})
    queues = {}
    for name, service in found.items():
        if name.startswith("worker"):
            words = list(service.command)
            queues[words[words.index("--queues") + 1]] = (
                name,
                int(words[words.index("--concurrency") + 1]) * service.replicas,
            )
    assert set(queues) == set(QueueParams().model_dump().values())
    assert queues["warehouse"] == ("worker-warehouse", 1)
    assert queues["gpu"] == ("worker-cpu", 2)
    homes = {
        name: [source for source, target in service.volumes if target == "/opt/airflow/var"]
        for name, service in found.items()
    }
    assert [name for name, home in homes.items() if home == ["warehouse"]] == ["worker-warehouse"]


def test_nothing_starts_without_secrets_of_its_own():
    text = FILE.read_text()
    for name, rest in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)([^}]*)\}", text):
        assert rest.startswith(":?"), f"{name} must have no default"
    for name in (*PASSWORDS, "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET", "TRAINING_WORKERS"):
        with pytest.raises(KeyError, match=name):
            services({key: value for key, value in SECRETS.items() if key != name}, {})


def test_who_does_not_sign_or_read_the_database_cannot():
    found = services(SECRETS, {})
    server = {SECRETS[key] for key in ("AIRFLOW_DB_PASSWORD", "AIRFLOW_FERNET_KEY",
                                       "AIRFLOW_JWT_SECRET", "AIRFLOW_API_SECRET_KEY")}  # fmt: skip
    store = {SECRETS["S3_SECRET_KEY"]}
    for name, service in found.items():
        said = " ".join(service.environment.values())
        if name.startswith("worker"):
            assert not [value for value in server if value in said], name
            assert [value for value in store if value in said], name
        elif name in ("scheduler", "dag-processor", "triggerer", "redis", "mlflow", "postgres"):
            assert not [value for value in store if value in said], name
        if name != "postgres":
            assert SECRETS["POSTGRES_PASSWORD"] not in said, name


@pytest.mark.parametrize("name", document()["services"])
def test_a_service_is_confined_watched_and_no_root(name):
    service = document()["services"][name]
    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    assert service["restart"] == ("no" if name == "init" else "unless-stopped")
    assert name == "init" or service["healthcheck"]["test"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def _locked(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package.lower().replace("_", "-").replace(".", "-"): v for package, v in pairs}


def test_the_cluster_has_the_versions_that_are_tested_everywhere_else():
    main, cluster = _locked("requirements.txt"), _locked("requirements-cluster.txt")
    assert set(main) <= set(cluster)
    differ = {name for name, version in main.items() if cluster[name] != version}
    assert differ == {"python-dateutil"}  # FAB: docs/adr/0046-the-cluster-and-its-locks.md


def test_the_locks_satisfy_what_is_declared_for_production():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cluster = _locked("requirements-cluster.txt")
    declared = project["dependencies"] + project["optional-dependencies"]["production"]
    for line in declared:
        wanted = Requirement(line)
        assert wanted.specifier.contains(cluster[wanted.name.lower().replace("_", "-")]), line
    mlflow = _locked("requirements-mlflow.txt")["mlflow"]
    assert mlflow == _locked("requirements.txt")["mlflow-skinny"]
    assert f"transfergate-mlflow:{mlflow}" in FILE.read_text()
