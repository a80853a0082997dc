"""Follow a chain of runs from asset event to asset event, to its last DAG."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from transfergate.orchestration.embedded import EmbeddedAirflow
from transfergate.orchestration.progress import Progress, last_said, readable_tail
from transfergate.orchestration.rest import FINAL_STATES, AirflowApi, ChainError, TaskInstance

Answer = TypeVar("Answer")
POLL_SECONDS = 0.7
HAND_OVER_SECONDS = 60.0
TAIL_LINES = 25


@dataclass(frozen=True)
class Run:
    """One DAG run that has ended well, with its task instances."""

    dag_id: str
    run_id: str
    instances: tuple[TaskInstance, ...]


def follow_chain(
    airflow: EmbeddedAirflow, dag_id: str, run_id: str, last_dag_id: str, progress: Progress
) -> list[Run]:
    """Wait for a run and for all that its asset events start, until the last DAG has run.

    Raises:
        ChainError: If a run fails (names its failed tasks, with the tails of their logs), one of
            Airflow's processes ends, or a run starts nothing though it is not the last.
    """
    todo = [(dag_id, run_id)]
    seen = set(todo)
    done: list[Run] = []
    while todo:
        dag_id, run_id = todo.pop(0)
        done.append(_finish(airflow, dag_id, run_id, progress))
        if dag_id == last_dag_id:
            continue
        created = _created(airflow, dag_id, run_id, alone=not todo)
        todo += [run for run in created if run not in seen]
        seen.update(created)
    return done


def _created(
    airflow: EmbeddedAirflow, dag_id: str, run_id: str, *, alone: bool
) -> list[tuple[str, str]]:
    deadline = time.monotonic() + HAND_OVER_SECONDS
    while not (created := _asked(airflow, lambda api: api.created_runs(dag_id, run_id))):
        airflow.check()
        if not alone:  # its events were answered together with another run's
            return []
        if time.monotonic() > deadline:
            raise ChainError(
                f"{dag_id} {run_id} succeeded, but its asset events started nothing within "
                f"{HAND_OVER_SECONDS:.0f} s; see {airflow.logs / 'scheduler.log'}"
            )
        time.sleep(POLL_SECONDS / 2)
    return created


def _finish(airflow: EmbeddedAirflow, dag_id: str, run_id: str, progress: Progress) -> Run:
    while True:
        airflow.check()
        state, instances = _asked(airflow, lambda api: _standing(api, dag_id, run_id))
        progress.show(instances, {one.key: _detail(airflow, one) for one in instances})
        if state == "success":
            return Run(dag_id, run_id, tuple(instances))
        if state in FINAL_STATES:
            raise ChainError(_failure(airflow, dag_id, run_id, instances))
        time.sleep(POLL_SECONDS)


def _standing(api: AirflowApi, dag_id: str, run_id: str) -> tuple[str, list[TaskInstance]]:
    return api.run_state(dag_id, run_id), api.task_instances(dag_id, run_id)


def _asked(airflow: EmbeddedAirflow, ask: Callable[[AirflowApi], Answer]) -> Answer:
    try:
        return ask(airflow.api)
    except ChainError:
        airflow.check()  # a server that has ended says why in its log
        raise


def _detail(airflow: EmbeddedAirflow, one: TaskInstance) -> str:
    # What a running task has said last, or where a person is waited for.
    if one.state == "running":
        return last_said(one.log(airflow.logs))
    if one.state == "awaiting_input":
        where = f"{airflow.url}/dags/{one.dag_id}/runs/{one.run_id}/tasks/{one.task_id}"
        return f"  waits for your answer: {where}/required_actions"
    return ""


def _failure(
    airflow: EmbeddedAirflow, dag_id: str, run_id: str, instances: list[TaskInstance]
) -> str:
    parts = [f"{dag_id} {run_id} failed"]
    for one in instances:
        if one.state == "failed":
            log_file = one.log(airflow.logs)
            parts.append(f"\n{one.task_id} {one.label} failed; its last lines:")
            parts += [f"    {line}" for line in readable_tail(log_file, TAIL_LINES)]
            parts.append(f"full log: {log_file}")
    blocked = [one.task_id for one in instances if one.state == "upstream_failed"]
    if blocked:
        parts.append(f"not run for that reason: {', '.join(dict.fromkeys(blocked))}")
    return "\n".join(parts)
