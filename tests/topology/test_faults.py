"""Services are killed while the chain runs: it ends well, and moves no champion by accident.

Each fault has a source of its own, with tickers of its own, so that all of the chain is new work.
What was killed when, and what was found after, is written to ``var/topology/faults.md``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.topology.compose import ROOT
from tests.topology.conftest import FAULTS, Cluster, fault_tickers
from transfergate import steps
from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.rest import ChainError, instance_of
from transfergate.storage import open_store

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
        self.began = time.monotonic()
        self.row = {"fault": "", "found": ""}

    def note(self, what: str) -> None:
        """Say what is done to the cluster now."""
        self.row["fault"] = f"{what}, {time.monotonic() - self.began:.0f} s after the start"

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
        found = wait_for(self.cluster, self._instances)
        promoted = self._champions_are_those_promoted()
        again = sorted({f"{one['task_id']} (try {one['try_number']})"
                        for one in found if one["try_number"] > 1})  # fmt: skip
        n_runs = len({one["dag_run_id"] for one in found})
        self.row["found"] = (
            f"{n_runs} runs, {len(found)} tasks ended well after "
            f"{time.monotonic() - self.began:.0f} s; tried again: {', '.join(again) or 'none'}; "
            f"{promoted} of {len(self.tickers)} tickers promoted, champions are just these"
        )
        return found

    def _instances(self) -> list[dict[str, Any]]:
        query = {"run_after_gte": self.since, "limit": 200}
        path = "/dags/~/dagRuns/~/taskInstances"
        found = list(self.cluster.api._call("GET", path, params=query)["task_instances"])
        failed = [one["task_id"] for one in found if one["state"] in ("failed", "upstream_failed")]
        assert failed == []
        return found

    def _promoted(self) -> bool:
        return any(one["task_id"] == "promote" and one["state"] == "success"
                   for one in self._instances())  # fmt: skip

    def _champions_are_those_promoted(self) -> int:
        known = steps.status(self.settings)["tickers"]
        assert set(self.tickers) <= set(known)
        for ticker in self.tickers:
            promoted = known[ticker]["verdict"] == "PROMOTE"
            assert (known[ticker]["champion"] is not None) == promoted, ticker
        return sum(known[ticker]["champion"] is not None for ticker in self.tickers)

    def log_of(self, task: dict[str, Any], attempt: int) -> list[dict[str, Any]]:
        """Lines that a try of a task has logged."""
        path = replace(instance_of(task), attempt=attempt).log(self.cluster.logs)
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def rows() -> Iterator[list[dict[str, str]]]:
    made: list[dict[str, str]] = []
    yield made
    if not made:  # the record of the last run that found anything stays
        return
    lines = ["| what was killed, when | what was found after |", "|---|---|"]
    lines += [f"| {row['fault']} | {row['found']} |" for row in made]
    folder = ROOT / "var" / "topology"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.md").write_text("\n".join(lines) + "\n")


@pytest.fixture
def run_of(cluster, monkeypatch, rows) -> Iterator[Callable[[str], Run]]:
    made: list[Run] = []

    def start(fault: str) -> Run:
        made.append(Run(cluster, fault, monkeypatch))
        return made[-1]

    yield start
    rows += [run.row for run in made if run.row.get("found")]


def test_faults_have_sources_of_their_own():
    assert len({ticker for fault in FAULTS for ticker in fault_tickers(fault)}) == 2 * len(FAULTS)


def test_a_worker_that_dies_in_training_is_replaced_and_its_task_resumes(cluster, run_of):
    run = run_of("worker_lost")
    training = run.running("pretrain_foundation", "pretrain")
    store = open_store(run.settings)
    wait_for(cluster, lambda: any(store.keys("work")))
    run.note(f"SIGKILL to all of `{training['hostname']}` in `pretrain`, past its first checkpoint")
    cluster.loopback.kill(training["hostname"])
    cluster.loopback.start(training["hostname"])
    ended = run.end()
    (pretrain,) = [one for one in ended if one["task_id"] == "pretrain"]
    assert pretrain["try_number"] == 2
    said = [str(line.get("event")) for line in run.log_of(pretrain, attempt=2)]
    (resumed,) = [event for event in said if "resuming after update" in event]
    run.row["found"] += f"; `pretrain`: {resumed.partition(': ')[2]} of 400"
    assert not any(store.keys("work"))


def test_a_scheduler_that_dies_goes_on_where_it_was(cluster, run_of):
    run = run_of("scheduler_lost")
    run.running("build_features", "build")
    run.note("SIGKILL to `scheduler` while `build` ran, started again after 5 s")
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
    run.note("`FLUSHALL` of `redis` while the message of `pretrain` waited in it")
    cluster.loopback.ask_redis("FLUSHALL")
    for name in trainers:
        cluster.loopback.start(name)
    run.end()


def test_a_database_that_restarts_loses_nothing(cluster, run_of):
    run = run_of("postgres_lost")
    run.running("pretrain_foundation", "pretrain")
    run.note("`postgres` stopped (SIGINT) while `pretrain` ran, started again after 3 s")
    cluster.loopback.kill("postgres", 2)  # SIGINT: as a restart of its service does
    time.sleep(3)
    cluster.loopback.start("postgres")
    run.end()
