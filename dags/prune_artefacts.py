"""prune_artefacts: what neither champions nor looks nor running work need any more is deleted.

Marks what must stay, from the champions and looks down to the bars that they were made from, and
deletes the rest once it is old enough: snapshots, foundations, candidates, evaluations, landing
files, work files of batches, Data Docs, checkpoints, what killed writers left, local copies of an
object store; and finished runs of these DAGs, if a connection says who may delete them.

**When it runs.** Weekly by itself once it is unpaused (`retention.schedule`), and then it deletes.
By hand it only reports, unless the form says otherwise.

**What it writes.** Nothing; it deletes. The ledger, the looks, the champions' history, quarantine
and the records of batches are never touched, nor what a kept champion came from.

**When it fails.** The object store was away: what is deleted is deleted, each thing as a whole, and
the next run goes on. `prune_runs`: Airflow's API refused; the message says what.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.retries import DEFAULTS
from transfergate.orchestration.schedules import maintenance_schedule

SETTINGS = settings.load()


@dag(
    schedule=maintenance_schedule(SETTINGS),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    allowed_run_types=["manual", "scheduled"],  # there is nothing of a past date to delete
    dag_display_name="Prune artefacts",
    description="Deletes what neither champions nor looks nor running work need",
    doc_md=__doc__,
    tags=["transfergate", "maintenance"],
    params={
        "act": Param(
            "report",
            type="string",
            enum=["report", "delete"],
            values_display={
                "report": "report: say what would go",
                "delete": "delete: do it; there is no way back but a backup",
            },
            title="What to do",
            description_md="A run by the clock deletes, whatever stands here.",
            section="What",
        ),
        "what": Param(
            "all",
            type="string",
            enum=["all", "artefacts", "litter", "cache"],
            values_display={
                "all": "all of it",
                "artefacts": "artefacts: snapshots, models, evaluations, landing, pages",
                "litter": "litter: what killed writers left",
                "cache": "cache: local copies on the worker that runs this",
            },
            title="Of what",
            description_md="How long each is kept stands in the settings, **retention**.",
            section="What",
        ),
    },
)
def prune_artefacts() -> None:
    """Wire the tasks."""

    @task
    def prune(params: Any = None, dag_run: Any = None) -> dict[str, Any]:
        """Mark what must stay, then delete the rest or say what that would be.

        Returns how many of each kind stay and go; the log names them.
        """
        from transfergate import steps
        from transfergate.orchestration.events import by_clock

        delete = by_clock(dag_run) or params["act"] == "delete"
        return steps.prune(settings.load(), delete=delete, what=params["what"])

    @task
    def prune_runs(params: Any = None, dag_run: Any = None) -> dict[str, int]:
        """Delete old finished runs of these DAGs through Airflow's API; returns how many of each.

        Skipped where `retention.airflow_connection` names no connection, and where only litter or
        local copies are asked for. Asset events stay: runs by hand start from the newest.
        """
        from transfergate.orchestration.events import by_clock
        from transfergate.orchestration.old_runs import prune_old_runs

        delete = by_clock(dag_run) or params["act"] == "delete"
        return prune_old_runs(settings.load().retention, params["what"], delete=delete)

    prune() >> prune_runs()


prune_artefacts()
