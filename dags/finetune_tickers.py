"""finetune_tickers: foundation → fine-tuned policies → verdicts → champions.

For each target ticker: fine-tunes the foundation, trains the from-scratch control with equal
budget and paired seeds over walk-forward folds, and writes both into the out-of-sample ledger.
Then the gate judges all of them, and those promoted become champions; the others keep theirs.

A ticker that cannot be trained (too little data, NaN) is reported for that ticker and does not
stop the rest. Every verdict and its evidence: page *Transfergate* in the navigation bar.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import FOUNDATION, PROMOTIONS
from transfergate.orchestration.retries import DEFAULTS, TRAINING


@dag(
    schedule=[FOUNDATION],
    catchup=False,
    default_args=DEFAULTS,
    doc_md=__doc__,
    tags=["transfergate", "training"],
    params={
        "foundation_version": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="Foundation version",
            description="empty: the newest",
        ),
        "targets": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": settings.TICKER_PATTERN},
            uniqueItems=True,
            title="Target tickers",
            description="empty: those that the foundation was made for",
        ),
    },
)
def finetune_tickers() -> None:
    """Wire the tasks; not ``max_active_runs=1``, which loses asset events."""

    @task(inlets=[FOUNDATION])
    def plan(
        params: Any = None,
        triggering_asset_events: Any = None,
        inlet_events: Any = None,
        ti: Any = None,
    ) -> list[str]:
        """Which foundation, and which target tickers; returns these."""
        from transfergate import steps
        from transfergate.orchestration.events import upstream_extra

        start = upstream_extra(
            FOUNDATION,
            triggering_asset_events,
            inlet_events,
            needs="foundation_version",
            given=params,
        )
        version = start["foundation_version"]
        ti.xcom_push("version", version)
        return steps.plan_finetune(settings.load(), version, params["targets"])

    @task(map_index_template="{{ task.op_kwargs['ticker'] }}", **TRAINING)
    def finetune(version: str, ticker: str) -> dict[str, Any]:
        """Train and score both arms of one ticker; a ticker's own defects are in the result."""
        from transfergate import steps

        return steps.finetune_ticker(settings.load(), version, ticker)

    @task
    def judge(version: str, results: Any) -> str:
        """Let the gate judge the ledger; returns the evaluation's id."""
        from transfergate import steps

        return steps.judge(settings.load(), version, list(results))["evaluation_id"]

    @task(outlets=[PROMOTIONS])
    def promote(
        evaluation_id: str, dag_run: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Move the champion alias of every ticker whose verdict is PROMOTE."""
        from transfergate import steps

        outcome = steps.promote_evaluated(
            settings.load(), evaluation_id, approved_by=f"gate, in run {dag_run.run_id}"
        )
        outlet_events[PROMOTIONS].extra = {"evaluation_id": evaluation_id} | outcome
        return outcome

    targets = plan()
    version = targets["version"]
    promote(judge(version, finetune.partial(version=version).expand(ticker=targets)))


finetune_tickers()
