"""pretrain_foundation: feature snapshot → foundation version.

Pre-trains one policy family on the source tickers (one checkpoint per fold cut-off and one up to
now), back-tests it on sessions later than any it saw, and registers it with its lineage. A
repeated or retried run resumes from checkpoints; what exists is not trained again.

Monthly by default; with `TRANSFERGATE_SCHEDULES__RETRAIN=asset` on every feature snapshot
(what `make retrain` uses); `manual`: by hand only.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import FEATURES, FOUNDATION
from transfergate.orchestration.retries import DEFAULTS, TRAINING
from transfergate.orchestration.schedules import retrain_schedule

SETTINGS = settings.load()


def tickers_param(title: str, description: str) -> Param:
    """A list of tickers that may stay empty."""
    return Param(
        None,
        type=["null", "array"],
        items={"type": "string", "pattern": settings.TICKER_PATTERN},
        uniqueItems=True,
        title=title,
        description=description,
    )


@dag(
    schedule=retrain_schedule(SETTINGS.schedules),
    start_date=pendulum.datetime(2026, 1, 1, tz=SETTINGS.schedules.timezone),
    catchup=False,
    default_args=DEFAULTS,
    doc_md=__doc__,
    tags=["transfergate", "training"],
    params={
        "snapshot_id": Param(
            None,
            type=["null", "string"],
            pattern=r"^[0-9a-f]{8,64}$",
            title="Feature snapshot",
            description="empty: the newest",
        ),
        "sources": tickers_param("Source tickers", "who teaches; empty: the universe's"),
        "targets": tickers_param("Target tickers", "who is taught; empty: the universe's"),
    },
)
def pretrain_foundation() -> None:
    """Wire the tasks; not ``max_active_runs=1``, which loses asset events."""

    @task(inlets=[FEATURES], **TRAINING)
    def pretrain(
        params: Any = None, triggering_asset_events: Any = None, inlet_events: Any = None
    ) -> str:
        """Train the family, or find it trained; returns the foundation's version."""
        from transfergate import steps
        from transfergate.orchestration.events import upstream_extra

        start = upstream_extra(
            FEATURES, triggering_asset_events, inlet_events, needs="snapshot_id", given=params
        )
        return steps.pretrain_foundation(
            settings.load(), start["snapshot_id"], params["sources"], params["targets"]
        )

    @task(**TRAINING)
    def backtest(version: str) -> str:
        """Score the family on sessions later than any it saw; returns its version."""
        from transfergate import steps

        steps.backtest_foundation(settings.load(), version)
        return version

    @task(outlets=[FOUNDATION])
    def register(version: str, outlet_events: Any = None) -> dict[str, Any]:
        """Enter the version with its lineage in the registry."""
        from transfergate import steps

        registered = steps.register_foundation(settings.load(), version)
        outlet_events[FOUNDATION].extra = registered
        return registered

    register(backtest(pretrain()))


pretrain_foundation()
