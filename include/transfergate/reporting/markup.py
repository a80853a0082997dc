"""The few pieces of HTML that the report is made of; whatever is text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

TONES = {
    "PROMOTE": "good",
    "REJECT_NEGATIVE_TRANSFER": "bad",
    "REJECT_GUARDRAIL": "guard",
    "INCONCLUSIVE": "open",
    "INVALID": "broken",
}
SYMBOLS = {
    "PROMOTE": "✔",
    "REJECT_NEGATIVE_TRANSFER": "✖",
    "REJECT_GUARDRAIL": "◆",
    "INCONCLUSIVE": "?",
    "INVALID": "!",
}


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """A table that scrolls sideways by itself; the first column names the row.

    Args:
        caption: As text.
        head: Names of the columns, as text.
        rows: Cells, as HTML.
        note: Below the table, as text.
    """
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    more = f'<p class="note small">{escape(note)}</p>' if note else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def verdict(name: str, words: str) -> str:
    """A verdict with its symbol: colour is never the only sign."""
    return (
        f'<span class="verdict {TONES[name]}"><span aria-hidden="true">{SYMBOLS[name]}</span> '
        f"{escape(words)}</span>"
    )


def flag(passed: bool, yes: str = "passed", no: str = "failed") -> str:
    """A word in the colour of what it says."""
    return f'<span class="good">{yes}</span>' if passed else f'<span class="bad">{no}</span>'
