"""Evaluations, newest first, and their promotion reports."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fastapi.responses import FileResponse, HTMLResponse

from transfergate import settings
from transfergate.orchestration.ui.guard import EVALUATIONS, guarded, serve
from transfergate.orchestration.ui.links import airflow_dag, ours
from transfergate.orchestration.ui.markup import airflow_link, empty, join, link
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, table

router = guarded(EVALUATIONS)


@router.get("/evaluations", response_class=HTMLResponse)
def evaluations() -> str:
    """Every evaluation that has a report."""
    rows = [
        (
            link(ours("evaluations", name, "report.html"), name),
            Cell(f"{made:%Y-%m-%d %H:%M} UTC", made.isoformat()),
        )
        for name, made in evaluation_rows(settings.load().artefact_root)
    ]
    start = airflow_link(airflow_dag("ingest_daily_bars"), "ingest_daily_bars")
    body = table(
        [Column("Evaluation"), Column("Judged")],
        rows,
        caption="Evaluations, newest first",
        testid="evaluations-table",
        noun="evaluations",
        empty=empty("Nothing was judged yet", join(("Run the DAG ", start, "."))),
    )
    return page("Evaluations", body, active="evaluations")


@router.get("/evaluations/{path:path}")
def evaluation_file(path: str) -> FileResponse:
    """One file of an evaluation."""
    return serve(settings.load().artefact_root / "evaluations", path)


def evaluation_rows(root: Path) -> list[tuple[str, datetime]]:
    """Id and time of every evaluation that has a report, newest first."""
    found = [
        (report.parent.name, datetime.fromtimestamp(report.stat().st_mtime, UTC))
        for report in (root / "evaluations").glob("*/report.html")
    ]
    return sorted(found, key=lambda row: row[1], reverse=True)
