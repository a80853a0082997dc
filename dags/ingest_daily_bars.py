"""ingest_daily_bars: fetch → validate → load → bars.

Brings daily bars from one source into the warehouse. Nothing is overwritten: a corrected bar is a
new revision, known from its load on. Running it again loads nothing twice.

**When it runs.** On its schedule after every close, in exchange time (`schedules.ingest_cron`);
by hand with the form; over past sessions as a backfill. A run by the clock or of a backfill asks
for its own session and the days before it (`schedules.ingest_lookback_days`), so that late
corrections come in; where the source is a closed record (`sample`, `synthetic`), a run by the
clock asks for all of it, which loads nothing twice. While it is paused no bars come in, and
nothing below it starts.

**What it writes.** The landing zone (bars as received), a batch with its verdict and Data Docs
(*Transfergate → Data quality*), revisions in the warehouse. Then `build_features` starts by itself.

**Backfill.** *Trigger → Backfill*, here in the UI. One run a session of the schedule; both ends
are moments, so choose the day **after** the last session as the end. Bars of a backfill are known
from now on, not from their session on: as-of queries of the past do not change. Features are
brought up to date; nothing is trained for it, whatever `schedules.retrain` says: the next regular
bars do that, or a run of `pretrain_foundation` by hand. With `schedules.ingest=manual` there is
no schedule to fill: use first and last session in the form.

**When it fails.** `plan`: the form asks for what the source does not have; its message names it.
`fetch`: the source did not answer, or a file cannot be read; it was tried twice. `validate`: the
batch as a whole is refused and nothing was loaded; its message has the page that shows why. Rows
refused one by one do not fail the run: they lie in the batch's quarantine, with the reason.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import dag, task

from transfergate import settings
from transfergate.orchestration.assets import BARS
from transfergate.orchestration.forms import (
    PATH,
    session_param,
    source_param,
    text_param,
    tickers_param,
)
from transfergate.orchestration.retries import DEFAULTS, FETCHING, WAREHOUSE
from transfergate.orchestration.schedules import ingest_schedule

SETTINGS = settings.load()


@dag(
    schedule=ingest_schedule(SETTINGS.schedules),
    start_date=pendulum.datetime(2000, 1, 1, tz=SETTINGS.schedules.timezone),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    dag_display_name="Ingest daily bars",
    description="Bars of one source: fetched, judged, loaded",
    doc_md=__doc__,
    tags=["transfergate", "warehouse"],
    render_template_as_native_obj=True,
    params={
        "source": source_param(SETTINGS, default=SETTINGS.ingest.source),
        "tickers": tickers_param("Tickers", "One a line. Empty: **all** that the source has."),
        "start": session_param(
            "First session",
            "Included. Empty: the first there is; in a run by the clock, some days before its "
            "own session.",
        ),
        "end": session_param(
            "Last session",
            "Included. Empty: the last there is, however old.",
        ),
        "data": text_param(
            "Folder of bar files",
            "For a source of kind **files**: a folder on the workers, or an object-store URL. "
            "Empty: the one in the settings.",
            PATH,
            maxLength=1000,
        ),
    },
)
def ingest_daily_bars() -> None:
    """Wire the tasks."""

    @task
    def plan(params: Any = None, dag_run: Any = None, ti: Any = None) -> list[list[str]]:
        """Resolve the parameters and the run's own session; returns batches of tickers.

        Writes nothing. Fails where the source lacks a ticker or a date makes no sense.
        """
        from transfergate import steps
        from transfergate.orchestration.schedules import own_moment, session_window
        from transfergate.steps.standing import CLOSED_RECORDS

        closed = SETTINGS.sources[params["source"]].kind in CLOSED_RECORDS
        start, end = session_window(
            own_moment(dag_run, closed_record=closed),
            SETTINGS.schedules,
            params["start"],
            params["end"],
        )
        asked = {key: params[key] for key in ("source", "tickers", "data")}
        resolved = steps.plan_ingest(settings.load(), start=start, end=end, **asked)
        ti.xcom_push("plan", resolved)
        batches: list[list[str]] = resolved["ticker_batches"]
        return batches

    @task(
        map_index_template="{{ task.op_kwargs['tickers'] | length }} tickers",
        doc_md="Bars of some tickers as received, into the landing zone; returns their key. "
        "Nothing is corrected here; a second try finds what the first has fetched. Fails where "
        "the source does not answer or a file cannot be read: the message names it.",
        **FETCHING,
    )
    def fetch(plan: dict[str, Any], tickers: list[str]) -> str:
        """Bars of some tickers as received, into the landing zone; returns their key."""
        from transfergate import steps

        return steps.fetch_bars(settings.load(), plan, tickers)

    @task(**WAREHOUSE)
    def validate(plan: dict[str, Any], landing: Any) -> str:
        """Check the batch, quarantine bad rows, write Data Docs; returns the batch id.

        Fails where the batch as a whole cannot be trusted: nothing of it can be loaded then, and
        the message has the page to read. Page *Transfergate → Data quality* shows every batch.
        """
        from transfergate import steps

        return steps.validate_bars(settings.load(), plan, list(landing))

    @task(outlets=[BARS], **WAREHOUSE)
    def load(
        plan: dict[str, Any], batch_id: str, dag_run: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Append new revisions in one transaction; returns the batch's counts.

        All of the batch or nothing; loading it again adds nothing. Tells `build_features`.
        """
        from transfergate import steps
        from transfergate.orchestration.events import is_backfill

        counts = steps.load_bars(settings.load(), plan, batch_id)
        outlet_events[BARS].extra = counts | {"backfill": is_backfill(dag_run)}
        return counts

    batches = plan()
    resolved = batches["plan"]
    load(resolved, validate(resolved, fetch.partial(plan=resolved).expand(tickers=batches)))


ingest_daily_bars()
