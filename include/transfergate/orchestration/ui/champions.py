"""Champions: which version of each ticker serves, since when and why, and the way back.

Nothing here writes. The rollback page asks for a reason; its script asks Airflow's REST API, with
the reader's session, to run the DAG ``roll_back_champion``.
"""

from __future__ import annotations

import re

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from transfergate.orchestration.ui.attention import notice
from transfergate.orchestration.ui.data import current
from transfergate.orchestration.ui.guard import EVALUATIONS, guarded
from transfergate.orchestration.ui.links import airflow_dag, base, ours, report_of
from transfergate.orchestration.ui.markup import (
    Html,
    airflow_link,
    badge,
    element,
    empty,
    facts,
    join,
    link,
    section,
)
from transfergate.orchestration.ui.moves import moves_table, put_there, who
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, Row, table
from transfergate.orchestration.ui.words import delta, moment, sessions, short, verdict, version
from transfergate.registry.history import ChampionRow, Promotion, stack_of
from transfergate.registry.records import Judgement, Records, serving
from transfergate.settings import TICKER_PATTERN

ROLLBACK_DAG = "roll_back_champion"
router = guarded(EVALUATIONS)


@router.get("/champions", response_class=HTMLResponse)
def champions() -> str:
    """The champion of every ticker, and all moves."""
    _, records = current()
    histories = records.histories()
    judged = records.latest()
    names = sorted(histories.keys() | judged.keys())
    since = {name: top.when for name in names if (top := serving(histories.get(name, [])))}
    names.sort(key=lambda name: since.get(name, ""), reverse=True)  # then by name
    rows = [
        _champion_row(name, histories.get(name, []), judged.get(name), name in records.unsure)
        for name in names
    ]
    moves = sorted(
        (row for history in histories.values() for row in history),
        key=lambda row: (row.when, row.ticker, row.number),
        reverse=True,
    )
    shown = moves_table(moves, testid="moves-table", with_ticker=True)
    serves = section("What serves", _champion_table(rows, since))
    body = join((notice(records.broken.values()), serves, section("Moves", shown)))
    lead = "What serves for each ticker, and every promotion, refresh and rollback that led to it."
    return page("Champions", body, active="champions", lead=lead)


@router.get("/champions/{ticker}", response_class=HTMLResponse)
def champion(ticker: str) -> str:
    """One ticker's champion and its history."""
    _, records = current()
    rows, judged = _known(records, ticker)
    unsure = ticker in records.unsure
    top = None if unsure else serving(rows)
    lineage = link(ours("lineage", "champion", ticker), "Lineage", class_="button")
    back = link(
        ours("champions", ticker, "rollback"),
        "Roll back …",
        class_="button danger",
        data_testid="rollback-link",
    )
    acts = element("p", lineage, " ", back, class_="acts") if top else ""
    serves = _unknown(ticker) if unsure else _serves(records, ticker, top)
    body = join(
        (
            notice(records.broken.values()),
            serves,
            acts,
            section("Latest verdict", _latest(judged)),
            section(
                "History",
                moves_table(list(reversed(rows)), testid="champion-history", with_ticker=False),
            ),
        )
    )
    return page(ticker, body, active="champions", trail=_trail())


@router.get("/champions/{ticker}/rollback", response_class=HTMLResponse)
def rollback(ticker: str) -> str:
    """Ask for the reason before the champion is taken back."""
    _, records = current()
    rows, _ = _known(records, ticker)
    trail = (*_trail(), (ticker, ours("champions", ticker)))
    if ticker in records.unsure:
        body = join((notice(records.broken.values()), _unknown(ticker)))
        return page(f"Roll back {ticker}", body, active="champions", trail=trail)
    stack = stack_of(rows)
    if not stack:
        body = empty(
            "There is no champion to roll back",
            link(ours("champions", ticker), f"See the history of {ticker}"),
        )
        return page(f"Roll back {ticker}", body, active="champions", trail=trail)
    before = stack[-2] if len(stack) > 1 else None
    return page(
        f"Roll back {ticker}",
        join((_change(stack[-1], before), _form(ticker, stack[-1].version))),
        active="champions",
        trail=trail,
        scripts=("rollback.js",),
    )


def _trail() -> tuple[tuple[str, str], ...]:
    return (("Champions", ours("champions")),)


def _unknown(ticker: str) -> Html:
    return empty(
        f"Nobody can say from here what serves for {ticker}",
        "Its history is broken. Promotions and rollbacks are refused until it is whole again.",
    )


def _known(records: Records, ticker: str) -> tuple[list[ChampionRow], Judgement | None]:
    rows: list[ChampionRow] = []
    judged = None
    if re.fullmatch(TICKER_PATTERN, ticker):  # anything else never gets into a path
        rows, judged = records.history(ticker), records.latest_of(ticker)
    if not rows and judged is None and not records.broken:
        raise HTTPException(404, f"There is no ticker {ticker} with a verdict or a champion.")
    return rows, judged


def _champion_table(rows: list[Row], since: dict[str, str]) -> Html:
    columns = [
        Column("Ticker"),
        Column("Serves"),
        Column("Since", wide=True),
        Column("Put there by", wide=True, choose=True),
        Column("Moves", "number", wide=True),
        Column("Latest verdict", choose=True),
    ]
    start = airflow_link(airflow_dag("finetune_tickers"), "finetune_tickers")
    return table(
        columns,
        rows,
        caption="Champions by ticker",
        testid="champions-table",
        noun="tickers",
        sorted_by="-Since" if since else "Ticker",
        empty=empty("Nothing was judged yet", join(("Champions come from ", start, "."))),
    )


def _champion_row(
    ticker: str, rows: list[ChampionRow], judged: Judgement | None, unsure: bool
) -> Row:
    top = None if unsure else serving(rows)
    serves = badge("unknown", "bad", "✖") if unsure else short(top.version if top else None)
    return Row(
        (
            link(ours("champions", ticker), ticker),
            serves,
            Cell(moment(top.when) if top else None, top.when if top else None),
            put_there(top) if top else Cell(None),
            len(rows),
            verdict(judged.verdict) if judged else Cell("not judged"),
        ),
        {"data_testid": "champion-row"},
    )


def _serves(records: Records, ticker: str, top: Promotion | None) -> Html:
    if top is None:
        return empty(
            "Flat serves: nothing is held",
            "No champion was made, or all of them were rolled back.",
        )
    candidate = records.champions([top]).get(ticker)
    return facts(
        [
            ("Serves", version(top.version)),
            ("Since", moment(top.when)),
            ("Put there by", put_there(top)),
            ("Who", who(top)),
            ("Evidence", _evidence(top)),
            ("Policies, averaged", candidate.n_seeds if candidate else None),
            ("Learnt until", candidate.last_session if candidate else None),
            ("Why", top.why),
        ],
        data_testid="champion",
    )


def _evidence(top: Promotion) -> object:
    report = top.evaluation and report_of(top.evaluation, top.ticker)
    return link(report, "promotion report") if report else "none"


def _latest(judged: Judgement | None) -> Html:
    if judged is None:
        return empty("Never judged", "The next run of finetune_tickers judges it.")
    look = judged.next_look_sessions
    when = f"in {sessions(look)}" if look else "possible now" if look == 0 else None
    if when and judged.next_look_date:
        when = f"{judged.next_look_date}, {when}"
    return join(
        (
            facts(
                [
                    ("Verdict", verdict(judged.verdict)),
                    ("Δ Sharpe", delta(judged.delta_sharpe, judged.se)),
                    ("Sessions judged", f"{judged.n_sessions:,}"),
                    ("Up to", judged.last_session),
                    ("Look", judged.look_number),
                    ("Next look", when),
                    (
                        "Report",
                        link(
                            report_of(judged.evaluation_id, judged.ticker),
                            "open",
                            data_testid="report-link",
                        ),
                    ),
                ]
            ),
            element("p", judged.reason),
        )
    )


def _change(top: Promotion, before: Promotion | None) -> Html:
    after = (
        join((version(before.version), ", champion since ", moment(before.when)))
        if before
        else join((Html("<strong>flat</strong>"), ": nothing is held until a new promotion"))
    )
    return element(
        "div",
        facts([("Serves now", version(top.version)), ("Will serve", after)]),
        element(
            "p",
            "Nothing is deleted: who asked, when and why goes into the history, and the version "
            "can be promoted again.",
        ),
    )


def _form(ticker: str, version_: str) -> Html:
    dag = airflow_link(airflow_dag(ROLLBACK_DAG), ROLLBACK_DAG)
    reason = element(
        "label",
        "Why? ",
        element("small", "for the history, at least 3 characters", class_="note"),
        element(
            "textarea",
            name="why",
            required=True,
            minlength=3,
            maxlength=500,
            rows=3,
            data_testid="rollback-why",
        ),
    )
    act = element(
        "button",
        f"Roll back {ticker}",
        type="submit",
        class_="danger",
        data_testid="rollback-confirm",
    )
    keep = link(ours("champions", ticker), "Keep it", class_="button")
    return element(
        "form",
        reason,
        element("p", act, " ", keep, class_="acts"),
        element("div", role="status", class_="outcome", data_testid="rollback-outcome"),
        element(
            "noscript",
            element("p", "Without JavaScript, run the DAG ", dag, " with this ticker by hand."),
        ),
        element("p", "It starts a run of ", dag, " in your name.", class_="note small"),
        id="rollback",
        data_ticker=ticker,
        data_champion=version_,
        data_api=f"{base()}/api/v2/dags/{ROLLBACK_DAG}",
        data_dag=airflow_dag(ROLLBACK_DAG),
        data_done=ours("champions", ticker),
        data_login=f"{base()}/auth/login",
    )
