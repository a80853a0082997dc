"""The first page: what needs attention, then every ticker, source and DAG at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi.responses import HTMLResponse

from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.ui import attention
from transfergate.orchestration.ui.chain_state import DagState, dag_states, waiting_answers
from transfergate.orchestration.ui.data import current
from transfergate.orchestration.ui.guard import EVALUATIONS, ReadableDags, guarded
from transfergate.orchestration.ui.links import airflow_dag, airflow_run, ours, report_of
from transfergate.orchestration.ui.markup import (
    Html,
    airflow_link,
    badge,
    element,
    empty,
    join,
    link,
    section,
)
from transfergate.orchestration.ui.moves import put_there
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, Row, table
from transfergate.orchestration.ui.words import delta, moment, sessions, short, verdict
from transfergate.steps.standing import (
    SourceStanding,
    TickerStanding,
    source_standings,
    ticker_standings,
)

router = guarded(EVALUATIONS)


@router.get("/", response_class=HTMLResponse)
def overview(session: SessionDep, readable: ReadableDags) -> str:
    """Every ticker at a glance."""
    settings, records = current()
    now = datetime.now(UTC)
    sources = source_standings(records, settings, now.date())
    tickers = ticker_standings(records, settings, sources)
    dags = dag_states(session, readable)
    concerns = [
        *attention.broken_concerns(records.broken.values()),
        *attention.chain_concerns(dags, waiting_answers(session, readable), now),
        *attention.source_concerns(sources.values()),
        *attention.ticker_concerns(tickers),
    ]
    body = join(
        (
            section("Needs attention", attention.render(concerns)),
            section("Tickers", ticker_table(tickers)),
            section("Bars and features", source_table(list(sources.values()))),
            section("The chain", dag_table(dags)),
        )
    )
    return page("Overview", body, active="overview", lead=_lead(tickers))


def ticker_table(tickers: Sequence[TickerStanding]) -> Html:
    """Champion, verdict, freshness and next look of each ticker."""
    columns = [
        Column("Ticker"),
        Column("Champion", note="What serves now; flat holds nothing"),
        Column("Since", wide=True, note="UTC"),
        Column("Put there by", wide=True, choose=True),
        Column("Latest verdict", choose=True),
        Column("Δ Sharpe", "number", wide=True, note="fine-tuned less from scratch"),
        Column("Model until", wide=True, note="The last session it learnt from"),
        Column("Features until", wide=True),
        Column("Next look", wide=True, note="The gate judges again after so many new sessions"),
    ]
    start = airflow_link(airflow_dag("ingest_daily_bars"), "ingest_daily_bars")
    return table(
        columns,
        [_ticker_row(one) for one in tickers],
        caption="Tickers: champion, latest verdict, freshness",
        testid="overview-table",
        noun="tickers",
        sorted_by="Ticker",
        empty=empty(
            "Nothing was judged yet",
            join(("Run the DAG ", start, ": the others follow by themselves.")),
        ),
    )


def _ticker_row(one: TickerStanding) -> Row:
    told, champion = one.judgement, one.champion
    spread = told.delta_sharpe if told else None
    cells = (
        link(ours("champions", one.ticker), one.ticker),
        Cell(badge("unknown", "bad", "✖"))
        if one.unsure
        else short(champion.version if champion else None),
        Cell(moment(champion.when) if champion else None, champion.when if champion else None),
        put_there(champion) if champion else Cell(None),
        link(report_of(told.evaluation_id, one.ticker), verdict(told.verdict))
        if told
        else Cell("not judged"),
        Cell(delta(spread, told.se if told else None), spread),
        Cell(_learnt(one), one.learnt_until),
        Cell(one.features_until),
        _next_look(one),
    )
    return Row(cells, {"data_testid": "ticker-row"})


def _learnt(one: TickerStanding) -> Html | None:
    if one.learnt_until is None:
        return None
    if one.ahead:
        newer = badge("newer than the features", "warn", "▲")
        return join((one.learnt_until, " ", element("small", newer)))
    if not one.sessions_behind:
        return element("span", one.learnt_until)
    behind = f"{sessions(one.sessions_behind)} behind"
    shown = badge(behind, "warn", "▲") if one.old else element("span", behind, class_="note")
    return join((one.learnt_until, " ", element("small", shown)))


def _next_look(one: TickerStanding) -> Cell:
    told = one.judgement
    if told is None:
        return Cell(None)
    # Sorts by urgency: those that may be judged now, then by day, then those that lack sessions.
    if told.next_look_sessions is None:
        missing = told.missing_sessions
        return Cell(f"{sessions(missing)} missing", f"3 {missing:09d}") if missing else Cell(None)
    if not told.next_look_sessions:
        return Cell("possible now", "0")
    day, ahead = told.next_look_date, f"in {sessions(told.next_look_sessions)}"
    if day is None:
        return Cell(ahead, f"2 {told.next_look_sessions:09d}")
    return Cell(join((day, " ", element("small", ahead, class_="note"))), f"1 {day}")


def source_table(sources: Sequence[SourceStanding]) -> Html:
    """How fresh each source's bars and features are."""
    columns = [
        Column("Source"),
        Column("Bars until"),
        Column("State"),
        Column("Last load", wide=True),
        Column("Batch", wide=True),
        Column("Features", wide=True, note="The newest snapshot"),
    ]
    return table(
        columns,
        [_source_row(one) for one in sources],
        caption="Sources of bars: how fresh bars and features are",
        testid="sources-table",
        noun="sources",
        empty=empty("No bars were loaded yet", "They come with the first run of the chain."),
    )


def _source_row(one: SourceStanding) -> Row:
    if one.problem:
        state = badge("unknown", "bad", "✖")
    elif one.features_ahead:
        state = badge("features newer than bars", "warn", "▲")
    elif one.features_lag:
        state = badge("features lag", "warn", "▲")
    elif one.late:
        state = badge(f"{sessions(one.sessions_late or 0)} late", "warn", "▲")
    elif one.sessions_late is None:
        state = badge("closed record", "calm")
    else:
        state = badge("fresh", "good", "✔")
    batch = link(ours("batches", one.last.batch_id), short(one.last.batch_id))
    made = short(one.snapshot.snapshot_id) if one.snapshot else None
    return Row(
        (one.source, one.bars_until, state, moment(one.last.known_at), batch, made),
        {"data_testid": "source-row"},
    )


def dag_table(dags: Sequence[DagState]) -> Html:
    """The chain's DAGs: paused or not, last and next run."""
    columns = [
        Column("DAG", "plain"),
        Column("State", "plain"),
        Column("Last run", "plain"),
        Column("Next run", "plain", wide=True),
    ]
    return table(
        columns,
        [_dag_row(dag) for dag in dags],
        caption="DAGs of the chain",
        testid="chain-table",
        noun="DAGs",
        empty="None of the chain's DAGs may be read by you.",
    )


def _dag_row(dag: DagState) -> tuple[object, ...]:
    if not dag.known or dag.broken:
        state = badge("missing", "bad", "✖")
    elif dag.paused:
        state = badge("paused", "warn", "▲")
    else:
        state = badge("on", "good", "✔")
    last: object = None
    if dag.last:
        tone, sign = {"success": ("good", "✔"), "failed": ("bad", "✖")}.get(
            dag.last.state, ("calm", "…")
        )
        run = airflow_link(
            airflow_run(dag.dag_id, dag.last.run_id), badge(dag.last.state, tone, sign)
        )
        last = join((run, " ", moment(dag.last.since.isoformat()) if dag.last.since else ""))
    if dag.next_run:
        after: object = moment(dag.next_run.isoformat())
    else:
        itself = "on new data, or by hand" if dag.dag_id in CHAIN else "by hand"
        after = "-" if dag.paused else itself
    return airflow_link(airflow_dag(dag.dag_id), dag.dag_id), state, last, after


def _lead(tickers: Sequence[TickerStanding]) -> str:
    if not tickers:
        return "Does pre-training help? What serves, and why."
    served = sum(one.champion is not None for one in tickers)
    unsure = sum(one.unsure for one in tickers)
    broken = f"; what serves for {unsure} cannot be said" if unsure else ""
    return (
        f"{served} of {len(tickers)} ticker{'' if len(tickers) == 1 else 's'} "
        f"{'has' if served == 1 else 'have'} a champion{broken}; the others hold nothing."
    )
