"""Services are killed while the chain runs: it ends well, and moves no champion by accident.

Each fault has a source of its own, with tickers of its own, so that all of the chain is new work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.topology.conftest import FAULTS, Cluster, fault_tickers
from transfergate import steps
from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.rest import ChainError

pytestmark = [pytest.mark.topology, pytest.mark.fault, pytest.mark.timeout(900)]

PATIENCE = 420.0
AWAY = (ChainError, httpx.HTTPError, KeyError)
"""What a client meets while the database or the API server is away."""


def wait_for(cluster: Cluster, what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Ask until there is an answer; services that end are started again, as Docker does."""
    deadline = time.monotonic() + seconds
    while True:
        cluster.loopback.restart_ended()
        try:
            if found := what():
                return found
        except AWAY:
            pass
        assert time.monotonic() < deadline, "".join(
            f"\n== {name}\n{one.tail(8)}" for name, one in cluster.loopback.processes.items()
        )
        time.sleep(0.5)


def tasks(cluster: Cluster, dag_id: str, task_id: str, since: str) -> list[dict[str, Any]]:
    """Instances of a task in runs that began since."""
    path = f"/dags/{dag_id}/dagRuns/~/taskInstances"
    found = cluster.api._call("GET", path, params={"task_id": task_id, "run_after_gte": since,
                                                   "limit": 100})["task_instances"]  # fmt: skip
    return [one for one in found if one["task_id"] == task_id]


class Run:
    """The chain on the source of a fault."""

    def __init__(self, cluster: Cluster, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        self.tickers = fault_tickers(fault)
        self.settings = cluster.settings(monkeypatch)
        assert not set(self.tickers) & set(steps.status(self.settings)["tickers"])
        for dag_id in CHAIN:
            cluster.api.set_paused(dag_id, paused=False)
        run_id = cluster.api.trigger(CHAIN[0], {"source": fault})
        run = cluster.api._call("GET", f"/dags/{CHAIN[0]}/dagRuns/{run_id}")
        self.since = run["run_after"]

    def running(self, dag_id: str, task_id: str) -> dict[str, Any]:
        """Wait until a task runs; its instance."""
        return wait_for(self.cluster, lambda: next(
            (one for one in tasks(self.cluster, dag_id, task_id, self.since)
             if one["state"] == "running"), None))  # fmt: skip

    def queued(self, dag_id: str, task_id: str) -> dict[str, Any]:
        """Wait until a task is queued; its instance."""
        return wait_for(self.cluster, lambda: next(
            (one for one in tasks(self.cluster, dag_id, task_id, self.since)
             if one["state"] == "queued"), None))  # fmt: skip

    def end(self) -> list[dict[str, Any]]:
        """Wait for the last task; all instances of the fault's runs. Checks what came of it."""
        wait_for(self.cluster, self._promoted)
        path = "/dags/~/dagRuns/~/taskInstances"
        query = {"run_after_gte": self.since, "limit": 200}
        found = wait_for(self.cluster, lambda: self.cluster.api._call("GET", path, params=query))
        states = {(one["task_id"], one["state"]) for one in found["task_instances"]}
        assert not {state for _, state in states} & {"failed", "upstream_failed"}, states
        self._champions_are_those_promoted()
        return list(found["task_instances"])

    def _promoted(self) -> bool:
        last = tasks(self.cluster, CHAIN[-1], "promote", self.since)
        return any(one["state"] == "success" for one in last)

    def _champions_are_those_promoted(self) -> None:
        known = steps.status(self.settings)["tickers"]
        assert set(self.tickers) <= set(known)
        for ticker in self.tickers:
            promoted = known[ticker]["verdict"] == "PROMOTE"
            assert (known[ticker]["champion"] is not None) == promoted, ticker


@pytest.fixture
def run_of(cluster, monkeypatch) -> Callable[[str], Run]:
    return lambda fault: Run(cluster, fault, monkeypatch)


def test_faults_have_sources_of_their_own():
    assert len({ticker for fault in FAULTS for ticker in fault_tickers(fault)}) == 2 * len(FAULTS)


def test_a_worker_that_dies_in_training_is_replaced_and_its_task_resumes(cluster, run_of):
    run = run_of("worker_lost")
    training = run.running("pretrain_foundation", "pretrain")
    cluster.loopback.kill(training["hostname"])
    cluster.loopback.start(training["hostname"])
    ended = run.end()
    (pretrain,) = [one for one in ended if one["task_id"] == "pretrain"]
    assert pretrain["try_number"] == 2


def test_a_scheduler_that_dies_goes_on_where_it_was(cluster, run_of):
    run = run_of("scheduler_lost")
    run.running("build_features", "build")
    cluster.loopback.kill("scheduler")
    time.sleep(5)
    cluster.loopback.start("scheduler")
    ended = run.end()
    assert {one["try_number"] for one in ended if one["task_id"] == "load"} == {1}


def test_messages_that_redis_has_lost_are_sent_again(cluster, run_of):
    trainers = [name for name in cluster.loopback.processes if name.startswith("worker-cpu")]
    run = run_of("redis_lost")
    run.running("build_features", "build")
    for name in trainers:  # nobody takes the message, which then waits in Redis
        cluster.loopback.kill(name)
    run.queued("pretrain_foundation", "pretrain")
    time.sleep(3)
    cluster.loopback.ask_redis("FLUSHALL")
    for name in trainers:
        cluster.loopback.start(name)
    run.end()


def test_a_database_that_restarts_loses_nothing(cluster, run_of):
    run = run_of("postgres_lost")
    run.running("pretrain_foundation", "pretrain")
    cluster.loopback.kill("postgres", 2)  # SIGINT: as a restart of its service does
    time.sleep(3)
    cluster.loopback.start("postgres")
    run.end()
