"""The list of evaluations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transfergate.orchestration.ui.evaluations import Summary
from transfergate.orchestration.ui.links import airflow_dag, airflow_run, ours
from transfergate.orchestration.ui.markup import Html, airflow_link, element, empty, join, link
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, Row, table
from transfergate.orchestration.ui.words import moment, version
from transfergate.reporting.markup import SYMBOLS, TONES
from transfergate.reporting.words import SHORT_WORDS, VERDICT_WORDS

NAMES_SHOWN = 4
COLUMNS = (
    Column("Judged"),
    Column("Verdicts", note="How many tickers have each verdict."),
    Column("Tickers", "number"),
    Column("Names", wide=True),
    Column("Foundation", wide=True),
    Column("Airflow run", wide=True),
    Column("Evaluation", wide=True),
)


def render(found: Sequence[Summary], notice: Html) -> str:
    """The whole page; ``notice`` stands at its head."""
    start = airflow_link(airflow_dag("ingest_daily_bars"), "ingest_daily_bars")
    body = table(
        COLUMNS,
        [_row(one) for one in found],
        caption="Evaluations, newest first",
        testid="evaluations-table",
        noun="evaluations",
        empty=empty("Nothing was judged yet", join(("Run the DAG ", start, "."))),
        sorted_by="-Judged",
    )
    lead = "What the gate said each time tickers were judged, newest first, with pictures."
    return page("Evaluations", join((notice, body)), active="evaluations", lead=lead)


def counts(verdicts: Counter[str]) -> Html:
    """How many tickers have each verdict, those that nobody has left out."""
    return join(
        (
            element(
                "span",
                element("span", SYMBOLS[name], aria_hidden="true"),
                f"\u00a0{verdicts[name]} {SHORT_WORDS[name]}",
                class_=f"badge {TONES[name]}",
            )
            for name in VERDICT_WORDS
            if verdicts[name]
        ),
        " ",
    )


def _row(one: Summary) -> Row:
    names = [judgement.ticker for judgement in one.judgements]
    shown: object = ", ".join(names)
    if len(names) > NAMES_SHOWN:
        few = f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} more"
        others = element("span", ", ".join(names[NAMES_SHOWN:]))
        shown = element("details", element("summary", few), others)
    verdicts = Counter(judgement.verdict for judgement in one.judgements)
    run = (
        airflow_link(airflow_run(one.dag_id, one.run_id), "DAG run", title=one.run_id)
        if one.dag_id and one.run_id
        else "none"
    )
    where = ours("evaluations", one.evaluation_id)
    return Row(
        (
            Cell(link(where, moment(one.judged_at) or "time unknown"), one.judged_at),
            Cell(counts(verdicts), f"{99_999 - verdicts['PROMOTE']:05d}"),
            len(names),
            Cell(shown, " ".join(names)),
            version(one.foundation_version),
            run,
            link(where, version(one.evaluation_id)),
        ),
        {"data_testid": "evaluation-row"},
    )
