"""roll_back_champion: a ticker's champion → the one before it.

By hand only: name the ticker and say why. The model that served before serves again at once; who
asked, when and why stands in the champion's history, and nothing is deleted.

| parameter | meaning |
|---|---|
| `ticker` | whose champion is to go |
| `champion` | its version, as the champion's page shows it: asking twice then goes back once |
| `why` | the reason, for the history |
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import PROMOTIONS
from transfergate.orchestration.retries import DEFAULTS


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # nothing but a person starts it
    default_args=DEFAULTS,
    doc_md=__doc__,
    tags=["transfergate", "champions"],
    params={
        "ticker": Param(type="string", pattern=settings.TICKER_PATTERN, title="Ticker"),
        "champion": Param(
            None,
            type=["null", "string"],
            minLength=1,
            maxLength=100,
            title="Version that is to go",
            description="empty: whatever serves now",
        ),
        "why": Param(type="string", minLength=3, maxLength=500, title="Reason"),
    },
)
def roll_back_champion() -> None:
    """Wire the task."""

    @task(outlets=[PROMOTIONS])
    def roll_back(
        params: Any = None, dag_run: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Let the champion before the current one serve again; returns the row of its history."""
        from transfergate import steps

        row = steps.rollback(
            settings.load(),
            params["ticker"],
            who=f"{dag_run.triggering_user_name or 'somebody'}, in run {dag_run.run_id}",
            why=params["why"],
            champion=params["champion"],
        )
        outlet_events[PROMOTIONS].extra = {"rolled_back": row}
        return row

    roll_back()


roll_back_champion()
