"""The few calls to Airflow's REST API (v2) that starting and following a chain needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

PAGE = 100
READ_TRIES = 5
"""Of a question that Airflow does not answer in time, as on a machine that is very busy."""
FINAL_STATES = frozenset({"success", "failed"})


class ChainError(Exception):
    """The chain of runs cannot start or go on; the message says why and where to look."""


@dataclass(frozen=True)
class TaskInstance:
    """State of one task instance at one moment; ``ended`` is an ISO time, empty until then."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    label: str
    state: str
    attempt: int
    seconds: float | None
    ended: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What stays the same while the state changes."""
        return self.dag_id, self.run_id, self.task_id, self.map_index

    def log(self, logs: Path) -> Path:
        """Where this try writes its log under Airflow's folder of logs (one JSON object a line)."""
        folder = (
            logs / f"dag_id={self.dag_id}" / f"run_id={self.run_id}" / f"task_id={self.task_id}"
        )
        if self.map_index >= 0:
            folder /= f"map_index={self.map_index}"
        return folder / f"attempt={self.attempt}.log"


class AirflowApi:
    """A logged-in client of one Airflow."""

    def __init__(self, url: str, user: str, password: str) -> None:
        login = httpx.post(
            f"{url}/auth/token", json={"username": user, "password": password}, timeout=60
        )
        login.raise_for_status()
        token = login.json()["access_token"]
        self._client = httpx.Client(
            base_url=f"{url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )

    def _call(self, method: str, path: str, **options: Any) -> Any:
        # To ask again is harmless, to trigger again is not.
        tries = READ_TRIES if method == "GET" else 1
        for attempt in range(tries):
            try:
                answer = self._client.request(method, path, **options)
                break
            except httpx.TransportError as error:
                if attempt == tries - 1:
                    raise ChainError(
                        f"{method} {path}: Airflow's API server did not answer in {tries} tries "
                        f"({error!r}): look at its log, and at how busy this machine is"
                    ) from error
                time.sleep(min(2.0**attempt, 10.0))
        if answer.status_code >= 400:
            raise ChainError(f"{method} {path}: {answer.status_code} {answer.text[:1000]}")
        return answer.json()

    def put_pool(self, name: str, pool: Mapping[str, Any]) -> None:
        """Create a pool, or change the one that is there."""
        if name in self.pool_slots():
            self._call("PATCH", f"/pools/{name}", json={"name": name, **pool})
        else:
            self._call("POST", "/pools", json={"name": name, **pool})

    def pool_slots(self) -> dict[str, int]:
        """Slots of every pool."""
        return {pool["name"]: pool["slots"] for pool in self._call("GET", "/pools")["pools"]}

    def plugins(self) -> list[dict[str, Any]]:
        """Plugins that the API server has loaded."""
        return list(self._call("GET", "/plugins")["plugins"])

    def wait_for_dags(self, dag_ids: tuple[str, ...], parsed_after: float, seconds: float) -> None:
        """Wait until all DAGs have been parsed since a moment (seconds since the epoch).

        Raises:
            ChainError: If one has an import error, or time runs out.
        """
        deadline = time.monotonic() + seconds
        while True:
            if errors := self._call("GET", "/importErrors")["import_errors"]:
                text = "\n".join(f"{e['filename']}:\n{e['stack_trace']}" for e in errors)
                raise ChainError(f"DAG files cannot be imported:\n{text}")
            dags = {dag["dag_id"]: dag for dag in self._call("GET", "/dags")["dags"]}
            fresh = {
                name
                for name, dag in dags.items()
                if (dag["last_parsed_time"] or "")
                and _epoch(dag["last_parsed_time"]) >= parsed_after
            }
            missing = [name for name in dag_ids if name not in fresh]
            if not missing:
                return
            if time.monotonic() > deadline:
                raise ChainError(f"not parsed within {seconds:.0f} s: {', '.join(missing)}")
            time.sleep(0.3)

    def paused(self) -> set[str]:
        """Ids of the DAGs that are paused."""
        return {dag["dag_id"] for dag in self._call("GET", "/dags")["dags"] if dag["is_paused"]}

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause one DAG."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def discard_unfinished(self, dag_ids: tuple[str, ...]) -> list[str]:
        """Close what an interrupted Airflow left: open runs, and unanswered asset events.

        Returns:
            DAG and run ids of the runs, which are marked as failed.
        """
        query = {"state": ["queued", "running"], "limit": PAGE}
        runs = self._call("GET", "/dags/~/dagRuns", params=query)["dag_runs"]
        for run in runs:
            path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}"
            self._call("PATCH", path, json={"state": "failed"})
        for dag_id in dag_ids:
            self._client.delete(f"/dags/{dag_id}/assets/queuedEvents")  # 404: there are none
        return [f"{run['dag_id']} {run['dag_run_id']}" for run in runs]

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run by hand and return its id.

        Raises:
            ChainError: If the parameters do not fit the DAG's schema.
        """
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self._call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: queued, running, success or failed."""
        return str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def finished_runs(self, dag_id: str, before: datetime) -> list[str]:
        """Ids of the runs that succeeded or failed, and ended before a moment; oldest first."""
        query: dict[str, Any] = {
            "state": sorted(FINAL_STATES),
            "end_date_lt": before.isoformat(),
            "order_by": "end_date",
            "limit": PAGE,
        }
        found: list[str] = []
        while True:
            page = self._call(
                "GET", f"/dags/{dag_id}/dagRuns", params={**query, "offset": len(found)}
            )
            found += [str(run["dag_run_id"]) for run in page["dag_runs"]]
            if len(found) >= page["total_entries"] or not page["dag_runs"]:
                return found

    def count_runs(self, dag_id: str) -> int:
        """How many runs a DAG has."""
        page = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"limit": 1})
        return int(page["total_entries"])

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run with its task instances."""
        answer = self._client.delete(f"/dags/{dag_id}/dagRuns/{run_id}")
        if answer.status_code not in (204, 404):
            raise ChainError(f"DELETE {dag_id} {run_id}: {answer.status_code} {answer.text[:1000]}")

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """All task instances of a run, mapped ones singly."""
        return [instance_of(entry) for entry in self.task_entries(dag_id, run_id)]

    def task_entries(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The same, each with all that the API tells of it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", path, params={"limit": PAGE, "offset": len(found)})
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def created_runs(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        """Runs (DAG id, run id) that the asset events of a run have started."""
        query = {"source_dag_id": dag_id, "source_run_id": run_id}
        answer = self._client.get("/assets/events", params=query)
        if answer.status_code == 500:  # Airflow 3.3: while a created run is still queued
            return []
        answer.raise_for_status()
        return [
            (run["dag_id"], run["run_id"])
            for event in answer.json()["asset_events"]
            for run in event["created_dagruns"]
        ]

    def result(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """What a task instance returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._call("GET", path, params={"map_index": map_index})["value"]


def _epoch(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def instance_of(entry: Mapping[str, Any]) -> TaskInstance:
    """A task instance as Airflow's API tells it."""
    index = int(entry["map_index"])
    label = entry.get("rendered_map_index") or (str(index) if index >= 0 else "")
    return TaskInstance(
        dag_id=entry["dag_id"],
        run_id=entry["dag_run_id"],
        task_id=entry["task_id"],
        map_index=index,
        label=str(label),
        state=entry["state"] or "none",
        attempt=int(entry["try_number"]),
        seconds=entry["duration"],
        ended=entry["end_date"] or "",
    )
