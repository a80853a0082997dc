"""Tabs of DAGs and runs in Airflow: from a run to what it made."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from fastapi import APIRouter, Depends, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from transfergate.orchestration.assets import BY_HAND, CHAIN, MAINTENANCE
from transfergate.orchestration.ui.attention import notice
from transfergate.orchestration.ui.data import current
from transfergate.orchestration.ui.flow import Stage, flow
from transfergate.orchestration.ui.guard import EVALUATIONS, ReadableDags
from transfergate.orchestration.ui.lineage import candidate_card, foundation_card, snapshot_card
from transfergate.orchestration.ui.links import ours
from transfergate.orchestration.ui.markup import empty, join, link
from transfergate.orchestration.ui.shell import page

HOME_OF: dict[str, tuple[str, ...]] = {
    "ingest_daily_bars": ("batches",),
    "build_features": (),
    "pretrain_foundation": (),
    "finetune_tickers": ("evaluations",),
    "roll_back_champion": ("champions",),
    "prune_artefacts": (),
}
"""Which of our pages a DAG's own tab shows."""

dags = APIRouter(dependencies=[Depends(requires_access_dag("GET"))])
runs = APIRouter(dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))])


@dags.get("/dags/{dag_id}", response_model=None)
def of_dag(dag_id: str) -> Response:
    """Lead from a DAG's tab to the page about what it makes."""
    if dag_id in HOME_OF:
        return RedirectResponse(ours(*HOME_OF[dag_id]), status_code=302)
    return _foreign(dag_id)


@runs.get("/runs/{dag_id}/{run_id:path}", response_model=None)
def of_run(dag_id: str, run_id: str, session: SessionDep, readable: ReadableDags) -> Response:
    """Lead from a run's tab to what that run made."""
    if dag_id in MAINTENANCE:
        return HTMLResponse(page("What this run made", _deletes(dag_id)))
    if dag_id not in (*CHAIN, *BY_HAND):
        return _foreign(dag_id)
    found = _returned(session, dag_id, run_id)
    _, records = current()
    if dag_id == "ingest_daily_bars" and (batch := found.get("validate")):
        return RedirectResponse(ours("batches", str(batch[0])), status_code=302)
    if dag_id == "finetune_tickers" and (judged := found.get("judge")):
        return RedirectResponse(ours("evaluations", str(judged[0])), status_code=302)
    if dag_id == "roll_back_champion" and (moved := found.get("roll_back")):
        return RedirectResponse(ours("champions", str(moved[0]["ticker"])), status_code=302)
    if dag_id == "build_features" and (built := found.get("build")):
        ids = [str(one["snapshot_id"]) for one in built]
        made = [one for one in map(records.snapshot, ids) if one]
        stages = [Stage("Feature snapshots", [snapshot_card(one) for one in made])]
        body = join((notice(records.broken.values()), flow(stages, "What this run made")))
        return HTMLResponse(page("What this run made", body))
    if dag_id == "pretrain_foundation" and (trained := found.get("pretrain")):
        return HTMLResponse(_foundation(str(trained[0]), readable))
    return HTMLResponse(page("What this run made", _nothing(session, dag_id, run_id)))


def _returned(session: Session, dag_id: str, run_id: str) -> dict[str, list[Any]]:
    """What the run's tasks returned, by task and in the order of map indices."""
    rows = session.scalars(
        select(XComModel)
        .where(
            XComModel.dag_id == dag_id,
            XComModel.run_id == run_id,
            XComModel.key == "return_value",
        )
        .order_by(XComModel.map_index)
    )
    found: dict[str, list[Any]] = {}
    for row in rows:
        value = XComModel.deserialize_value(row)
        if value is not None:
            found.setdefault(row.task_id, []).append(value)
    return found


def _foundation(version: str, readable: set[str]) -> str:
    _, records = current()
    foundation = records.foundation(version)
    if foundation is None:
        none = _none(f"Foundation {version} has no record any more")
        return page("What this run made", join((notice(records.broken.values()), none)))
    snapshot = records.snapshot(foundation.snapshot_id)
    children = [one for one in records.candidates() if one.foundation_version == version]
    stages = [
        Stage("Feature snapshot", [snapshot_card(snapshot)] if snapshot else []),
        Stage("Foundation", [foundation_card(foundation)]),
    ]
    if EVALUATIONS in readable:
        stages.append(Stage("Candidates", [candidate_card(one) for one in children], "none yet"))
    body = join((notice(records.broken.values()), flow(stages, "What this run made")))
    return page("What this run made", body)


def _nothing(session: Session, dag_id: str, run_id: str) -> object:
    run = session.scalars(
        select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    ).first()
    if run is None:
        return _none("There is no such run")
    if str(run.state) in ("queued", "running"):
        return empty("Nothing yet", "The run goes on; what it makes will stand here.")
    return empty("Nothing was made", "The run ended before; the logs of its tasks say why.")


def _deletes(dag_id: str) -> object:
    return empty(f"{dag_id} makes nothing", "The logs of its tasks name what went, or would go.")


def _none(what: str) -> object:
    return empty(what, link(ours(), "Go to the overview"))


def _foreign(dag_id: str) -> Response:
    body = empty(f"{dag_id} is none of Transfergate's DAGs", link(ours(), "Go to the overview"))
    return HTMLResponse(page("Transfergate", body))
