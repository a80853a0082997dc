"""ingest_daily_bars: fetch → validate → load → bars.

Daily bars from one source into the warehouse. Runs after every close in exchange time, by hand
with the form below, or over past sessions as a backfill; running it again loads nothing twice.

**What to do when it fails.** `validate` fails when a whole batch is refused: its message has the
path of the report that shows the failing rows, and nothing was loaded. Rows that are refused one
by one do not fail the run: they lie in the batch's quarantine, with the reason.

| parameter | meaning |
|---|---|
| `source` | `sample`: real bars of the installation; `files`: a folder; `synthetic`: planted |
| `tickers` | empty: all that the source has |
| `start`, `end` | session dates, both included; empty: all, or a scheduled run's own session |
| `data` | folder of Parquet or CSV files, for `files`; empty: the one in the settings |
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import BARS
from transfergate.orchestration.retries import DEFAULTS, WAREHOUSE
from transfergate.orchestration.schedules import ingest_schedule

SETTINGS = settings.load()


def date_param(title: str) -> Param:
    """A session date that may stay empty."""
    return Param(None, type=["null", "string"], format="date", title=title)


@dag(
    schedule=ingest_schedule(SETTINGS.schedules),
    start_date=pendulum.datetime(2000, 1, 1, tz=SETTINGS.schedules.timezone),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    doc_md=__doc__,
    tags=["transfergate", "warehouse"],
    render_template_as_native_obj=True,
    params={
        "source": Param(
            SETTINGS.ingest.source, enum=sorted(SETTINGS.sources), title="Source of bars"
        ),
        "tickers": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": settings.TICKER_PATTERN},
            minItems=1,
            uniqueItems=True,
            title="Tickers",
            description="one a line; empty: all that the source has",
        ),
        "start": date_param("First session"),
        "end": date_param("Last session"),
        "data": Param(None, type=["null", "string"], minLength=1, title="Folder of bar files"),
    },
)
def ingest_daily_bars() -> None:
    """Wire the tasks."""

    @task
    def plan(params: Any = None, dag_run: Any = None, ti: Any = None) -> list[list[str]]:
        """Resolve the parameters and the run's own session; returns batches of tickers."""
        from transfergate import steps
        from transfergate.orchestration.schedules import own_moment, session_window

        start, end = session_window(
            own_moment(dag_run), SETTINGS.schedules, params["start"], params["end"]
        )
        asked = {key: params[key] for key in ("source", "tickers", "data")}
        resolved = steps.plan_ingest(settings.load(), start=start, end=end, **asked)
        ti.xcom_push("plan", resolved)
        batches: list[list[str]] = resolved["ticker_batches"]
        return batches

    @task(map_index_template="{{ task.op_kwargs['tickers'] | length }} tickers")
    def fetch(plan: dict[str, Any], tickers: list[str]) -> str:
        """Bars of some tickers as received, into the landing zone; returns their key."""
        from transfergate import steps

        return steps.fetch_bars(settings.load(), plan, tickers)

    @task(**WAREHOUSE)
    def validate(plan: dict[str, Any], landing: Any) -> str:
        """Check the batch, quarantine bad rows, write Data Docs; returns the batch id."""
        from transfergate import steps

        return steps.validate_bars(settings.load(), plan, list(landing))

    @task(outlets=[BARS], **WAREHOUSE)
    def load(plan: dict[str, Any], batch_id: str, outlet_events: Any = None) -> dict[str, Any]:
        """Append new revisions in one transaction; returns the batch's counts."""
        from transfergate import steps

        counts = steps.load_bars(settings.load(), plan, batch_id)
        outlet_events[BARS].extra = counts
        return counts

    batches = plan()
    resolved = batches["plan"]
    load(resolved, validate(resolved, fetch.partial(plan=resolved).expand(tickers=batches)))


ingest_daily_bars()
