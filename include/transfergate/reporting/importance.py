"""What each feature is worth to one ticker's policies: bars with error bars, in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from transfergate.reporting.svg import Scale, bar_row
from transfergate.reporting.words import Z90, count, number, percent

ROWS_SHOWN = 24
"""Features with the largest drops, up or down; the others are counted."""


def importance(report: Mapping[str, Any]) -> str:
    """The bar chart of a report that has ``importance``, else nothing."""
    found = report.get("importance")
    if not found or not found["features"]:
        return ""
    rows = sorted(found["features"], key=lambda row: -abs(row["drop_sharpe"]))[:ROWS_SHOWN]
    rows.sort(key=lambda row: -row["drop_sharpe"])
    scale = _scale(rows)
    marks = "".join(
        f'<span style="left:{scale.share(tick):.1f}%">{tick:g}</span>' for tick in scale.ticks()
    )
    head = (
        '<th scope="col">feature</th><th scope="col" class="drawing"><span class="hidden">drawing'
        f'</span><span class="ticks">{marks}</span></th><th scope="col">Δ Sharpe lost</th>'
        '<th scope="col">std. error</th><th scope="col">return/year lost</th>'
        '<th scope="col">positions changed</th>'
    )
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="What each feature is worth">'
        '<table class="bars"><caption>What the fine-tuned policies lose '
        f"without each feature</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(_row(row, scale) for row in rows)}</tbody></table></div>"
        f'<p class="note small">{_note(found, len(found["features"]) - len(rows))}</p>'
    )


def _scale(rows: Sequence[Mapping[str, Any]]) -> Scale:
    low = min(0.0, *(row["drop_sharpe"] - Z90 * row["se"] for row in rows))
    high = max(0.0, *(row["drop_sharpe"] + Z90 * row["se"] for row in rows))
    pad = 0.03 * (high - low) or 0.05
    return Scale(low - pad, high + pad)


def _row(row: Mapping[str, Any], scale: Scale) -> str:
    return (
        f'<tr><th scope="row">{escape(row["name"])}</th>'
        f'<td class="drawing">{bar_row(row["drop_sharpe"], row["se"], scale)}</td>'
        f"<td>{number(row['drop_sharpe'], 2, sign=True)}</td><td>{number(row['se'], 2)}</td>"
        f"<td>{percent(row['drop_return'])}</td><td>{percent(row['changed'], 0, sign=False)}</td>"
        f"</tr>"
    )


def _note(found: Mapping[str, Any], hidden: int) -> str:
    flat = found["flat_folds"]
    nothing = f" In {flat} of the folds nothing was held, which counts as 0." if flat else ""
    more = f" {count(hidden, 'feature')} with smaller drops not shown." if hidden else ""
    return (
        f"Each feature's path was shuffled {found['repeats']} times in blocks of "
        f"{found['block_sessions']} sessions and the trained policies were scored again, on the "
        f"test sessions of {count(found['folds'], 'fold')} after these had been scored for the "
        f"verdict; nothing was chosen by it. Lines: 90 % intervals over sessions, seeds and "
        f"shuffles. To the right: the policies did worse without it. This says what they relied "
        f"on, not what moves the market; features that say the same share their worth."
        f"{nothing}{more}"
    )
