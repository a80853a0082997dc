"""Evaluations, newest first, and the promotion report of each: pages, parts of them, numbers."""

from __future__ import annotations

from typing import Annotated

from fastapi import HTTPException, Query, Response
from fastapi.responses import HTMLResponse

from transfergate.orchestration.redaction import hidden
from transfergate.orchestration.ui import report_list, report_page, report_ticker
from transfergate.orchestration.ui.attention import notice
from transfergate.orchestration.ui.data import current, shown
from transfergate.orchestration.ui.evaluations import (
    Evaluation,
    background,
    find,
    is_id,
    summaries,
)
from transfergate.orchestration.ui.guard import EVALUATIONS, guarded
from transfergate.orchestration.ui.links import ours
from transfergate.orchestration.ui.markup import empty, join, link
from transfergate.orchestration.ui.shell import page
from transfergate.registry.records import Records
from transfergate.settings import Settings
from transfergate.steps.keeping import report_key

router = guarded(EVALUATIONS)
KEEP = {"Cache-Control": "private, max-age=3600"}
OFFLINE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
}


@router.get("/evaluations", response_class=HTMLResponse)
def evaluations() -> str:
    """Every evaluation."""
    _, records = current()
    found = summaries(records)
    return report_list.render(found, notice(records.broken.values()))


@router.get("/evaluations/{evaluation_id}", response_class=HTMLResponse)
def evaluation(
    evaluation_id: str, ticker: Annotated[str | None, Query(max_length=200)] = None
) -> str:
    """The promotion report, one ticker of it open: that of the highest difference, or as asked."""
    settings, records = current()
    found = find(records, evaluation_id)
    if found is None and records.broken:
        return _broken(records, evaluation_id)
    if found is None:
        raise HTTPException(404, "There is no such evaluation.")
    if ticker is not None and ticker not in found.reports:
        raise HTTPException(404, f"Evaluation {evaluation_id} has no ticker {ticker}.")
    if ticker is None and found.order:
        ticker = found.order[0]
    made = shown(
        records,
        f"evaluations/{evaluation_id}/verdicts.json",
        lambda: _whole(settings, records, found, ticker),
    )
    return made if made is not None else _broken(records, evaluation_id)


@router.get("/evaluations/{evaluation_id}/tickers/{number}", response_class=HTMLResponse)
def ticker_part(evaluation_id: str, number: int) -> str:
    """The part of a report that is about one ticker, to be put into the page."""
    settings, records = current()
    found = _found(records, evaluation_id)
    ticker = _ticker(found, number)
    behind = background(records, found)
    part = shown(
        records,
        f"evaluations/{evaluation_id}/verdicts.json",
        lambda: report_ticker.render(records.store, found, ticker, behind, settings.tracking_uri),
    )
    if part is None:
        raise HTTPException(404, "This evaluation lacks what the page shows of a ticker.")
    return part


@router.get("/evaluations/{evaluation_id}/charts/{number}")
def ticker_charts(evaluation_id: str, number: int) -> Response:
    """The numbers of one ticker's charts, compressed as they were kept."""
    _, records = current()
    found = _found(records, evaluation_id)
    content = found.charts(records.store, _ticker(found, number))
    if content is None:
        raise HTTPException(404, "The numbers of the charts were not kept with this evaluation.")
    headers = {"Content-Encoding": "gzip", **KEEP}
    return Response(content, media_type="application/json", headers=headers)


@router.get("/evaluations/{evaluation_id}/report.html")
def self_contained(evaluation_id: str) -> Response:
    """The report as one file that reads anywhere: to keep, or to send to somebody."""
    _, records = current()
    if not is_id(evaluation_id):
        raise HTTPException(404, "There is no such evaluation.")
    key = report_key(evaluation_id)
    if not records.store.exists(key):
        raise HTTPException(404, "This evaluation has no report of its own; judge again.")
    return Response(records.store.read(key), media_type="text/html", headers=OFFLINE)


def _found(records: Records, evaluation_id: str) -> Evaluation:
    found = find(records, evaluation_id)
    if found is None:
        told = [hidden(one.problem) for one in records.broken.values()]
        why = f"This evaluation cannot be used: {told[0]}." if told else ""
        raise HTTPException(404, why or "There is no such evaluation.")
    return found


def _whole(settings: Settings, records: Records, found: Evaluation, ticker: str | None) -> str:
    behind = background(records, found)
    part = (
        ""
        if ticker is None
        else report_ticker.render(records.store, found, ticker, behind, settings.tracking_uri)
    )
    return report_page.render(found, behind, part, notice(records.broken.values()))


def _broken(records: Records, evaluation_id: str) -> str:
    """What is left of an evaluation whose verdicts cannot be read."""
    left: object = "Nothing of it can be shown."
    if records.store.exists(report_key(evaluation_id)):
        file = ours("evaluations", evaluation_id, "report.html")
        left = link(file, "Its report as one file is still there")
    body = join((notice(records.broken.values()), empty("This evaluation is broken", left)))
    trail = (("Evaluations", ours("evaluations")),)
    return page("Does pre-training help?", body, active="evaluations", trail=trail)


def _ticker(found: Evaluation, number: int) -> str:
    if not 0 <= number < len(found.tickers):
        raise HTTPException(404, f"Evaluation {found.id} has {len(found.tickers)} tickers.")
    return found.tickers[number]
