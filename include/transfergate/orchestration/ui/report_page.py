"""The promotion report: verdict counts, the forest plot, the table of tickers, one ticker open."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from transfergate.orchestration.ui.evaluations import Background, Evaluation
from transfergate.orchestration.ui.links import airflow_run, ours, static
from transfergate.orchestration.ui.markup import (
    Html,
    airflow_link,
    element,
    facts,
    html,
    join,
    link,
    section,
)
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, Row, table
from transfergate.orchestration.ui.words import moment, verdict, version
from transfergate.reporting.markup import TONES
from transfergate.reporting.overview import (
    FIGURES,
    figures,
    forest_words,
    is_pooled,
    summary,
)
from transfergate.reporting.page import asset, origin, question
from transfergate.reporting.words import VERDICT_WORDS, Z90, count

BATCHES_SHOWN = 3
SCRIPTS = ("vendor/echarts.min.js", "charts.js", "report.js")


def render(found: Evaluation, behind: Background, part: str, notice: Html) -> str:
    """The whole page.

    Args:
        found: The evaluation.
        behind: Where it came from.
        part: What ``report_ticker.render`` made of the ticker that is open; empty for none.
        notice: Stands at its head.
    """
    links = {ticker: where(found, ticker) for ticker in found.tickers}
    body = [
        element("style", Html(asset("content.css"))),
        Html(f'<link rel="stylesheet" href="{html(static("report.css"))}">'),
        element("div", Html(summary(found.document, links)), data_testid="verdict-counts"),
        _forest(found),
        _tickers(found, links),
        element("div", Html(part), id="open-ticker", aria_live="polite"),
        section(
            "Where this came from",
            element("p", Html(origin(found.document)), class_="note"),
            lineage(found, behind),
        ),
    ]
    return page(
        "Does pre-training help?",
        element("div", notice, *body, class_="report", data_testid="promotion-report"),
        active="evaluations",
        lead=Html(question(found.document)),
        trail=(("Evaluations", ours("evaluations")),),
        scripts=SCRIPTS,
    )


def where(found: Evaluation, ticker: str) -> str:
    """Address of the page with a ticker open."""
    return f"{ours('evaluations', found.id)}?ticker={quote(ticker, safe='')}#open-ticker"


def embedded(name: str, value: Any) -> Html:
    """Numbers for a script of the page; no text in them can end the element."""
    text = json.dumps(value, ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026")
    return Html(f'<script type="application/json" id="{html(name)}">{text}</script>')


def chart(kind: str, title: str, says: str, behind: object = "", tools: object = "") -> Html:
    """A place for a chart, with its caption, what it says, and the numbers behind it."""
    return element(
        "figure",
        element("figcaption", title),
        tools,
        element(
            "div",
            class_=f"echart {kind}",
            data_chart=kind,
            data_testid=f"{kind}-plot" if kind == "forest" else f"{kind}-chart",
            role="img",
            aria_label=says,
        ),
        element("p", says, class_="note small says"),
        behind,
        class_="chart",
    )


def forest_data(found: Evaluation) -> dict[str, Any]:
    """What the forest plot draws: every interval, the highest difference first."""
    rows = []
    for ticker in found.order:
        report = found.reports[ticker]
        if report["delta_sharpe"] is None or report["se"] is None:
            continue
        shrunken = _ends(report.get("delta_shrunken"), report.get("se_shrunken"))
        rows.append(
            {
                "ticker": ticker,
                "number": found.number(ticker),
                "verdict": report["verdict"],
                "raw": _ends(report["delta_sharpe"], report["se"]),
                "shrunken": shrunken,
            }
        )
    names = [name for name in VERDICT_WORDS if any(row["verdict"] == name for row in rows)]
    kinds = {name: {"words": VERDICT_WORDS[name], "tone": TONES[name]} for name in names}
    return {
        "rows": rows,
        "verdicts": kinds,
        "limit": float(found.document["config"]["delta_min"]),
        "address": ours("evaluations", found.id),
    }


def lineage(found: Evaluation, behind: Background) -> Html:
    """Run, foundation, snapshot, batches, and the report as a file."""
    dag, run = behind.origin.get("dag_id"), behind.origin.get("run_id")
    snapshot = behind.snapshot
    held = [
        join(
            (
                link(ours("batches", batch.batch_id), version(batch.batch_id)),
                Html(" ("),
                link(ours("lineage", "batch", batch.batch_id), "what became of it"),
                Html(")"),
            )
        )
        for batch in behind.batches[:BATCHES_SHOWN]
    ]
    more = len(behind.batches) - BATCHES_SHOWN
    pairs: list[tuple[str, object]] = [
        ("evaluation", version(found.id)),
        ("judged first", moment(behind.origin.get("judged_at"))),
        (
            "Airflow run",
            airflow_link(airflow_run(dag, run), run, data_testid="run-link")
            if dag and run
            else None,
        ),
        ("foundation", version(found.document.get("foundation_version"))),
        (
            "feature snapshot",
            join(
                (
                    element("span", version(snapshot.snapshot_id), data_testid="snapshot"),
                    f" of {snapshot.source}, {snapshot.first_session} to {snapshot.last_session}",
                )
            )
            if snapshot
            else None,
        ),
        (
            "batches of bars, newest first",
            join((*held, f"and {more} more") if more > 0 else held, ", ") if held else None,
        ),
        (
            "the report as one file",
            element(
                "a",
                "open",
                href=ours("evaluations", found.id, "report.html"),
                data_testid="offline-report",
            ),
        ),
    ]
    return facts(pairs)


def _forest(found: Evaluation) -> Html:
    data = forest_data(found)
    if not data["rows"]:
        return Html("")
    words = forest_words(is_pooled(found.reports), data["limit"])
    n = len(data["rows"])
    highest, lowest = data["rows"][0], data["rows"][-1]
    says = (
        f"Differences of {count(n, 'ticker')}, from {highest['raw'][0]:+.2f} "
        f"({highest['ticker']}) to {lowest['raw'][0]:+.2f} ({lowest['ticker']}). {words} "
        "The table below has the numbers."
    )
    tools = element(
        "div",
        element("button", "All at a glance", type="button", data_forest="all"),
        element("button", "Zoom in", type="button", data_forest="some"),
        class_="tools",
        hidden=True,
    )
    drawing = chart(
        "forest", "Difference of Sharpe ratios, fine-tuned less from scratch", says, "", tools
    )
    return section("Difference by ticker", embedded("forest-data", data), drawing)


def _tickers(found: Evaluation, links: dict[str, str]) -> Html:
    pooled = is_pooled(found.reports)
    columns = [
        Column("Ticker"),
        Column("Verdict", choose=True),
        *(Column(name, "number", wide=i > 0) for i, name in enumerate(FIGURES[pooled])),
    ]
    rows = [
        Row(
            (
                link(links[ticker], ticker, data_ticker=found.number(ticker)),
                verdict(report["verdict"]),
                *(_figure(text) for text in figures(report, pooled)),
            ),
            {"data_testid": "ticker-row"},
        )
        for ticker in found.order
        for report in (found.reports[ticker],)
    ]
    return table(
        columns,
        rows,
        caption="Tickers of this evaluation, the highest difference first",
        testid="tickers-table",
        noun="tickers",
        page_rows=15,
        sorted_by="-Δ",
    )


def _figure(text: str) -> Cell:
    return Cell(text, 0.0 if text.startswith("<") else "")


def _ends(centre: float | None, error: float | None) -> list[float] | None:
    """A value with the ends of its 90 % interval."""
    if centre is None or error is None:
        return None
    return [round(value, 4) for value in (centre, centre - Z90 * error, centre + Z90 * error)]
