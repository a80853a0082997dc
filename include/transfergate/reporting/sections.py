"""One ticker of a report: the verdict in words, curves of all arms, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.ledger import REQUIRED_ARMS
from transfergate.reporting import tables
from transfergate.reporting.charts import Charts
from transfergate.reporting.figures import figures
from transfergate.reporting.importance import importance
from transfergate.reporting.markup import verdict
from transfergate.reporting.series import ARM_LABELS
from transfergate.reporting.svg import line_chart
from transfergate.reporting.words import (
    HEADLINES,
    LOOK_STATES,
    LOOK_WORDS,
    VERDICT_WORDS,
    chance,
    detectable,
    interval,
    number,
)

Report = Mapping[str, Any]
Curve = tuple[NDArray[Any], NDArray[np.float64]]
Curves = dict[str, Curve]
LEARNED = {"learning": ("updates", "mean"), "training": ("training_updates", "training")}
"""Charts over updates: which numbers are their places and values."""


def section(
    ticker: str,
    report: Report,
    charts: Charts | None,
    *,
    anchor: str,
    is_open: bool,
    points: int,
    delta_min: float,
) -> str:
    """Everything about one ticker, folded away unless open.

    Args:
        ticker: Its name.
        report: The gate's, with ``performance``, ``flat_seeds``, ``regimes`` and ``importance``
            where known.
        charts: What ``chart_data`` returned; None where there is nothing to draw.
        anchor: Id of the section.
        is_open: Whether it is unfolded at first.
        points: About how many points of a curve to keep.
        delta_min: Smallest difference that matters.
    """
    name = report["verdict"]
    delta = report["delta_sharpe"]
    short = "" if delta is None else f"<span>Δ {number(delta, 2, sign=True)}</span>"
    return (
        f'<details class="ticker" id="{anchor}"{" open" if is_open else ""}><summary><h3>'
        f"{escape(ticker)}</h3> {verdict(name, VERDICT_WORDS[name])} {short}</summary>"
        f"{account(report, delta_min)}{_curves(ticker, charts, points)}"
        f"<h4>The numbers</h4>{facts(report)}{numbers(report)}</details>"
    )


def account(report: Report, delta_min: float) -> str:
    """The verdict in words: what it means, why it fell, and what such a record could have shown."""
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in report["reasons"])
    settled = detectable(report, delta_min)
    return (
        f'<p class="headline">{HEADLINES[report["verdict"]]}</p><ul>{reasons}</ul>'
        f"{f'<p>{escape(settled)}</p>' if settled else ''}"
    )


def numbers(report: Report) -> str:
    """Every table about one ticker."""
    return (
        f"{tables.performance(report.get('performance') or {})}"
        f'<div class="pair">{tables.guards(report)}{tables.control(report)}</div>'
        f"{importance(report)}{tables.budgets(report)}{tables.flat_seeds(report)}"
        f"{tables.regimes(report)}"
    )


def facts(report: Report) -> str:
    """Figures and lineage as pairs of name and value; those that are absent are left out."""
    found: list[tuple[str, str]] = []
    if report["delta_sharpe"] is not None:
        found += [
            ("Δ Sharpe", number(report["delta_sharpe"], 2, sign=True)),
            ("90 % interval", interval(report["delta_sharpe"], report["se"])),
            ("standard error", number(report["se"], 2)),
            ("of it over time", number(report["se_time"], 2)),
            ("of it over seeds", number(report["se_seed"], 2)),
            ("smallest detectable", number(report["mde80"], 2)),
            ("p promote / p reject", _pair(report, "p_promote", "p_reject")),
        ]
        if report["posterior_better"] is not None:
            shrunken = (report["delta_shrunken"], report["se_shrunken"])
            found += [
                ("shrunken Δ", number(shrunken[0], 2, sign=True)),
                ("its 90 % interval", interval(*shrunken)),
                ("Pr(better) / Pr(worse)", _pair(report, "posterior_better", "posterior_worse")),
            ]
        found += [
            ("arms correlate by", number(report["correlation"], 2)),
            ("sessions", f"{report['n_sessions']}, {report['n_folds']} folds"),
            ("from, to", f"{report['first_session']}, {report['last_session']}"),
            ("paired seeds", str(report["n_seeds"])),
        ]
    names = {"foundations": "independent foundations", "candidate": "candidate"}
    names |= {"incumbent": "champion faced", "recipe": "recipe"}
    found += [(words, str(report[key])) for key, words in names.items() if report.get(key)]
    found += _looks(report.get("looks"))
    cells = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in found)
    return f'<dl class="facts">{cells}</dl>' if found else ""


def _looks(looks: object) -> list[tuple[str, str]]:
    """What is recorded about repeated looks, whatever it holds."""
    if not isinstance(looks, Mapping):
        return [] if looks is None else [("look", str(looks))]
    known = [(words, looks[key]) for key, words in LOOK_WORDS.items() if key in looks]
    known += [
        (f"look: {key}".replace("_", " "), value)
        for key, value in looks.items()
        if key not in LOOK_WORDS
    ]
    return [
        (words, _plain(value)) for words, value in known if isinstance(value, str | int | float)
    ]


def _plain(value: str | float) -> str:
    if isinstance(value, float):
        return number(value, 3)
    return LOOK_STATES.get(str(value), str(value))


def _pair(report: Report, left: str, right: str) -> str:
    return f"{chance(report[left])} / {chance(report[right])}"


def _curves(ticker: str, charts: Charts | None, points: int) -> str:
    """Every figure as a drawing, with one legend for all of them."""
    if charts is None:
        return ""
    drawn = []
    for figure in figures(ticker, charts):
        learned = figure.kind in LEARNED
        curves = (_learned if learned else _over_time)(charts, figure.kind)
        if curves:
            drawn.append(line_chart(curves, figure.title, figure.says, points))
    if not drawn:
        return ""
    legend = "".join(
        f'<li class="{arm}"><i aria-hidden="true"></i>{ARM_LABELS[arm]}</li>'
        for arm in charts["arms"]
    )
    return f'<ul class="legend">{legend}</ul>{"".join(drawn)}'


def _over_time(charts: Charts, kind: str) -> Curves:
    days = np.array(charts["sessions"], dtype="datetime64[D]")
    # Positions of all arms at once are a thicket: the two that are compared are drawn.
    arms = REQUIRED_ARMS if kind == "position" else tuple(charts["arms"])
    found = {arm: charts["arms"][arm][kind] for arm in arms if arm in charts["arms"]}
    every = {arm: values for arm, values in found.items() if values is not None}
    return {arm: _known(days, values) for arm, values in every.items()}


def _learned(charts: Charts, kind: str) -> Curves:
    places, values = LEARNED[kind]
    found = {
        arm: _known(np.array(own[places]), own[values]) for arm, own in charts["learning"].items()
    }
    return {arm: curve for arm, curve in found.items() if len(curve[0])}


def _known(places: NDArray[Any], values: Sequence[float | None]) -> Curve:
    """Points that there are, with their places."""
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    there = np.isfinite(numbers)
    return places[there], numbers[there]
