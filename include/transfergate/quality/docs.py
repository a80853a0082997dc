"""Data Docs that open without a network: our own pages, and Great Expectations' made local.

``index.html`` lists the batches, ``batches/<batch_id>.html`` shows what was checked in one and
which rows failed; both link to Great Expectations' own page of the run below ``gx/``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from transfergate.quality.suite import SUITE_NAME
from transfergate.storage import ArtefactStore

_ASSETS = Path(__file__).parent / "assets"
_LOCAL = ("bootstrap.min.css", "bootstrap.bundle.min.js", "jquery.min.js", "icons.css", "pages.css")
_REPLACED = {
    "/bootstrap.min.css": "bootstrap.min.css",
    "/jquery-3": "jquery.min.js",
    "/bootstrap.min.js": "bootstrap.bundle.min.js",
    "font-awesome": "icons.css",
}
_REMOTE_TAG = re.compile(
    r"<script[^>]*\ssrc=\"(https?://[^\"]+)\"[^>]*>\s*</script>"
    r"|<link[^>]*\shref=\"(https?://[^\"]+)\"[^>]*>",
)
_REMOTE_LOGO = re.compile(r"src=\"https?://[^\"]*/logo-long\.png[^\"]*\"")
_INDEX_COLUMNS = (
    *("batch", "source", "state", "#received", "#loaded", "#new", "#quarantined"),
    *("#rules broken", "sessions", "loaded at (UTC)"),
)
_SITE = "data_docs"
_GX = f"{_SITE}/gx"


def report_key(batch_id: str) -> str:
    """Artefact key of a batch's page."""
    return f"{_SITE}/batches/{batch_id}.html"


def publish_gx_pages(store: ArtefactStore, rendered: Path, batch_id: str) -> None:
    """Put what Great Expectations rendered for one run among the Data Docs.

    The pages load nothing from a network afterwards. A batch has one page: that of its last run.

    Args:
        store: The artefact root.
        rendered: Folder of a site with this run alone.
        batch_id: Name of the run.
    """
    for name in _LOCAL:
        _keep(store, f"{_SITE}/assets/{name}", (_ASSETS / name).read_bytes())
    for path in sorted((rendered / "static").rglob("*")):
        if path.is_file() and path.suffix != ".gif":
            _keep(store, f"{_GX}/{path.relative_to(rendered).as_posix()}", path.read_bytes())
    # Its home page would know only this run, so ours stands in for it.
    home = '<!doctype html><meta http-equiv="refresh" content="0; url=../index.html">\n'
    _keep(store, f"{_GX}/index.html", home.encode())
    for page in sorted(rendered.glob("expectations/*.html")):
        key = f"{_GX}/expectations/{page.name}"
        store.replace(key, _local(page.read_text(encoding="utf-8"), "../../").encode())
    (page,) = rendered.glob(f"validations/{SUITE_NAME}/{batch_id}/*/*.html")
    local = _local(page.read_text(encoding="utf-8"), "../" * 5)
    store.replace(_gx_page_key(batch_id), local.encode())


def _gx_page_key(batch_id: str) -> str:
    # As deep as Great Expectations puts it, so that its relative links hold.
    return f"{_GX}/validations/{SUITE_NAME}/{batch_id}/last/bars.html"


def _keep(store: ArtefactStore, key: str, content: bytes) -> None:
    if not store.exists(key) or store.read(key) != content:
        store.replace(key, content)


def _local(page: str, up: str) -> str:
    page = _REMOTE_TAG.sub(partial(_local_tag, up), page)
    return _REMOTE_LOGO.sub(f'src="{up}gx/static/images/logo-long.png"', page)


def _local_tag(up: str, tag: re.Match[str]) -> str:
    # One of ours instead of what it replaces; the rest serves charts that these pages lack.
    url = tag.group(1) or tag.group(2)
    name = next((local for part, local in _REPLACED.items() if part in url), None)
    if name is None:
        return ""
    if tag.group(1):
        return f'<script src="{up}assets/{name}"></script>'
    return f'<link rel="stylesheet" href="{up}assets/{name}">'


def write_batch_page(store: ArtefactStore, report: Mapping[str, Any]) -> Path:
    """Render the page of one batch from its ``validation.json``; returns its path."""
    batch_id = report["batch_id"]
    link = ""
    if store.exists(_gx_page_key(batch_id)):
        target = _gx_page_key(batch_id).removeprefix(f"{_SITE}/")
        link = f' · <a href="../{escape(target)}">Great Expectations\' page of this run</a>'
    body = [
        f'<p class="muted"><a href="../index.html">All batches</a>{link}</p>',
        f"<h1>Batch <code>{escape(batch_id)}</code> of {escape(report['source'])} "
        f"{_state(*_batch_state(report))}</h1>",
        _counts(report),
        *(_refusals(report["refusals"]) if report["refusals"] else ()),
        "<h2>What was checked</h2>",
        _table(
            ("rule", "severity", "result", "expected", "found"),
            [
                (
                    f"<code>{escape(item['rule'])}</code>",
                    escape(item["severity"]),
                    _state("passed", "ok")
                    if item["passed"]
                    else _state("broken", item["severity"]),
                    escape(item["text"]),
                    escape(item["found"]),
                )
                for item in sorted(report["expectations"], key=_broken_first)
            ],
        ),
        *_tickers_over_limit(report["tickers_over_limit"]),
        "<h2>Rows that break a rule</h2>",
        *_samples(report["expectations"]),
    ]
    key = report_key(batch_id)
    store.replace(key, _page(f"Batch {batch_id}", body, up="../").encode())
    return store.path(key)


def write_index(store: ArtefactStore, reports: Sequence[Mapping[str, Any]]) -> Path:
    """Render the list of batches, the newest first.

    Args:
        store: The artefact root.
        reports: ``validation.json`` of each, with ``load`` added: its ``batch.json`` or None.
    """
    ordered = sorted(reports, key=lambda r: (r["load"] or {}).get("known_at", "~"), reverse=True)
    rows = []
    for report in ordered:
        load = report["load"] or {}
        href = escape(f"batches/{report['batch_id']}.html")
        rows.append(
            (
                f'<a href="{href}"><code>{escape(report["batch_id"])}</code></a>',
                escape(report["source"]),
                _state(*_batch_state(report)),
                _number(report["received"]),
                _number(load.get("loaded")),
                _number(load.get("new_revisions")),
                _number(report["quarantined"]),
                _number(sum(not e["passed"] for e in report["expectations"])),
                escape(f"{report['first_session'] or ''}…{report['last_session'] or ''}"),
                escape(load["known_at"][:19].replace("T", " ") if load else "not loaded"),
            )
        )
    body = [
        "<h1>Data quality of daily bars</h1>",
        "<p>Every batch that was judged. Loaded and quarantined rows add up to those received; a "
        "refused batch loads nothing.</p>",
        _table(_INDEX_COLUMNS, rows) if rows else "<p>No batch was judged yet.</p>",
    ]
    key = f"{_SITE}/index.html"
    store.replace(key, _page("Data quality", body, up="").encode())
    return store.path(key)


def _batch_state(report: Mapping[str, Any]) -> tuple[str, str]:
    if report["refusals"]:
        return "refused", "critical"
    if report["quarantined"]:
        return "passed, with quarantine", "warning"
    broken = any(not item["passed"] for item in report["expectations"])
    return ("passed, with warnings", "warning") if broken else ("passed", "ok")


def _broken_first(item: Mapping[str, Any]) -> tuple[bool, bool]:
    return item["passed"], item["severity"] != "critical"


def _counts(report: Mapping[str, Any]) -> str:
    asked = f"{report['start'] or 'first'} … {report['end'] or 'last'}"
    return (
        f"<p>{_number(report['received'])} rows received of {_number(report['tickers'])} tickers = "
        f"{_number(report['accepted'])} accepted + {_number(report['quarantined'])} quarantined"
        f"{' (nothing is loaded: the batch is refused)' if report['refusals'] else ''}. "
        f"Asked for {escape(asked)}, found {escape(str(report['first_session']))} … "
        f"{escape(str(report['last_session']))}; calendar {escape(report['calendar'])}.</p>"
    )


def _refusals(refusals: Sequence[str]) -> tuple[str, ...]:
    items = "".join(f"<p>{escape(text)}</p>" for text in refusals)
    return (f'<div class="refused"><p><b>The whole batch is refused.</b></p>{items}</div>',)


def _tickers_over_limit(over_limit: Mapping[str, str]) -> tuple[str, ...]:
    if not over_limit:
        return ()
    rows = [(escape(ticker), escape(text)) for ticker, text in sorted(over_limit.items())]
    return ("<h2>Tickers quarantined whole</h2>", _table(("ticker", "why"), rows))


def _samples(expectations: Sequence[Mapping[str, Any]]) -> list[str]:
    parts = []
    for item in expectations:
        if not item["sample"]:
            continue
        columns = tuple(item["sample"][0])
        rows = [tuple(escape(_cell(row[c])) for c in columns) for row in item["sample"]]
        shown = f"{len(rows)} of {item['rows']}" if item["rows"] > len(rows) else f"{len(rows)}"
        parts.append(
            f"<details open><summary><code>{escape(item['rule'])}</code> "
            f"{_state(item['severity'], item['severity'])} {shown} rows shown</summary>"
            f'<div class="scroll">{_table(columns, rows)}</div></details>'
        )
    return parts or ["<p>None.</p>"]


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _state(text: str, kind: str) -> str:
    return f'<span class="state {escape(kind)}">{escape(text)}</span>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # A header that starts with # marks a column of numbers; cells are HTML.
    kinds = [' class="n"' if name.startswith("#") else "" for name in header]
    head = "".join(
        f"<th{kind}>{escape(name.lstrip('#'))}</th>"
        for name, kind in zip(header, kinds, strict=True)
    )
    lines = (
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _page(title: str, body: Sequence[str], up: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f'</title><link rel="stylesheet" href="{up}assets/pages.css"></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )
