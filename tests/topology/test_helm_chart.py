"""Airflow's chart, rendered by Helm's own library with our values: `make test-chart CHART=...`."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.topology.compose import ROOT
from transfergate.settings import QueueParams

pytestmark = pytest.mark.chart

RENDER = """
import json, sys
import helm_python
with helm_python.Chart.load(sys.argv[1]) as chart:
    values = json.load(sys.stdin)
    chart.validate_schema(values)
    print(json.dumps(chart.render(values, name="transfergate", namespace="there")))
"""
KINDS = ("Deployment", "StatefulSet", "Job")


@pytest.fixture(scope="module")
def pods() -> dict[str, dict[str, Any]]:
    """Specifications of all that starts pods, by name; the values have passed the schema."""
    import yaml

    values = yaml.safe_load((ROOT / "deploy/helm-values.yaml").read_text())
    done = subprocess.run(
        [ROOT / ".venv-chart/bin/python", "-c", RENDER, os.environ["CHART"]],
        input=json.dumps(values), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [
        document
        for path, text in json.loads(done.stdout).items()
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document and document["kind"] in KINDS
    ]
    return {one["metadata"]["name"].partition("airflow-")[2]: one["spec"] for one in found}


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    pod = spec["template"]["spec"]
    return [*pod["containers"], *pod.get("initContainers", [])]


def test_each_queue_is_worked_on_and_the_warehouse_by_one_alone(pods):
    workers = {name: spec for name, spec in pods.items() if name.startswith("worker")}
    assert set(workers) == {"worker", "worker-warehouse", "worker-gpu"}
    for queue in QueueParams().model_dump().values():
        spec = workers["worker" if queue == "default" else f"worker-{queue}"]
        words = " ".join(containers(spec)[0]["args"]).split()
        assert words[-2:] == (["-q", queue] if queue != "default" else ["celery", "worker"])
    warehouse = workers["worker-warehouse"]
    assert warehouse["replicas"] == 1
    assert warehouse["strategy"] == {"type": "Recreate"}, "Kubernetes refuses anything beside it"
    claims = {
        name: [one for one in spec["template"]["spec"]["volumes"] if "persistentVolumeClaim" in one]
        for name, spec in workers.items()
    }
    assert [name for name, own in claims.items() if own] == ["worker-warehouse"]


def test_the_image_has_all_that_the_chart_starts_in_it(pods):
    started = set()
    for spec in pods.values():
        for one in containers(spec):
            started.add(one["args"][0])
            text = json.dumps(one)
            started |= {path for path in ("/entrypoint", "/clean-logs") if path in text}
    assert started == {"airflow", "bash", "/entrypoint", "/clean-logs"}
    image = (ROOT / "Dockerfile").read_text()
    for path in ("/entrypoint", "/clean-logs"):
        assert image.count(f"COPY deploy{path}.sh {path}\n") == 2, path  # of runtime and of cuda


def test_nobody_is_root_and_no_worker_signs(pods):
    for name, spec in pods.items():
        assert spec["template"]["spec"]["securityContext"]["runAsNonRoot"], name
        for one in containers(spec):
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert ("transfergate-jwt" in json.dumps(spec)) <= (not name.startswith("worker")), name
