"""build_features: bars → an immutable feature snapshot.

Computes the relations under `sql/` for every source whose bars have changed, and publishes one
snapshot per source.

**When it runs.** By itself on new bars; several loads in a row are answered by one run. By hand
with the form, for instance after the SQL has changed. It cannot be backfilled: a snapshot always
holds all sessions. While it, or `ingest_daily_bars`, is paused, features stay as they are.

**What it writes.** A folder `snapshots/<id>` with Parquet by ticker and a manifest. The same
bars, SQL and settings give the same id: then nothing is written and nothing trains again.

**When it fails.** `changed`: no bars were ever loaded; run `ingest_daily_bars`. `build`: a feature
reads later rows, or breaks a check (named in the message), and no snapshot appears; the one before
stays in use. Another process holds the warehouse: it is tried again by itself.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from transfergate import settings
from transfergate.orchestration.assets import BARS, FEATURES
from transfergate.orchestration.forms import source_param
from transfergate.orchestration.retries import DEFAULTS, WAREHOUSE


@dag(
    schedule=[BARS],
    catchup=False,
    default_args=DEFAULTS,
    dag_display_name="Build features",
    description="New bars → one immutable feature snapshot per source",
    doc_md=__doc__,
    tags=["transfergate", "warehouse"],
    params={
        "source": source_param(settings.load(), default=None, empty="those of the newest load")
    },
)
def build_features() -> None:
    """Wire the tasks; not ``max_active_runs=1``, which loses asset events."""

    @task(inlets=[BARS])
    def changed(
        params: Any = None, triggering_asset_events: Any = None, inlet_events: Any = None
    ) -> list[str]:
        """Sources whose bars were loaded; writes nothing.

        A run by hand takes the form's, or those of the last load.
        """
        from transfergate.orchestration.events import changed_sources

        return changed_sources(params["source"], triggering_asset_events, inlet_events)

    @task(
        outlets=[FEATURES],
        map_index_template="{{ task.op_kwargs['source'] }}",
        doc_md="Compute the features of one source and publish their snapshot; returns its id. "
        "Only what changed since the snapshot before is computed; it appears whole or not at all. "
        "Fails where a feature breaks a check: the message names feature and check.",
        **WAREHOUSE,
    )
    def build(
        source: str, triggering_asset_events: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Compute the features of one source and publish their snapshot; returns its id."""
        from transfergate import steps
        from transfergate.orchestration.events import all_backfill

        made = steps.build_features(settings.load(), source)
        filled = all_backfill(BARS, triggering_asset_events)
        outlet_events[FEATURES].extra = made | {"backfill": filled}
        return made

    build.expand(source=changed())


build_features()
