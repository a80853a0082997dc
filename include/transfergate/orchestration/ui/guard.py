"""Who may see what: Airflow does not guard a plugin's app, so each router does it by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import FileResponse

EVALUATIONS = "finetune_tickers"
"""The DAG that makes verdicts, candidates and champions: who may read it sees those."""
BATCHES = "ingest_daily_bars"
"""The DAG that makes batches, quarantine and Data Docs."""


def guarded(dag_id: str) -> APIRouter:
    """A router for those who may read the DAG that makes what its routes show."""
    return APIRouter(dependencies=[Depends(requires_access_dag("GET", param_dag_id=dag_id))])


def for_users() -> APIRouter:
    """A router for everybody who has logged in: style sheets and scripts, no data."""
    return APIRouter(dependencies=[Depends(get_user)])


def _readable(user: GetUserDep) -> set[str]:
    # Airflow's own dependency looks for the manager in its app's state; ours is another app.
    return set(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


ReadableDags = Annotated[set[str], Depends(_readable)]
"""Ids of the DAGs that the user may read, as an argument of a route."""


def serve(root: Path, path: str, headers: dict[str, str] | None = None) -> FileResponse:
    """A file below a folder.

    Raises:
        HTTPException: 404 if there is none, or the path leaves the folder (also by a link).
    """
    root = root.resolve()
    try:
        file = (root / path).resolve()
        if file.is_relative_to(root) and file.is_file():
            return FileResponse(file, headers=headers)
    except (OSError, ValueError):  # too long a name, or a null byte
        pass
    raise HTTPException(404, "there is no such page")
