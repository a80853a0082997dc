"""What Airflow itself knows of our DAGs: paused, waiting, failed, late. Reads its database.

Pages run inside Airflow's API server, so they ask its database as its own routes do, in a session
of the request, and only for DAGs that the user may read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from airflow.models.asset import AssetDagRunQueue
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from transfergate.orchestration.assets import BY_HAND, CHAIN, MAINTENANCE


@dataclass(frozen=True)
class RunState:
    """A DAG's last run that has ended or goes on; ``since`` is when that began."""

    run_id: str
    state: str
    since: datetime | None


@dataclass(frozen=True)
class Waiting:
    """A task that waits for a person's answer."""

    dag_id: str
    run_id: str
    task_id: str
    subject: str
    since: datetime


@dataclass(frozen=True)
class DagState:
    """One DAG.

    Attributes:
        dag_id: Its id.
        known: Whether Airflow has parsed it.
        broken: Whether its file cannot be imported.
        paused: Whether it starts no runs.
        next_run: When the clock starts its next run; None where assets or people start it.
        last: Its last run.
        queued_since: When the oldest asset event came that no run has taken up.
    """

    dag_id: str
    known: bool = False
    broken: bool = False
    paused: bool = False
    next_run: datetime | None = None
    last: RunState | None = None
    queued_since: datetime | None = None


def dag_states(session: Session, readable: Collection[str]) -> list[DagState]:
    """Our DAGs, those of the chain first and in its order, that the user may read."""
    ids = [dag_id for dag_id in (*CHAIN, *BY_HAND, *MAINTENANCE) if dag_id in readable]
    models = {
        model.dag_id: model
        for model in session.scalars(select(DagModel).where(DagModel.dag_id.in_(ids)))
        if not model.is_stale
    }
    oldest = (
        select(AssetDagRunQueue.target_dag_id, func.min(AssetDagRunQueue.created_at))
        .where(AssetDagRunQueue.target_dag_id.in_(ids))
        .group_by(AssetDagRunQueue.target_dag_id)
    )
    queued: dict[str, datetime] = {dag_id: since for dag_id, since in session.execute(oldest)}
    return [_state(session, dag_id, models.get(dag_id), queued.get(dag_id)) for dag_id in ids]


def waiting_answers(session: Session, readable: Collection[str]) -> list[Waiting]:
    """Questions that nobody has answered yet, oldest first."""
    ids = [dag_id for dag_id in CHAIN if dag_id in readable]
    rows = session.execute(
        select(HITLDetail, TaskInstance)
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(
            HITLDetail.responded_at.is_(None),
            TaskInstance.dag_id.in_(ids),
            TaskInstance.end_date.is_(None),
        )
        .order_by(HITLDetail.created_at)
    )
    return [
        Waiting(ti.dag_id, ti.run_id, ti.task_id, detail.subject, detail.created_at)
        for detail, ti in rows
    ]


def _state(
    session: Session, dag_id: str, model: DagModel | None, queued_since: datetime | None
) -> DagState:
    if model is None:
        return DagState(dag_id)
    run = session.scalars(
        select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc()).limit(1)
    ).first()
    last = None
    if run is not None:
        last = RunState(run.run_id, str(run.state), run.end_date or run.start_date)
    return DagState(
        dag_id=dag_id,
        known=True,
        broken=bool(model.has_import_errors),
        paused=bool(model.is_paused),
        next_run=None if model.is_paused else model.next_dagrun_create_after,
        last=last,
        queued_since=queued_since,
    )
