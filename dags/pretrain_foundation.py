"""pretrain_foundation: feature snapshot → foundation version.

Pre-trains one policy family on the source tickers (one checkpoint per fold cut-off and one up to
now), back-tests it on sessions later than any it saw, and registers it with its lineage.

**When it runs.** Monthly by default; `schedules.retrain` also knows `weekly`, `asset` (every new
feature snapshot, what `make retrain` uses) and `manual`. By hand with the form. It cannot be
backfilled, and features of a backfill start no training: then `pretrain` is skipped and says so.

**What it writes.** `foundations/<version>` with weights, settings and lineage, and an entry in the
registry. Then `finetune_tickers` starts by itself, unless it is paused.

**When it fails.** `pretrain`: there is no snapshot yet (run `build_features`), a ticker is unknown,
or the settings ask for what an algorithm cannot do; the message says which. A killed task resumes
from its checkpoint, and what exists is not trained again. `register`: the foundation is refused
(not finite, or one position only): look at its back-test, then change data or settings.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import dag, task

from transfergate import settings
from transfergate.orchestration.assets import FEATURES, FOUNDATION
from transfergate.orchestration.forms import SNAPSHOT, text_param, tickers_param
from transfergate.orchestration.retries import DEFAULTS, TRAINING
from transfergate.orchestration.schedules import retrain_schedule

SETTINGS = settings.load()


@dag(
    schedule=retrain_schedule(SETTINGS.schedules),
    start_date=pendulum.datetime(2026, 1, 1, tz=SETTINGS.schedules.timezone),
    catchup=False,
    default_args=DEFAULTS,
    allowed_run_types=["manual", "scheduled", "asset_triggered"],  # a backfill would train by date
    dag_display_name="Pre-train foundation",
    description="Features → a foundation: one policy family, back-tested and registered",
    doc_md=__doc__,
    tags=["transfergate", "training"],
    params={
        "snapshot_id": text_param(
            "Feature snapshot",
            "Id of the snapshot to train on, as **build_features** returned it. Empty: the newest.",
            SNAPSHOT,
        ),
        "sources": tickers_param(
            "Source tickers", "Who teaches, one a line. Empty: those of the source's universe."
        ),
        "targets": tickers_param(
            "Target tickers", "Who is taught, one a line. Empty: those of the source's universe."
        ),
    },
)
def pretrain_foundation() -> None:
    """Wire the tasks; not ``max_active_runs=1``, which loses asset events."""

    @task(inlets=[FEATURES], **TRAINING)
    def pretrain(
        params: Any = None, triggering_asset_events: Any = None, inlet_events: Any = None
    ) -> str:
        """Train the family, or find it trained; returns the foundation's version.

        Its log says every few seconds the share done, steps a second and the time left. Killed, it
        resumes from its checkpoint. Skipped where only a backfill has changed the features.
        """
        from transfergate import steps
        from transfergate.orchestration.events import skip_backfill, upstream_extra

        skip_backfill(FEATURES, triggering_asset_events)
        start = upstream_extra(
            FEATURES, triggering_asset_events, inlet_events, needs="snapshot_id", given=params
        )
        return steps.pretrain_foundation(
            settings.load(), start["snapshot_id"], params["sources"], params["targets"]
        )

    @task(**TRAINING)
    def backtest(version: str) -> str:
        """Score the family on sessions later than any it saw; returns its version.

        Writes the figures beside the foundation; they are reported and decide nothing.
        """
        from transfergate import steps

        steps.backtest_foundation(settings.load(), version)
        return version

    @task(outlets=[FOUNDATION])
    def register(version: str, outlet_events: Any = None) -> dict[str, Any]:
        """Enter the version with its lineage in the registry.

        Refuses one that is not finite or knows one position only. Tells `finetune_tickers`.
        """
        from transfergate import steps

        registered = steps.register_foundation(settings.load(), version)
        outlet_events[FOUNDATION].extra = registered
        return registered

    register(backtest(pretrain()))


pretrain_foundation()
