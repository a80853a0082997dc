"""The quarantine of a batch as a page that filters and pages by itself, and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import pyarrow as pa

from transfergate.quality.markup import SITE, batch_state, number, page, state
from transfergate.storage import ArtefactStore

SHOWN_ROWS = 10_000
COLUMNS = (
    *("row_id", "ticker", "session_date", "open", "high", "low", "close", "volume"),
    *("adj_close", "currency", "reasons", "origin", "line", "unreadable"),
)
_TEXT = ("ticker", "currency", "reasons", "origin", "unreadable")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def rule_of(reason: str) -> str:
    """The rule's name in a reason such as ``ticker_over_limit: 3 of 120 rows …``."""
    return reason.split(":", 1)[0]


def quarantine_key(batch_id: str) -> str:
    """Artefact key of the page with a batch's quarantined rows."""
    return f"{SITE}/batches/{batch_id}/quarantine.html"


def csv_key(batch_id: str) -> str:
    """Artefact key of a batch's quarantined rows as CSV."""
    return f"{SITE}/batches/{batch_id}/quarantine.csv"


def write_quarantine_page(
    store: ArtefactStore,
    report: Mapping[str, Any],
    quarantine: pa.Table,
    released: Mapping[int, Mapping[str, Any]] | None = None,
) -> str:
    """Write the quarantine of a batch as a page and as CSV; returns the page's key.

    The page holds at most ``SHOWN_ROWS`` rows, taken evenly from every ticker and set of rules;
    the CSV holds all of them.

    Args:
        store: The artefact root.
        report: ``validation.json`` of the batch.
        quarantine: Rows in the quarantine's schema.
        released: Of each released ``row_id``: ``who, why, known_at``.
    """
    batch_id = report["batch_id"]
    store.replace(csv_key(batch_id), csv_text(_flat(quarantine), COLUMNS).encode())
    shown = _even_choice(quarantine, SHOWN_ROWS)
    rows = [
        [*(row[name] for name in COLUMNS), _release(row["row_id"], released or {})]
        for row in _flat(shown)
    ]
    data = {"batch": batch_id, "columns": [*COLUMNS, "released"], "rows": rows}
    left_out = quarantine.num_rows - shown.num_rows
    body = [
        f'<p class="muted"><a href="../../index.html">All batches</a> · '
        f'<a href="../{escape(batch_id)}.html">Batch {escape(batch_id)}</a></p>',
        f"<h1>Quarantine of batch <code>{escape(batch_id)}</code> {state(*batch_state(report))}"
        "</h1>",
        f"<p>{number(quarantine.num_rows)} rows of {escape(report['source'])} that were not "
        f"loaded, as received. Release genuine ones with <code>transfergate quarantine release"
        f"</code>; the rows here stay. "
        f'<a href="quarantine.csv" download>All rows as CSV</a></p>',
        _left_out(left_out, shown.num_rows) if left_out else "",
        _FILTERS,
        '<div class="scroll"><table id="rows"><thead></thead><tbody></tbody></table></div>',
        "<noscript><p>This page needs JavaScript to filter; the CSV holds every row.</p>"
        "</noscript>",
        f'<script type="application/json" id="data">{_script_json(data)}</script>',
    ]
    key = quarantine_key(batch_id)
    html = page(f"Quarantine of {batch_id}", body, up="../../", scripts=("quarantine.js",))
    store.replace(key, html.encode())
    return key


_FILTERS = """<form class="filters" id="filters">
<label>Ticker <input name="ticker" list="tickers" autocomplete="off" placeholder="all"></label>
<datalist id="tickers"></datalist>
<label>Reason <select name="reason"><option value="">all</option></select></label>
<label>From <input name="first" type="date"></label>
<label>To <input name="last" type="date"></label>
<button type="reset">Clear</button>
<button type="button" id="export">These rows as CSV</button>
</form>
<p class="pager"><button type="button" id="previous">Previous</button>
<span id="position"></span><button type="button" id="next">Next</button>
<span id="constant" class="muted"></span></p>"""


def csv_text(rows: Iterator[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Rows as CSV with a header; text that a spreadsheet would run gets an apostrophe before it."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_harmless(name, row[name]) for name in columns])
    return sink.getvalue()


def _harmless(name: str, value: Any) -> Any:
    if name in _TEXT and isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value


def _flat(quarantine: pa.Table) -> Iterator[dict[str, Any]]:
    # Rows as plain values; a reason is its rule's name, since the rest stands in the report.
    for batch in quarantine.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            day = row.get("session_date")
            reasons = "; ".join(dict.fromkeys(map(rule_of, row["reasons"])))
            day = str(day) if day else None
            yield {**dict.fromkeys(COLUMNS), **row, "session_date": day, "reasons": reasons}


def _even_choice(quarantine: pa.Table, limit: int) -> pa.Table:
    # As many of each ticker and set of reasons as fit, the earliest; all of them where they fit.
    if quarantine.num_rows <= limit:
        return quarantine
    reasons = map(tuple, quarantine["reasons"].to_pylist())
    groups = list(zip(quarantine["ticker"].to_pylist(), reasons, strict=True))
    counts = sorted(Counter(groups).values())
    left, fair = limit, 0
    for done, count in enumerate(counts):
        fair = left // (len(counts) - done)
        if count > fair:
            break
        left -= count
    seen: Counter[tuple[Any, ...]] = Counter()
    kept: list[int] = []
    for number_, group in enumerate(groups):
        seen[group] += 1
        if seen[group] <= max(fair, 1) and len(kept) < limit:
            kept.append(number_)
    return quarantine.take(pa.array(kept, pa.int64()))


def _left_out(left_out: int, shown: int) -> str:
    return (
        f'<p class="muted">This page holds {number(shown)} of them, the earliest of each ticker '
        f"and set of rules; {number(left_out)} more stand in the CSV.</p>"
    )


def _release(row_id: int, released: Mapping[int, Mapping[str, Any]]) -> str | None:
    found = released.get(row_id)
    return f"{found['known_at'][:10]} {found['who']}: {found['why']}" if found else None


def _script_json(value: Any) -> str:
    # Nothing in it can end the script element. NaN and infinity become text.
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    return value
