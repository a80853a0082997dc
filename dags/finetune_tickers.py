"""finetune_tickers: foundation → fine-tuned policies → verdicts → champions.

For each target ticker: fine-tunes the foundation, trains the from-scratch control with equal
budget and paired seeds over walk-forward folds, and writes both into the out-of-sample ledger.
Then the gate judges all of them, and those promoted become champions; the others keep theirs.

**When it runs.** By itself on each new foundation, or by hand with the form. A ticker is judged
again only after enough new sessions (`looks.per_year`), however often it is trained.

**With `approval` = `human`** a person is asked first: the task `approve` waits under *Required
actions*, with the verdicts and the way to the report. Refusing, or no answer in time, promotes
nothing.

**What it writes.** The ledger, `evaluations/<id>` with the report (*Transfergate* in the
navigation bar), and the champions' history.

**When it fails.** A ticker that cannot be trained (too little data, NaN) is reported for that
ticker and does not stop the rest. `plan`: there is no foundation yet, or it does not know a
target. `finetune`: a worker was lost; it resumes where it was. `judge`: the ledger lacks rows, or
an audit cannot run; the message names ticker and dates, and no champion moves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task

from transfergate import settings
from transfergate.orchestration.assets import FOUNDATION, PROMOTIONS
from transfergate.orchestration.forms import VERSION, text_param, tickers_param
from transfergate.orchestration.notify import approval_notifiers
from transfergate.orchestration.retries import DEFAULTS, TRAINING

SETTINGS = settings.load()
REQUEST = "ti.xcom_pull(task_ids='who_decides', key='request')"


@dag(
    schedule=[FOUNDATION],
    catchup=False,
    default_args=DEFAULTS,
    dag_display_name="Fine-tune and judge tickers",
    description="A foundation → fine-tuned policies, verdicts of the gate, champions",
    doc_md=__doc__,
    tags=["transfergate", "training", "champions"],
    params={
        "foundation_version": text_param(
            "Foundation version",
            "As **pretrain_foundation** returned it. Empty: the newest.",
            VERSION,
        ),
        "targets": tickers_param(
            "Target tickers", "One a line. Empty: those that the foundation was made for."
        ),
        "approval": Param(
            SETTINGS.approval.by,
            type="string",
            enum=["auto", "human"],
            values_display={
                "auto": "auto: the gate alone decides",
                "human": "human: a person is asked after the gate has said PROMOTE",
            },
            title="Who moves the champion",
            description_md="**human**: the run waits under *Required actions*; without an answer "
            f"within {SETTINGS.approval.timeout_hours:g} hours nothing is promoted.",
            section="Promotion",
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
        """Which foundation, and which target tickers; returns these, grouped for the tasks.

        Writes nothing.
        """
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

    @task(
        map_index_template="{{ task.op_kwargs['tickers'] | join(' ') }}",
        doc_md="Train and score both arms of some tickers; a ticker's own defects are in its "
        "result and fail nothing. The log says every few seconds the share done, steps a second "
        "and the time left. Writes the ledger; rows that are there already stay.",
        **TRAINING,
    )
    def finetune(version: str, tickers: list[str]) -> list[dict[str, Any]]:
        """Train and score both arms of some tickers; a ticker's own defects are in its result."""
        from transfergate import steps

        return steps.finetune_group(settings.load(), version, tickers)

    @task
    def judge(version: str, results: Any, dag_run: Any = None) -> str:
        """Let the gate judge the ledger; returns the evaluation's id.

        Writes verdicts and report under that id; moves nobody.
        """
        from transfergate import steps

        every = [result for group in results for result in group]
        run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id}
        return steps.judge(settings.load(), version, every, run)["evaluation_id"]

    @task.branch
    def who_decides(evaluation_id: str, params: Any = None, ti: Any = None) -> str:
        """Ask a person if that was chosen and a champion would move; else promote at once.

        Writes nothing.
        """
        from transfergate import steps
        from transfergate.orchestration.addresses import pages

        request = steps.approval_request(settings.load(), evaluation_id, pages())
        ti.xcom_push("request", request)
        return "approve" if params["approval"] == "human" and request["tickers"] else "promote"

    approve = ApprovalOperator(
        task_id="approve",
        subject=f"{{{{ {REQUEST}['subject'] }}}}",
        body=f"{{{{ {REQUEST}['body'] }}}}",
        response_timeout=timedelta(hours=SETTINGS.approval.timeout_hours),
        defaults=ApprovalOperator.REJECT,
        notifiers=approval_notifiers(SETTINGS.notify),
        doc_md="Waits for a person: approve or refuse the promotions of this run, under *Required "
        "actions*. Without an answer in time it counts as refused, and every champion stays.",
    )

    @task(outlets=[PROMOTIONS], trigger_rule="none_failed_min_one_success")
    def promote(
        evaluation_id: str, dag_run: Any = None, ti: Any = None, outlet_events: Any = None
    ) -> dict[str, Any]:
        """Move the champion alias of every ticker whose verdict is PROMOTE.

        Skipped where a person refused. Writes the champions' history; `roll_back_champion` undoes.
        """
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
