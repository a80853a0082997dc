"""One ticker of a report: the verdict in words, curves of all arms, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from transfergate.evaluation.metrics import drawdown_curve, equity_curve
from transfergate.reporting import tables
from transfergate.reporting.importance import importance
from transfergate.reporting.markup import verdict
from transfergate.reporting.series import ARM_LABELS, ArmSeries
from transfergate.reporting.svg import line_chart
from transfergate.reporting.words import (
    HEADLINES,
    VERDICT_WORDS,
    chance,
    detectable,
    interval,
    number,
)

Report = Mapping[str, Any]


def section(
    ticker: str,
    report: Report,
    series: Mapping[str, ArmSeries],
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
        series: Per arm.
        anchor: Id of the section.
        is_open: Whether it is unfolded at first.
        points: About how many points of a curve to keep.
        delta_min: Smallest difference that matters.
    """
    name = report["verdict"]
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in report["reasons"])
    delta = report["delta_sharpe"]
    short = "" if delta is None else f"<span>Δ {number(delta, 2, sign=True)}</span>"
    parts = [
        f'<details class="ticker" id="{anchor}"{" open" if is_open else ""}><summary><h3>'
        f"{escape(ticker)}</h3> {verdict(name, VERDICT_WORDS[name])} {short}</summary>",
        f'<p class="headline">{HEADLINES[name]}</p><ul>{reasons}</ul>',
        *(f"<p>{escape(text)}</p>" for text in (detectable(report, delta_min),) if text),
        _facts(report),
        _curves(ticker, series, points),
        tables.performance(report.get("performance") or {}),
        '<div class="pair">',
        tables.guards(report),
        tables.control(report),
        "</div>",
        importance(report),
        tables.budgets(report),
        tables.flat_seeds(report),
        tables.regimes(report),
        "</details>",
    ]
    return "".join(parts)


def _facts(report: Report) -> str:
    """Figures and lineage as pairs of name and value; those that are absent are left out."""
    facts: list[tuple[str, str]] = []
    if report["delta_sharpe"] is not None:
        facts += [
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
            facts += [
                ("shrunken Δ", number(shrunken[0], 2, sign=True)),
                ("its 90 % interval", interval(*shrunken)),
                ("Pr(better) / Pr(worse)", _pair(report, "posterior_better", "posterior_worse")),
            ]
        facts += [
            ("arms correlate by", number(report["correlation"], 2)),
            ("sessions", f"{report['n_sessions']}, {report['n_folds']} folds"),
            ("from, to", f"{report['first_session']}, {report['last_session']}"),
            ("paired seeds", str(report["n_seeds"])),
        ]
    names = {"foundations": "independent foundations", "candidate": "candidate"}
    names |= {"incumbent": "champion faced", "recipe": "recipe"}
    facts += [(words, str(report[key])) for key, words in names.items() if report.get(key)]
    facts += _looks(report.get("looks"))
    cells = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts)
    return f'<dl class="facts">{cells}</dl>' if facts else ""


def _looks(looks: object) -> list[tuple[str, str]]:
    """What is recorded about repeated looks, whatever it holds."""
    if not isinstance(looks, Mapping):
        return [] if looks is None else [("look", str(looks))]
    plain = [(k, v) for k, v in looks.items() if isinstance(v, str | int | float)]
    return [
        (
            f"look: {str(key).replace('_', ' ')}",
            number(value, 3) if isinstance(value, float) else str(value),
        )
        for key, value in plain
    ]


def _pair(report: Report, left: str, right: str) -> str:
    return f"{chance(report[left])} / {chance(report[right])}"


def _curves(ticker: str, series: Mapping[str, ArmSeries], points: int) -> str:
    if not series:
        return ""
    legend = "".join(
        f'<li class="{arm}"><i aria-hidden="true"></i>{ARM_LABELS[arm]}</li>' for arm in series
    )
    equity = {arm: (item.dates, equity_curve(item.net_return)) for arm, item in series.items()}
    drawdown = {
        arm: (item.dates, 100 * drawdown_curve(item.net_return)) for arm, item in series.items()
    }
    ends = ", ".join(f"{ARM_LABELS[arm]} {own[1][-1]:.2f}" for arm, own in equity.items())
    depths = ", ".join(f"{ARM_LABELS[arm]} {own[1].min():.0f} %" for arm, own in drawdown.items())
    return (
        f'<ul class="legend">{legend}</ul>'
        + line_chart(
            equity,
            "Equity: what 1 became, net of costs, mean over seeds",
            f"Equity of {ticker}. At the end: {ends}.",
            points,
        )
        + line_chart(
            drawdown,
            "Drawdown: per cent below the highest equity so far",
            f"Drawdown of {ticker}. The deepest: {depths}.",
            points,
        )
    )
