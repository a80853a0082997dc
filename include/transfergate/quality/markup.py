"""The few pieces of HTML that every page of the Data Docs is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

SITE = "data_docs"


def page(title: str, body: Sequence[str], up: str, scripts: Sequence[str] = ()) -> str:
    """A whole page.

    Args:
        title: As text.
        body: HTML.
        up: Way from the page to the root of the Data Docs, such as ``../``.
        scripts: Names of local scripts, below ``assets``.
    """
    loaded = "".join(f'<script src="{up}assets/{name}" defer></script>' for name in scripts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="{up}assets/pages.css">'
        f'<script src="{up}assets/theme.js"></script>'
        f"{loaded}</head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], name: str = "") -> str:
    """A table that scrolls sideways by itself.

    Args:
        header: As text; a name that starts with ``#`` marks a column of numbers.
        rows: Cells, as HTML.
        name: Class of the table.
    """
    kinds = [' class="n"' if title.startswith("#") else "" for title in header]
    head = "".join(
        f"<th{kind}>{escape(title.lstrip('#'))}</th>"
        for title, kind in zip(header, kinds, strict=True)
    )
    lines = (
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    named = f' class="{escape(name)}"' if name else ""
    return (
        f'<div class="scroll"><table{named}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def tiles(facts: Sequence[tuple[str, str, str]]) -> str:
    """Counts side by side: label, value and tone of each, as text."""
    cells = "".join(
        f'<div class="tile {escape(tone)}"><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>'
        for label, value, tone in facts
    )
    return f'<dl class="tiles">{cells}</dl>'


def share_bar(parts: Sequence[tuple[int, str]]) -> str:
    """Shares of a whole as one bar; ``parts`` are counts with their tones."""
    total = sum(count for count, _ in parts)
    cells = "".join(
        f'<i class="{escape(tone)}" style="width:{100 * count / total:.3f}%"></i>'
        for count, tone in parts
        if count
    )
    return f'<div class="share" aria-hidden="true">{cells}</div>'


def state(text: str, tone: str) -> str:
    """A word in a coloured field."""
    return f'<span class="state {escape(tone)}">{escape(text)}</span>'


def number(value: int | None) -> str:
    """A count, in groups of three digits."""
    return "-" if value is None else f"{value:,}"


def percent(part: int, whole: int) -> str:
    """A share; few but some are not shown as none."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    return "< 0.01 %" if share < 0.01 else f"{share:.2f} %"


def cell(value: Any) -> str:
    """A value of a bar as text."""
    if value is None:
        return "null"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def batch_state(report: Mapping[str, Any]) -> tuple[str, str]:
    """How a batch was judged, in words, and the tone to say it in."""
    if report["refusals"]:
        return "refused", "critical"
    if report["quarantined"]:
        return "passed, with quarantine", "warning"
    broken = any(not item["passed"] for item in report["expectations"])
    return ("passed, with warnings", "warning") if broken else ("passed", "ok")
