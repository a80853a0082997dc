"""The first page: what there is, and what needs attention."""

from __future__ import annotations

from fastapi.responses import HTMLResponse

from transfergate.orchestration.ui.guard import EVALUATIONS, guarded
from transfergate.orchestration.ui.links import airflow_dag
from transfergate.orchestration.ui.markup import airflow_link, empty, join
from transfergate.orchestration.ui.shell import page

router = guarded(EVALUATIONS)


@router.get("/", response_class=HTMLResponse)
def overview() -> str:
    """Every ticker at a glance."""
    start = airflow_link(airflow_dag("ingest_daily_bars"), "ingest_daily_bars")
    body = empty("Nothing was judged yet", join(("Run the DAG ", start, ".")))
    return page("Overview", body, active="overview")
