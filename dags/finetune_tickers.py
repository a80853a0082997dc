"""finetune_tickers: foundation → fine-tuned policies → verdicts → champions.

For each target ticker: fine-tunes the foundation, trains the from-scratch control with equal
budget and paired seeds over walk-forward folds, and writes both into the out-of-sample ledger.
Then the gate judges all of them, and those promoted become champions; the others keep theirs.
With `approval` = `human` a person is asked first: the task `approve` waits under *Required
actions*, with the verdicts and the way to the report. Refusing, or no answer in time, promotes
nothing.

A ticker that cannot be trained (too little data, NaN) is reported for that ticker and does not
stop the rest. Every verdict and its evidence: page *Transfergate* in the navigation bar.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import FOUNDATION, PROMOTIONS
from transfergate.orchestration.retries import DEFAULTS, TRAINING

SETTINGS = settings.load()
REQUEST = "ti.xcom_pull(task_ids='who_decides', key='request')"


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
        "approval": Param(
            SETTINGS.approval.by,
            enum=["auto", "human"],
            title="Who moves the champion",
            description="human: wait for an answer after the gate has said PROMOTE",
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
    ) -> list[list[str]]:
        """Which foundation, and which target tickers; returns these, grouped for the tasks."""
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
        return steps.plan_groups(settings.load(), version, params["targets"])

    @task(map_index_template="{{ task.op_kwargs['tickers'] | join(' ') }}", **TRAINING)
    def finetune(version: str, tickers: list[str]) -> list[dict[str, Any]]:
        """Train and score both arms of some tickers; a ticker's own defects are in its result."""
        from transfergate import steps

        return steps.finetune_group(settings.load(), version, tickers)

    @task
    def judge(version: str, results: Any) -> str:
        """Let the gate judge the ledger; returns the evaluation's id."""
        from transfergate import steps

        every = [result for group in results for result in group]
        return steps.judge(settings.load(), version, every)["evaluation_id"]

    @task.branch
    def who_decides(evaluation_id: str, params: Any = None, ti: Any = None) -> str:
        """Ask a person if that was chosen and a champion would move; else promote at once."""
        from transfergate import steps

        request = steps.approval_request(settings.load(), evaluation_id)
        ti.xcom_push("request", request)
        return "approve" if params["approval"] == "human" and request["tickers"] else "promote"

    approve = ApprovalOperator(
        task_id="approve",
        subject=f"{{{{ {REQUEST}['subject'] }}}}",
        body=f"{{{{ {REQUEST}['body'] }}}}",
        response_timeout=timedelta(hours=SETTINGS.approval.timeout_hours),
        defaults=ApprovalOperator.REJECT,
        doc_md="Waits for a person: approve or refuse the promotions of this run.",
    )

    @task(outlets=[PROMOTIONS], trigger_rule="none_failed_min_one_success")
    def promote(
        evaluation_id: str, dag_run: Any = None, ti: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Move the champion alias of every ticker whose verdict is PROMOTE."""
        from transfergate import steps
        from transfergate.orchestration.events import who_approved

        who = who_approved(ti.xcom_pull(task_ids="approve"), dag_run.run_id)
        outcome = steps.promote_evaluated(settings.load(), evaluation_id, approved_by=who)
        outlet_events[PROMOTIONS].extra = {"evaluation_id": evaluation_id} | outcome
        return outcome

    targets = plan()
    version = targets["version"]
    evaluation_id = judge(version, finetune.partial(version=version).expand(tickers=targets))
    who_decides(evaluation_id) >> [approve, promoted := promote(evaluation_id)]
    approve >> promoted


finetune_tickers()
