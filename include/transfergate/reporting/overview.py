"""The first screen of a report: verdict counts, what needs attention, all differences at once."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from transfergate.reporting.attention import concerns
from transfergate.reporting.markup import SYMBOLS, TONES, verdict
from transfergate.reporting.svg import Estimate, Scale, forest_row, forest_scale, glance
from transfergate.reporting.words import (
    SHORT_WORDS,
    VERDICT_WORDS,
    chance,
    count,
    number,
    verdict_counts,
)

NAMES_SHOWN = 12
GLANCE_FROM = 25
"""With so many tickers a picture of all of them stands above the table."""

FIGURES = {
    True: ("Δ", "error", "shrunken", "Pr(better)", "Pr(worse)", "detectable", "sessions"),
    False: ("Δ", "error", "p promote", "p reject", "detectable", "sessions"),
}
"""Figures in the table of tickers, by whether they were judged together."""

Reports = Mapping[str, Mapping[str, Any]]


def summary(evaluation: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """Counts by verdict, the pool in words, and concerns.

    Args:
        evaluation: As of ``evaluation_page``.
        links: Where each ticker's own part stands.
    """
    reports: Reports = evaluation["tickers"]
    counts = verdict_counts(reports)
    cards = "".join(
        f'<li class="{TONES[name]}"><b>{counts.get(name, 0)}</b> '
        f'<span><span aria-hidden="true">{SYMBOLS[name]}</span> {words}</span></li>'
        for name, words in VERDICT_WORDS.items()
    )
    found = concerns(reports)
    rows = "".join(
        f"<li><b>{escape(item.title)}</b> ({count(len(item.tickers), 'ticker')}): "
        f"{escape(item.meaning)}. <span class='names'>{_names(item.tickers, links)}</span></li>"
        for item in found
    )
    attention = (
        f'<section aria-labelledby="attention"><h2 id="attention">Needs attention</h2>'
        f'<ul class="concerns">{rows}</ul></section>'
        if found
        else ""
    )
    return f'<ul class="cards">{cards}</ul>{_pool(evaluation.get("pool") or {})}{attention}'


def forest(evaluation: Mapping[str, Any], anchors: Mapping[str, str]) -> str:
    """The forest plot: a table with each ticker's intervals drawn in its row, highest first."""
    reports: Reports = evaluation["tickers"]
    limit = float(evaluation["config"]["delta_min"])
    estimates = {ticker: _estimate(ticker, report) for ticker, report in reports.items()}
    drawn = [item for item in estimates.values() if item is not None]
    scale = forest_scale(drawn, limit) if drawn else None
    pooled = is_pooled(reports)
    order = sorted(reports, key=lambda name: height(reports[name]))
    rows = "".join(
        _row(ticker, reports[ticker], estimates[ticker], scale, anchors[ticker], pooled)
        for ticker in order
    )
    picture = glance(drawn, scale, limit) if scale is not None and len(drawn) >= GLANCE_FROM else ""
    return (
        f'<section aria-labelledby="all"><h2 id="all">Difference by ticker</h2>'
        f'<p class="note" id="forest-note">{forest_words(pooled, limit)}</p>{picture}'
        f'<div class="tools" data-for="forest" hidden></div>'
        f'<div class="scroll" tabindex="0" role="group" aria-label="Differences by ticker">'
        f'<table id="forest" class="forest" aria-describedby="forest-note" '
        f'style="{_band(scale, limit)}"><caption class="hidden">Difference of Sharpe ratios by '
        f"ticker</caption><thead>{_head(scale, pooled)}</thead><tbody>{rows}</tbody></table></div>"
        f'<div class="pages" data-for="forest" hidden></div></section>'
    )


def figures(report: Mapping[str, Any], pooled: bool) -> list[str]:
    """What ``FIGURES`` names, of one ticker, as text."""
    keys = ("posterior_better", "posterior_worse") if pooled else ("p_promote", "p_reject")
    return [
        number(report["delta_sharpe"], 2, sign=True),
        number(report["se"], 2),
        *([number(report.get("delta_shrunken"), 2, sign=True)] if pooled else []),
        chance(report[keys[0]]),
        chance(report[keys[1]]),
        number(report["mde80"], 2),
        str(report["n_sessions"]),
    ]


def is_pooled(reports: Reports) -> bool:
    """Whether tickers were judged together."""
    return any(report["posterior_better"] is not None for report in reports.values())


def height(report: Mapping[str, Any]) -> float:
    """What tickers are ordered by: the highest difference first, those without one last."""
    delta = report["delta_sharpe"]
    return float("inf") if delta is None else -float(delta)


def _estimate(ticker: str, report: Mapping[str, Any]) -> Estimate | None:
    delta, se = report["delta_sharpe"], report["se"]
    if delta is None or se is None:
        return None
    shrunken = (report.get("delta_shrunken"), report.get("se_shrunken"))
    return Estimate(ticker, TONES[report["verdict"]], delta, se, *shrunken)


def forest_words(pooled: bool, limit: float) -> str:
    """What the forest plot shows, as text."""
    shrunken = (
        " The dashed line below is the same difference shrunken by what all tickers say "
        "together: the highest raw ones are high partly by luck."
        if pooled
        else ""
    )
    chances = (
        "Pr(better) and Pr(worse): how probable it is that the true difference lies above that "
        "band, or below."
        if pooled
        else "p promote and p reject: how often chance alone would look as good, or as bad."
    )
    return (
        "Δ is the Sharpe ratio of the fine-tuned policies less that of the from-scratch control, "
        f"error its standard error; each line is its 90 % interval.{shrunken} Inside the grey "
        f"band, ±{limit:g}, a difference would not matter. {chances} Detectable: the true "
        "difference that such a record, judged by itself, finds four times in five. Intervals "
        "that leave the picture are cut off."
    )


def _band(scale: Scale | None, limit: float) -> str:
    return f"--low:{scale.share(-limit):.2f}%;--high:{scale.share(limit):.2f}%" if scale else ""


def _head(scale: Scale | None, pooled: bool) -> str:
    marks = [] if scale is None else [(scale.share(tick), tick) for tick in scale.ticks()]
    labels = "".join(f'<span style="left:{at:.1f}%">{tick:g}</span>' for at, tick in marks)
    delta, *others = FIGURES[pooled]
    columns = [
        ("ticker", "text"),
        ("verdict", "text"),
        (f'<span class="hidden">intervals</span><span class="ticks">{labels}</span>', ""),
        (delta, "number sorted"),
        *((name, "number wide") for name in others),
    ]
    return "<tr>" + "".join(_column(text, kind) for text, kind in columns) + "</tr>"


def _column(text: str, kind: str) -> str:
    """A header cell; those of a kind can be sorted."""
    wide = ' class="wide"' if kind.endswith("wide") else ""
    sort = f' data-sort="{kind.split()[0]}"' if kind else ' class="drawing"'
    sort += ' aria-sort="descending"' if kind.endswith("sorted") else ""
    return f'<th scope="col"{sort}{wide}>{text}</th>'


def _row(
    ticker: str,
    report: Mapping[str, Any],
    estimate: Estimate | None,
    scale: Scale | None,
    anchor: str,
    pooled: bool,
) -> str:
    drawing = "" if estimate is None or scale is None else forest_row(estimate, scale)
    delta, *wide = figures(report, pooled)
    name = report["verdict"]
    return (
        f'<tr data-section="{anchor}" data-verdict="{name}"><th scope="row">'
        f'<a href="#{anchor}">{escape(ticker)}</a></th><td>{verdict(name, SHORT_WORDS[name])}'
        f'</td><td class="drawing">{drawing}</td>'
        f"<td>{delta}</td>" + "".join(f'<td class="wide">{cell}</td>' for cell in wide) + "</tr>"
    )


def _names(tickers: tuple[str, ...], links: Mapping[str, str]) -> str:
    names = [f'<a href="{escape(links[name])}">{escape(name)}</a>' for name in tickers]
    if len(names) <= NAMES_SHOWN:
        return ", ".join(names)
    return (
        f"{', '.join(names[:NAMES_SHOWN])} <details><summary>and {len(names) - NAMES_SHOWN} more"
        f"</summary>{', '.join(names[NAMES_SHOWN:])}</details>"
    )


def _pool(pool: Mapping[str, Any]) -> str:
    n = pool.get("n_tickers") or 0
    if n == 0 or pool.get("mu") is None:
        return ""
    return (
        f'<p class="note">{count(n, "ticker")} with identical sessions were judged together: the '
        f"common difference is {number(pool['mu'], 2, sign=True)}, single tickers spread around "
        f"it by {number(pool['tau'], 2)}, and their errors correlate by "
        f"{number(pool['mean_correlation'], 2)}.</p>"
    )
