"""The page of one batch: counts, what failed in words, quarantine by reason and ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from transfergate.orchestration.ui.links import ours
from transfergate.orchestration.ui.markup import Html, badge, element, facts, join, link, section
from transfergate.orchestration.ui.shell import page
from transfergate.orchestration.ui.table import Cell, Column, table
from transfergate.orchestration.ui.words import moment
from transfergate.quality import NO_TICKER, batch_state, gx_page_key, report_key
from transfergate.storage import ArtefactStore

TONES = {"ok": ("good", "✔"), "warning": ("warn", "▲"), "critical": ("bad", "✖")}
SEVERITIES = {
    "critical": ("bad", "✖", "critical: such rows are not loaded"),
    "warning": ("warn", "▲", "warning: such rows are loaded"),
    "info": ("calm", "i", "for information"),
}

Report = Mapping[str, Any]


def loaded_of(content: Any) -> dict[str, Any]:
    """What the page shows of a ``batch.json``."""
    datetime.fromisoformat(content["known_at"])
    counts = {name: int(content[name]) for name in ("new_revisions", "unchanged")}
    return {"known_at": content["known_at"], **counts}


def batch_page(store: ArtefactStore, report: Report, load: Report | None, notice: Html) -> str:
    """The whole page.

    Args:
        store: Where its Data Docs are.
        report: ``validation.json`` of the batch.
        load: ``batch.json``; None while it is not loaded.
        notice: Stands at its head.
    """
    batch_id = report["batch_id"]
    verdict, tone = batch_state(report)
    lead = join((badge(verdict, *TONES[tone]), f" · bars of {report['source']}"))
    failed = [one for one in report["expectations"] if not one["passed"]]
    body = join(
        (
            notice,
            _refused(report["refusals"]),
            _counts(report, load),
            _ways(store, batch_id, load),
            section("What failed", _failures(report, failed)),
            _quarantine(report),
            section("What was checked", _checked(report["expectations"])),
        )
    )
    trail = (("Data quality", ours("batches")),)
    return page(f"Batch {batch_id}", body, active="batches", lead=lead, trail=trail)


def rows_url(batch_id: str, kind: str = "quarantine", **wanted: str) -> str:
    """Path of the quarantine's page or CSV with a filter."""
    query = urlencode({name: value for name, value in wanted.items() if value})
    return ours("batches", batch_id, kind) + (f"?{query}" if query else "")


def _refused(refusals: Sequence[str]) -> Html:
    if not refusals:
        return Html("")
    told = join(element("li", text) for text in refusals)
    return element(
        "div",
        element("p", element("strong", "The whole batch is refused: nothing of it was loaded.")),
        element("ul", told),
        element("p", "Correct the source, or the source's thresholds in the settings, and ingest "
                "again: another judgement is another batch.", class_="note"),
        class_="empty",
        role="note",
        data_testid="refusals",
    )  # fmt: skip


def _counts(report: Report, load: Report | None) -> Html:
    received, set_apart = report["received"], report["quarantined"]
    refused = bool(report["refusals"])
    share = f" ({set_apart / received:.2%})" if received and set_apart and not refused else ""
    accepted = 0 if refused else report["accepted"]
    asked = f"{report['start'] or 'the first'} … {report['end'] or 'the last'}"
    return facts(
        (
            ("Received", f"{received:,}"),
            ("Loaded" if load else "Accepted, not loaded", f"{accepted:,}"),
            ("Quarantined", f"{0 if refused else set_apart:,}{share}"),
            ("Refused with the batch", f"{received:,}" if refused else ""),
            ("New revisions", f"{load['new_revisions']:,}" if load else ""),
            ("Unchanged", f"{load['unchanged']:,}" if load else ""),
            ("Tickers", f"{report['tickers']:,}"),
            ("First session", report["first_session"]),
            ("Last session", report["last_session"]),
            ("Asked for", asked),
            ("Calendar", report["calendar"]),
            ("Known from", moment(load["known_at"]) if load else ""),
        ),
        data_testid="batch-counts",
    )


def _ways(store: ArtefactStore, batch_id: str, load: Report | None) -> Html:
    named = {"class_": "button"}
    found = []
    if store.exists(gx_page_key(batch_id)):
        great = link(
            ours(*gx_page_key(batch_id).split("/")),
            "Great Expectations' Data Docs of this batch",
            data_testid="gx-link",
            **named,
        )
        found.append(great)
    if store.exists(report_key(batch_id)):
        docs = ours(*report_key(batch_id).split("/"))
        found.append(link(docs, "Page of this batch as a file", data_testid="docs-link", **named))
    if load:
        way = ours("lineage", "batch", batch_id)
        found.append(link(way, "What was made of it", data_testid="lineage-link", **named))
    return element("p", join(found, " "), class_="acts")


def _failures(report: Report, failed: Sequence[Report]) -> Html:
    if not failed:
        return element("p", "Nothing: every expectation was met.", class_="calm-state")
    items = []
    # What a rule finds may stand in the quarantine under another's name, or not at all.
    shown = {one["rule"] for one in report["quarantined_by_rule"]}
    for one in failed:
        tone, sign, meaning = SEVERITIES.get(one["severity"], SEVERITIES["info"])
        rows: object = ""
        if one["rule"] in shown:
            rows = link(rows_url(report["batch_id"], reason=one["rule"]), "Show the rows")
        told = (
            element("strong", f"Expected: {one['text']}"),
            element("p", f"Found: {one['found'] or 'otherwise'}. ", rows),
            element("p", element("code", one["rule"]), f" · {meaning}", class_="small"),
        )
        body = element("div", *told, _sample(one["sample"]))
        sign_ = element("span", sign, class_="sign", aria_hidden="true")
        items.append(element("li", sign_, body, class_=tone, data_testid="failed-expectation"))
    return element("ul", join(items), class_="attention")


def _sample(rows: Sequence[Report]) -> Html:
    if not rows:
        return Html("")
    names = list(rows[0])
    head = join(element("th", name, scope="col") for name in names)
    body = join(
        element("tr", *(element("td", cell_text(row.get(name))) for name in names)) for row in rows
    )
    shown = element(
        "table", element("thead", element("tr", head)), element("tbody", body), class_="data small"
    )
    title = f"The first {len(rows)} of them" if len(rows) > 1 else "The row"
    return element("details", element("summary", title), element("div", shown, class_="scroll"))


def _quarantine(report: Report) -> Html:
    if not report["quarantined"]:
        return Html("")
    batch_id = report["batch_id"]
    ways = element(
        "p",
        link(rows_url(batch_id), "Browse the rows", class_="button", data_testid="quarantine-link"),
        " ",
        link(rows_url(batch_id, "quarantine.csv"), "All of them as CSV", class_="button",
             download=True, data_testid="csv-link"),
        class_="acts",
    )  # fmt: skip
    by_rule = table(
        [Column("Reason"), Column("Rows", "number"), Column("Tickers", "number")],
        [
            (
                link(rows_url(batch_id, reason=one["rule"]), element("code", one["rule"])),
                _count(one["rows"]),
                _count(one["tickers"]),
            )
            for one in report["quarantined_by_rule"]
        ],
        caption="Quarantined rows by reason",
        testid="reasons-table",
        noun="reasons",
    )
    return section("Quarantine", ways, by_rule, _by_ticker(report))


def _by_ticker(report: Report) -> Html:
    batch_id = report["batch_id"]
    rows = [
        (
            link(
                rows_url(batch_id, ticker=one["ticker"] or NO_TICKER),
                one["ticker"] or element("em", "no ticker"),
            ),
            _count(one["received"]),
            _count(one["quarantined"]),
            ", ".join(f"{rule} {count:,}" for rule, count in one["rules"].items()),
        )
        for one in report["quarantined_by_ticker"]
    ]
    return table(
        [Column("Ticker"), Column("Received", "number", wide=True),
         Column("Quarantined", "number"), Column("Reasons")],
        rows,
        caption="Quarantined rows by ticker",
        testid="quarantined-tickers-table",
        noun="tickers",
    )  # fmt: skip


def _checked(expectations: Sequence[Report]) -> Html:
    rows = []
    for one in expectations:
        tone, sign, _ = SEVERITIES.get(one["severity"], SEVERITIES["info"])
        met = badge("met", "good", "✔") if one["passed"] else badge("failed", tone, sign)
        rows.append((one["text"], one["severity"], met, one["found"] or None))
    listed = table(
        [Column("Expectation"), Column("Severity", choose=True, wide=True),
         Column("Result", choose=True), Column("Found", wide=True)],
        rows,
        caption="Expectations of this batch",
        testid="expectations-table",
        noun="expectations",
        page_rows=100,
    )  # fmt: skip
    n_failed = sum(not one["passed"] for one in expectations)
    told = f"{len(expectations)} expectations, {n_failed} failed"
    return element("details", element("summary", told), listed)


def cell_text(value: Any) -> str | None:
    """A value of a bar as text: figures short, None for null."""
    if value is None:
        return None
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", value)
