"""The quarantine of a batch: a page of rows, filtered and paged by the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transfergate.orchestration.ui.links import ours
from transfergate.orchestration.ui.markup import Html, attributes, element, join, link
from transfergate.orchestration.ui.quality_batch import cell_text, rows_url
from transfergate.orchestration.ui.shell import page
from transfergate.quality import BATCH_REFUSED, NO_TICKER, TICKER_LIMIT, Filter, Part
from transfergate.storage.bars import BAR_SCHEMA

PAGE_ROWS = 100
TICKERS_OFFERED = 2_000
NO_RULES = {
    TICKER_LIMIT: "too many rows of its ticker break a rule: it waits as a whole",
    BATCH_REFUSED: "its batch was refused as a whole",
    **{f"unreadable_{name}": "this cell could not be read" for name in BAR_SCHEMA.names},
}
"""Reasons beside the expectations."""

_FIGURES = ("open", "high", "low", "close", "volume", "adj_close")
_HEADS = ("Ticker", "Session", "Reasons", *(name.replace("_", " ") for name in _FIGURES), "From")


def quarantine_page(report: Mapping[str, Any], wanted: Filter, part: Part, page_number: int) -> str:
    """The whole page.

    Args:
        report: ``validation.json`` of the batch.
        wanted: The filter, as it was asked for.
        part: The rows of this page.
        page_number: From 1.
    """
    batch_id = report["batch_id"]
    asked = {"ticker": wanted.ticker, "reason": wanted.rule}
    csv = link(
        rows_url(batch_id, "quarantine.csv", **asked),
        "These rows as CSV" if any(asked.values()) else "All rows as CSV",
        class_="button",
        download=True,
        data_testid="csv-link",
    )
    body = join(
        (
            _filters(report, wanted),
            _reasons(report, wanted),
            element("p", csv, class_="acts"),
            _table(part) if part.rows else _nothing(report, part),
            _pager(batch_id, asked, part, page_number),
        )
        if part.total
        else (_nothing(report, part),)
    )
    trail = (
        ("Data quality", ours("batches")),
        (f"Batch {batch_id}", ours("batches", batch_id)),
    )
    lead = (
        f"{part.total:,} rows of {report['source']} that were not loaded, as they were received. "
        f"Genuine ones are let through with transfergate quarantine release."
    )
    return page("Quarantine", body, active="batches", lead=lead, trail=trail)


def _filters(report: Mapping[str, Any], wanted: Filter) -> Html:
    tickers = [one["ticker"] or NO_TICKER for one in report["quarantined_by_ticker"]]
    offered = join(Html(f"<option{attributes(value=name)}>") for name in tickers[:TICKERS_OFFERED])
    rules = [one["rule"] for one in report["quarantined_by_rule"]]
    if wanted.rule and wanted.rule not in rules:
        rules.append(wanted.rule)
    options = [element("option", "all", value="")] + [
        element("option", rule, value=rule, selected=rule == wanted.rule) for rule in rules
    ]
    typed = attributes(
        name="ticker", value=wanted.ticker, list="tickers", maxlength=200, placeholder="all",
        autocomplete="off",
    )  # fmt: skip
    return element(
        "form",
        element("label", "Ticker ", Html(f"<input{typed}>")),
        element("datalist", offered, id="tickers"),
        element("label", "Reason ", element("select", *options, name="reason")),
        element("button", "Show", type="submit"),
        link(rows_url(report["batch_id"]), "Clear") if wanted != Filter() else "",
        method="get",
        class_="tools",
        aria_label="Filter the rows",
        data_testid="quarantine-filter",
    )


def _reasons(report: Mapping[str, Any], wanted: Filter) -> Html:
    """How many rows have each reason, of the ticker that is asked for: links that filter."""
    counts = {one["rule"]: one["rows"] for one in report["quarantined_by_rule"]}
    if wanted.ticker:
        tickers = report["quarantined_by_ticker"]
        own = {one["ticker"] or NO_TICKER: one["rules"] for one in tickers}
        counts = own.get(wanted.ticker, {})
    if not counts:
        return Html("")
    meant = NO_RULES | {one["rule"]: one["text"] for one in report["expectations"]}
    items = [
        element(
            "li",
            link(
                rows_url(report["batch_id"], ticker=wanted.ticker, reason=rule),
                element("code", rule),
                title=meant.get(rule),
                aria_current="true" if rule == wanted.rule else None,
            ),
            f" {rows:,}",
        )
        for rule, rows in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]
    whose = f" of {wanted.ticker}" if wanted.ticker else ""
    told = element("span", f"Rows{whose} by reason, of which a row may have several:")
    return element(
        "nav", told, element("ul", *items), class_="reasons", aria_label="Rows by reason",
        data_testid="reason-counts",
    )  # fmt: skip


def _table(part: Part) -> Html:
    head = join(
        element("th", name, scope="col", class_="n" if name.replace(" ", "_") in _FIGURES else None)
        for name in _HEADS
    )
    rows = join(element("tr", *_cells(row), data_testid="quarantine-row") for row in part.rows)
    shown = element(
        "table",
        element("caption", "Quarantined rows", class_="unseen"),
        element("thead", element("tr", head)),
        element("tbody", rows),
        class_="data",
        data_testid="quarantine-table",
    )
    return element("div", shown, class_="scroll", tabindex="0", role="group",
                   aria_label="Quarantined rows")  # fmt: skip


def _cells(row: Mapping[str, Any]) -> list[Html]:
    unread = _unreadable(row["unreadable"])
    reasons = join((element("code", rule) for rule in row["reasons"]), " ")
    ticker = row["ticker"] if row["ticker"] not in (None, "") else element("em", "none")
    cells = [
        element("th", ticker, scope="row"),
        element("td", element("span", _text(row, "session_date", unread), class_="moment")),
        element("td", reasons),
    ]
    cells += [element("td", _text(row, name, unread), class_="n") for name in _FIGURES]
    origin = str(row["origin"] or "").rpartition("/")[2]
    place = f"{origin}, line {row['line']}" if origin and row["line"] else origin or None
    cells.append(element("td", place, class_="small", title=row["origin"] or None))
    return cells


def _text(row: Mapping[str, Any], name: str, unread: Mapping[str, Any]) -> object:
    # A cell that could not be read is shown as it was received, marked.
    if row[name] is None and name in unread:
        return element("mark", unread[name], title="could not be read")
    return cell_text(row[name])


def _unreadable(told: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(told) if told else {}
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _nothing(report: Mapping[str, Any], part: Part) -> Html:
    if not part.total:
        return element("p", "This batch has no quarantined rows.", class_="calm-state")
    if part.matching:
        return element("p", "There are fewer pages than that.", class_="empty")
    all_of_them = link(rows_url(report["batch_id"]), "show all of them")
    return element("p", "No quarantined row fits this filter: ", all_of_them, ".", class_="empty")


def _pager(batch_id: str, asked: Mapping[str, str], part: Part, number: int) -> Html:
    pages = max(-(-part.matching // PAGE_ROWS), 1)
    first = (number - 1) * PAGE_ROWS + 1
    told = f"{part.matching:,} rows"
    if part.rows and pages > 1:
        told = f"{first:,} to {first + len(part.rows) - 1:,} of {part.matching:,} rows"
    if part.matching < part.total:
        told += f" match, of {part.total:,}"

    def to(page_: int, text: str, rel: str) -> Html:
        if not 1 <= page_ <= pages or page_ == number:
            return Html("")
        where = rows_url(batch_id, **asked, page=str(page_))
        return link(where, text, class_="button", rel=rel, data_testid=f"{rel}-page")

    return element(
        "nav",
        to(min(number, pages + 1) - 1, "Previous", "prev"),
        element("span", told, role="status", data_testid="quarantine-count"),
        to(number + 1, "Next", "next"),
        class_="pager",
        aria_label="Pages of the quarantine",
    )
