"""roll_back_champion: a ticker's champion → the one before it.

**When it runs.** By hand only: name the ticker and say why here, or press *Roll back* on the
ticker's page (*Transfergate → Champions*), which asks for the reason and starts this DAG.

**What it writes.** One row of the champion's history: who asked, when and why. The model that
served before serves again at once, flat where there was none. Nothing is deleted.

**When it fails.** The ticker has no champion, or the version named is no longer the champion:
somebody has moved it meanwhile. Nothing changed; look at the history and decide again.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import PROMOTIONS
from transfergate.orchestration.forms import SENTENCE, TICKER, VERSION, text_param
from transfergate.orchestration.retries import DEFAULTS


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # nothing but a person starts it
    default_args=DEFAULTS,
    dag_display_name="Roll back a champion",
    description="The champion before the current one serves again",
    doc_md=__doc__,
    tags=["transfergate", "champions"],
    params={
        "ticker": Param(
            type="string",
            pattern=TICKER,
            title="Ticker",
            description_md="Whose champion is to go.",
            section="What",
        ),
        "champion": text_param(
            "Version that is to go",
            "As the champion's page shows it: asking twice then goes back once. Empty: whatever "
            "serves now.",
            VERSION,
        ),
        "why": Param(
            type="string",
            minLength=3,
            maxLength=500,
            pattern=SENTENCE,
            title="Reason",
            description_md="For the champion's history; stays there.",
            section="What",
        ),
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
