"""build_features: bars → an immutable feature snapshot.

Computes the relations under `sql/` for every source whose bars have changed, and publishes one
snapshot per source. The same bars, SQL and settings give the same snapshot id: then nothing is
written. Runs on new bars; several loads in a row are answered by one run.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import BARS, FEATURES
from transfergate.orchestration.retries import DEFAULTS, WAREHOUSE


@dag(
    schedule=[BARS],
    catchup=False,
    default_args=DEFAULTS,
    doc_md=__doc__,
    tags=["transfergate", "warehouse"],
    params={
        "source": Param(
            None,
            enum=[None, *sorted(settings.load().sources)],
            title="Source of bars",
            description="empty: the sources of the loads that started this run",
        )
    },
)
def build_features() -> None:
    """Wire the tasks; not ``max_active_runs=1``, which loses asset events."""

    @task(inlets=[BARS])
    def changed(
        params: Any = None, triggering_asset_events: Any = None, inlet_events: Any = None
    ) -> list[str]:
        """Sources whose bars were loaded."""
        from transfergate.orchestration.events import changed_sources

        return changed_sources(params["source"], triggering_asset_events, inlet_events)

    @task(outlets=[FEATURES], map_index_template="{{ task.op_kwargs['source'] }}", **WAREHOUSE)
    def build(source: str, outlet_events: Any = None) -> dict[str, Any]:
        """Compute the features of one source and publish their snapshot; returns its id."""
        from transfergate import steps

        made = steps.build_features(settings.load(), source)
        outlet_events[FEATURES].extra = made
        return made

    build.expand(source=changed())


build_features()
