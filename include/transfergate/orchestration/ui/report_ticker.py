"""The part of a promotion report that is about one ticker: pictures, then the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from transfergate.orchestration.ui.evaluations import Background, Evaluation
from transfergate.orchestration.ui.links import ours
from transfergate.orchestration.ui.markup import Html, element, facts, join, link
from transfergate.orchestration.ui.report_page import chart, embedded, where
from transfergate.orchestration.ui.words import verdict, version
from transfergate.reporting import sections
from transfergate.reporting.figures import Figure, figures
from transfergate.reporting.markup import table
from transfergate.reporting.words import SLICE_WORDS, Z90, number
from transfergate.steps.keeping import unpack_charts
from transfergate.storage import ArtefactStore


def render(
    store: ArtefactStore,
    found: Evaluation,
    ticker: str,
    behind: Background,
    tracking_uri: str,
) -> str:
    """HTML of the part, to be put into the page."""
    report = found.reports[ticker]
    delta = number(report["delta_sharpe"], 2, sign=True)
    kept = found.charts(store, ticker)
    drawn, damaged = _drawn(ticker, kept)
    slices = _slices(ticker, report)
    title = element(
        "h2",
        ticker,
        " ",
        element("small", verdict(report["verdict"]), f" Δ {delta}" if delta != "-" else ""),
        id="ticker-title",
    )
    parts = [
        _ways(found, ticker),
        title,
        Html(sections.account(report, float(found.document["config"]["delta_min"]))),
        _charts(drawn) if drawn else _no_charts(found, kept, damaged),
        slices,
        element("h3", "The numbers"),
        Html(sections.facts(report)),
        Html(sections.numbers(report)),
        element("h3", "What stands behind it"),
        _links(ticker, report, behind, tracking_uri),
    ]
    return element(
        "article",
        *parts,
        data_number=found.number(ticker),
        data_source=ours("evaluations", found.id, "charts", str(found.number(ticker))),
        data_ticker=ticker,
        data_testid="ticker-report",
        aria_labelledby="ticker-title",
        tabindex="-1",
    )


def _ways(found: Evaluation, ticker: str) -> Html:
    """To the tickers before and after this one, in the order of the forest plot."""
    place = found.order.index(ticker)
    before = found.order[place - 1] if place else None
    after = found.order[place + 1] if place + 1 < len(found.order) else None
    items = [
        link(where(found, other), text, data_ticker=found.number(other), rel=rel)
        for other, text, rel in ((before, f"← {before}", "prev"), (after, f"{after} →", "next"))
        if other is not None
    ]
    told = element("span", f"{place + 1} of {len(found.order)}", class_="note")
    return element("nav", told, *items, class_="ways", aria_label="Tickers")


def _charts(drawn: Sequence[Figure]) -> Html:
    found = []
    for figure in drawn:
        shown = table(figure.title, figure.head, figure.rows)
        numbers = element("details", element("summary", "The numbers behind it"), Html(shown))
        tools = ""
        if figure.kind == "learning":
            box = element("select", element("option", "all folds", value=""), data_folds=True)
            tools = element("div", element("label", "Fold ", box), class_="tools", hidden=True)
        found.append(chart(figure.kind, figure.title, figure.says, numbers, tools))
    hint = element(
        "p",
        "Shaded: every second test window; folds are numbered along the calendar. Names of arms "
        "switch curves on and off (positions start with both trained arms); the bar below the "
        "first chart zooms all three.",
        class_="note small",
    )
    without = element(
        "noscript",
        element(
            "p", "Charts need a script; the report as one file is drawn without.", class_="note"
        ),
    )
    return join((without, hint, element("div", *found, class_="charts")))


def _drawn(ticker: str, kept: bytes | None) -> tuple[Sequence[Figure], bool]:
    """Figures, and whether there are none because what was kept is damaged."""
    try:
        return (figures(ticker, unpack_charts(kept)) if kept else []), False
    except (LookupError, TypeError, ValueError):
        return [], True


def _no_charts(found: Evaluation, kept: bytes | None, damaged: bool) -> Html:
    file = link(ours("evaluations", found.id, "report.html"), "report as one file")
    if damaged:
        told = join(("The numbers of its charts are damaged: restore the evaluation's folder "
                     "charts from a backup. Until then see the ", file, "."))  # fmt: skip
        return element("p", told, class_="note", data_testid="damaged-charts")
    text = (
        "There is nothing to draw: no session of this ticker was scored."
        if kept
        else join(
            ("The numbers of its charts were not kept with this evaluation: see the ", file, ".")
        )
    )
    return element("p", text, class_="note")


def _slices(ticker: str, report: Mapping[str, Any]) -> Html:
    """Differences by regime as a picture; the table among the numbers has the rest."""
    rows = []
    for row in (report.get("regimes") or {}).get("slices") or []:
        if row["delta_sharpe"] is None or row["se_time"] is None:
            continue
        delta, error = row["delta_sharpe"], row["se_time"]
        words = SLICE_WORDS.get((row["by"], row["label"]), row["label"])
        ends = [round(value, 4) for value in (delta, delta - Z90 * error, delta + Z90 * error)]
        rows.append({"label": words, "raw": ends})
    if not rows:
        return Html("")
    told = "; ".join(f"{row['label']} {row['raw'][0]:+.2f}" for row in rows)
    says = (
        f"Difference of {ticker} by regime of the market and by year, with 90 % intervals over "
        f"time: {told}. A description, not a test."
    )
    drawing = chart("regimes", "Difference by regime of the market, and by year", says)
    return join((embedded("regimes-data", {"rows": rows}), drawing))


def _links(ticker: str, report: Mapping[str, Any], behind: Background, tracking_uri: str) -> Html:
    candidate = report.get("candidate")
    tracked = (behind.origin.get("mlflow") or {}).get(ticker)
    return facts(
        [
            ("candidate", version(candidate) if candidate else None),
            (
                "champion it faced",
                version(report["incumbent"]) if report.get("incumbent") else None,
            ),
            ("champions", link(ours("champions", ticker), f"history of {ticker}")),
            ("lineage", link(ours("lineage", "champion", ticker), "from champion to bars")),
            ("MLflow run", _mlflow(tracked, tracking_uri)),
        ],
        data_testid="ticker-links",
    )


def _mlflow(tracked: Mapping[str, str] | None, tracking_uri: str) -> object:
    """A link where MLflow is a server; else the run's id, for its own UI.

    An address may hold a user and a password: these are not for whoever reads a report.
    """
    if not tracked:
        return None
    run, experiment = tracked["run_id"], tracked["experiment_id"]
    parts = urlsplit(tracking_uri)
    shown = tracking_uri
    if parts.netloc:
        host = parts.netloc.rpartition("@")[2]
        shown = parts._replace(netloc=host, query="", fragment="").geturl()
    if parts.scheme in ("http", "https"):
        address = f"{shown.rstrip('/')}/#/experiments/{experiment}/runs/{run}"
        return element("a", version(run), href=address, target="_top", rel="noopener")
    return element("span", version(run), title="mlflow ui --backend-store-uri " + shown)
