"""The chain run up to the moment in which a person is asked."""

from __future__ import annotations

from tests.browser.person import wait_until
from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow
from transfergate.orchestration.follow import follow_chain
from transfergate.orchestration.progress import Progress

TRAINED = CHAIN[-1]


def follow_to_the_question(
    airflow: EmbeddedAirflow, first_run: str, progress: Progress
) -> dict[str, str]:
    """Wait until fine-tuning, started by a run of the first DAG, asks; returns run ids by DAG."""
    before = CHAIN[-2]
    runs = follow_chain(airflow, CHAIN[0], first_run, before, progress)
    ids = {run.dag_id: run.run_id for run in runs}
    ids |= dict(
        wait_until(
            "fine-tuning to start",
            lambda: airflow.api.created_runs(before, ids[before]),
            seconds=300,
        )
    )
    wait_until("the question", lambda: is_asked(airflow, ids[TRAINED]), seconds=900)
    return ids


def is_asked(airflow: EmbeddedAirflow, run_id: str) -> bool:
    """Whether a run waits for a person; fails if one of its tasks, or Airflow, has failed."""
    airflow.check()
    states = {(one.task_id, one.state) for one in airflow.api.task_instances(TRAINED, run_id)}
    failed = sorted(task for task, state in states if state == "failed")
    assert not failed, f"{failed} failed; logs: {airflow.logs}"
    return ("approve", "awaiting_input") in states
