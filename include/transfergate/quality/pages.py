"""Our own pages of the Data Docs: the list of batches, and what was found in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from transfergate.quality.docs import gx_page_key
from transfergate.quality.markup import (
    SITE,
    batch_state,
    cell,
    number,
    page,
    percent,
    share_bar,
    state,
    table,
    tiles,
)
from transfergate.storage import ArtefactStore

_INDEX_COLUMNS = (
    *("batch", "source", "state", "#received", "#loaded", "#new", "#quarantined", "#released"),
    *("#rules broken", "sessions", "loaded at (UTC)"),
)
_SHOWN_TICKERS = 200


def report_key(batch_id: str) -> str:
    """Artefact key of a batch's page."""
    return f"{SITE}/batches/{batch_id}.html"


def write_batch_page(
    store: ArtefactStore,
    report: Mapping[str, Any],
    load: Mapping[str, Any] | None = None,
    releases: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Render the page of one batch; returns its key.

    Args:
        store: The artefact root.
        report: Its ``validation.json``.
        load: Its ``batch.json``; None while it is not loaded.
        releases: Releases of its rows: ``rows, who, why, known_at`` of each.
    """
    batch_id = report["batch_id"]
    body = [
        f'<p class="muted"><a href="../index.html">All batches</a>{_gx_link(store, batch_id)}</p>',
        f"<h1>Batch <code>{escape(batch_id)}</code> of {escape(report['source'])} "
        f"{state(*batch_state(report))}</h1>",
        *_counts(report, load),
        *(_refusals(report["refusals"]) if report["refusals"] else ()),
        *_quarantine(report),
        *_known(report["known_flaws"]),
        *_releases(releases),
        "<h2>What was checked</h2>",
        _checked(report["expectations"]),
        *_tickers_over_limit(report["tickers_over_limit"]),
        "<h2>Rows that break a rule</h2>",
        *_samples(report["expectations"]),
    ]
    key = report_key(batch_id)
    store.replace(key, page(f"Batch {batch_id}", body, up="../").encode())
    return key


def write_index(store: ArtefactStore, reports: Sequence[Mapping[str, Any]]) -> str:
    """Render the list of batches, the newest first; returns its key.

    Args:
        store: The artefact root.
        reports: ``validation.json`` of each, with ``load`` added: its ``batch.json`` or None,
            and ``released``: how many of its rows were released since, where there are any.
    """
    pages = set(store.keys(f"{SITE}/batches"))  # retention prunes old ones
    ordered = sorted(reports, key=lambda r: (r["load"] or {}).get("known_at", "~"), reverse=True)
    body = [
        "<h1>Data quality of daily bars</h1>",
        "<p>Every batch that was judged. Loaded and quarantined rows add up to those received; a "
        "refused batch loads nothing and keeps every row in its quarantine. Releases are loads of "
        "their own and are counted apart.</p>",
        table(_INDEX_COLUMNS, [_index_row(report, pages) for report in ordered], "batches")
        if ordered
        else "<p>No batch was judged yet.</p>",
    ]
    key = f"{SITE}/index.html"
    store.replace(key, page("Data quality", body, up="").encode())
    return key


def _index_row(report: Mapping[str, Any], pages: set[str]) -> tuple[str, ...]:
    load = report["load"] or {}
    batch_id = escape(report["batch_id"])
    quarantined = number(report["quarantined"])
    if report["quarantined"] and f"{SITE}/batches/{batch_id}/quarantine.html" in pages:
        quarantined = f'<a href="batches/{batch_id}/quarantine.html">{quarantined}</a>'
    return (
        f'<a href="batches/{batch_id}.html"><code>{batch_id}</code></a>'
        if report_key(batch_id) in pages
        else f"<code>{batch_id}</code>, page pruned",
        escape(report["source"]),
        state(*batch_state(report)),
        number(report["received"]),
        number(load.get("loaded")),
        number(load.get("new_revisions")),
        quarantined,
        number(report.get("released", 0)),
        number(sum(not e["passed"] for e in report["expectations"])),
        f'<span class="nowrap">{escape(_span(report))}</span>',
        f'<span class="nowrap">{escape(_moment(load.get("known_at")))}</span>',
    )


def _gx_link(store: ArtefactStore, batch_id: str) -> str:
    if not store.exists(gx_page_key(batch_id)):
        return ""
    target = gx_page_key(batch_id).removeprefix(f"{SITE}/")
    return f' · <a href="../{escape(target)}">Great Expectations\' page of this run</a>'


def _span(report: Mapping[str, Any]) -> str:
    return f"{report['first_session'] or ''}…{report['last_session'] or ''}"


def _moment(known_at: str | None) -> str:
    return known_at[:19].replace("T", " ") if known_at else "not loaded"


def _counts(report: Mapping[str, Any], load: Mapping[str, Any] | None) -> tuple[str, ...]:
    received, accepted = report["received"], report["accepted"]
    quarantined, refused = report["quarantined"], bool(report["refusals"])
    word = "loaded" if load else "accepted"
    facts = [
        ("received", number(received), ""),
        (word, number(accepted), "ok" if accepted else "critical"),
        (
            f"quarantined, {percent(quarantined, received)}",
            number(quarantined),
            "critical" if refused else "warning" if quarantined else "",
        ),
    ]
    if load:
        facts += [("new revisions", number(load["new_revisions"]), "")]
        facts += [("unchanged", number(load["unchanged"]), "")]
    facts.append(("tickers", number(report["tickers"]), ""))
    asked = "all sessions"
    if report["start"] or report["end"]:
        asked = f"{report['start'] or 'first'} … {report['end'] or 'last'}"
    tone = "critical" if refused else "warning"
    known = f"; known from {escape(_moment(load['known_at']))} UTC on" if load else ""
    return (
        tiles(facts),
        share_bar([(accepted, "ok"), (quarantined, tone)]) if received else "",
        f"<p>{number(received)} rows received of {number(report['tickers'])} tickers = "
        f"{number(accepted)} {word} + {number(quarantined)} quarantined"
        f"{' (nothing is loaded: the batch is refused)' if refused else ''}. "
        f"Asked for {escape(asked)}, found {escape(str(report['first_session']))} … "
        f"{escape(str(report['last_session']))}; calendar {escape(report['calendar'])}"
        f"{known}.</p>",
    )


def _refusals(refusals: Sequence[str]) -> tuple[str, ...]:
    items = "".join(f"<p>{escape(text)}</p>" for text in refusals)
    return (f'<div class="refused"><p><b>The whole batch is refused.</b></p>{items}</div>',)


def _quarantine(report: Mapping[str, Any]) -> list[str]:
    if not report["quarantined"]:
        return []
    folder = escape(report["batch_id"])
    rules = [
        (_filtered(folder, item["rule"], reason=item["rule"]), number(item["rows"]),
         number(item["tickers"]))
        for item in report["quarantined_by_rule"]
    ]  # fmt: skip
    by_ticker = report["quarantined_by_ticker"]
    tickers = [
        (
            _filtered(folder, item["ticker"] or "null", ticker=item["ticker"] or ""),
            number(item["received"]),
            number(item["received"] - item["quarantined"]),
            number(item["quarantined"]),
            percent(item["quarantined"], item["received"]),
            escape(", ".join(f"{rule} {number(rows)}" for rule, rows in item["rules"].items())),
        )
        for item in by_ticker[:_SHOWN_TICKERS]
    ]
    more = len(by_ticker) - len(tickers)
    header = ("ticker", "#received", "#accepted", "#quarantined", "#share", "rules")
    return [
        "<h2>Quarantine</h2>",
        f'<p><a href="{folder}/quarantine.html">Browse the rows</a> · '
        f'<a href="{folder}/quarantine.csv" download>CSV</a></p>',
        table(("rule", "#rows", "#tickers"), rules, "narrow"),
        table(header, tickers),
        f'<p class="muted">{number(more)} more tickers with fewer rows.</p>' if more > 0 else "",
    ]


def _filtered(folder: str, text: str, **asked: str) -> str:
    href = f"{folder}/quarantine.html#{escape(urlencode(asked))}"
    return f'<a href="{href}">{escape(text)}</a>'


def _known(flaws: Sequence[Mapping[str, Any]]) -> list[str]:
    if not flaws:
        return []
    rows = [
        (
            f"<code>{escape(flaw['rule'])}</code>",
            escape(", ".join(flaw["tickers"]) or "all"),
            escape("loaded as received" if flaw["keep"] == "as received" else "quarantined"),
            number(flaw["rows"]),
            escape(flaw["note"]),
        )
        for flaw in flaws
    ]
    return [
        "<h2>Known flaws of the source</h2>",
        "<p>Declared in its settings; they count against no limit.</p>",
        table(("rule", "tickers", "how it is kept", "#rows", "note"), rows),
    ]


def _releases(releases: Sequence[Mapping[str, Any]]) -> list[str]:
    if not releases:
        return []
    rows = [
        (
            f"<code>{escape(item['release_id'])}</code>",
            number(item["rows"]),
            escape(item["who"]),
            escape(item["why"]),
            escape(_moment(item["known_at"])),
        )
        for item in releases
    ]
    return [
        "<h2>Released since</h2>",
        table(("release", "#rows", "who", "why", "known at (UTC)"), rows),
    ]


def _checked(expectations: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"<code>{escape(item['rule'])}</code>",
            escape(item["severity"]),
            state("passed", "ok") if item["passed"] else state("broken", item["severity"]),
            escape(item["text"]),
            escape(item["found"]),
        )
        for item in sorted(expectations, key=_broken_first)
    ]
    return table(("rule", "severity", "result", "expected", "found"), rows)


def _broken_first(item: Mapping[str, Any]) -> tuple[bool, bool]:
    return item["passed"], item["severity"] != "critical"


def _tickers_over_limit(over_limit: Mapping[str, str]) -> tuple[str, ...]:
    if not over_limit:
        return ()
    rows = [(escape(ticker), escape(text)) for ticker, text in sorted(over_limit.items())]
    return ("<h2>Tickers quarantined whole</h2>", table(("ticker", "why"), rows))


def _samples(expectations: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = []
    for item in expectations:
        if not item["sample"]:
            continue
        columns = tuple(item["sample"][0])
        rows = [tuple(escape(cell(row[c])) for c in columns) for row in item["sample"]]
        shown = f"{len(rows)} of {item['rows']}" if item["rows"] > len(rows) else f"{len(rows)}"
        parts.append(
            f"<details open><summary><code>{escape(item['rule'])}</code> "
            f"{state(item['severity'], item['severity'])} {shown} rows shown</summary>"
            f"{table(columns, rows)}</details>"
        )
    return parts or ["<p>None.</p>"]
