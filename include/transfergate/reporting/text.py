"""Verdicts as aligned plain text, at most 100 columns wide.

Counts first, then what needs attention, then a table. Few tickers get a block each, with all arms
and the reasons; of many, the table holds the decided ones, and the rest is counted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from transfergate.reporting.attention import concerns
from transfergate.reporting.series import ARM_LABELS
from transfergate.reporting.words import VERDICT_WORDS, chance, number, percent, verdict_counts

WIDTH = 100
COLUMNS = (
    "arm",
    "return/year",
    "volatility",
    "Sharpe",
    "Sortino",
    "max drawdown",
    "hit rate",
    "turnover",
)
MAX_BLOCKS = 12
"""More tickers than this get no block each."""
MAX_ROWS = 20
"""Rows of one verdict in the table of many tickers."""
NAMES_SHOWN = 10
_ALWAYS_SHOWN = ("finetuned", "scratch", "zero_shot", "buy_hold", "random", "ridge", "champion")


def render_verdicts(evaluation: Mapping[str, Any]) -> str:
    """Counts, concerns, a table of tickers, and for few tickers a block each.

    Args:
        evaluation: ``{"tickers": {ticker: report}}`` as the gate returns it; a report may also
            hold ``performance`` per arm, ``flat_seeds``, ``candidate`` and ``outcome``.
    """
    reports = evaluation["tickers"]
    few = len(reports) <= MAX_BLOCKS
    parts = ["\n".join([_counts(reports), *(_concerns(reports) if len(reports) > 1 else [])])]
    if len(reports) > 1:
        parts.append("\n".join(_all_rows(reports) if few else _decided_rows(reports)))
    if few:
        parts += [_block(ticker, report) for ticker, report in reports.items()]
    else:
        parts.append(
            "Every ticker's reasons and figures: --json, or a page with curves: --html OUT."
        )
    return "\n\n".join(parts)


def _counts(reports: Mapping[str, Any]) -> str:
    total = ", ".join(f"{n} {verdict}" for verdict, n in verdict_counts(reports).items())
    return f"{len(reports)} judged: {total}"


def _concerns(reports: Mapping[str, Any]) -> list[str]:
    lines = []
    for item in concerns(reports):
        names = ", ".join(item.tickers[:NAMES_SHOWN])
        more = len(item.tickers) - NAMES_SHOWN
        text = f"{len(item.tickers)} {item.title}: {names}{f' and {more} more' if more > 0 else ''}"
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="      ")
    return lines


def _all_rows(reports: Mapping[str, Any]) -> list[str]:
    return _overview(reports, reports)


def _decided_rows(reports: Mapping[str, Any]) -> list[str]:
    """The tickers with a decision, highest difference first, and how many are left out."""
    chosen: list[str] = []
    left_out = []
    for verdict in VERDICT_WORDS:
        own = [name for name, report in reports.items() if report["verdict"] == verdict]
        shown = 0 if verdict in ("INCONCLUSIVE", "INVALID") else MAX_ROWS
        own.sort(key=lambda name: -(reports[name]["delta_sharpe"] or 0.0))
        chosen += own[:shown]
        if len(own) > shown:
            left_out.append(f"{len(own) - shown} {verdict}")
    lines = _overview(reports, chosen) if chosen else []
    return [*lines, *([f"  not shown: {', '.join(left_out)}"] if left_out else [])]


def _overview(reports: Mapping[str, Any], tickers: Sequence[str] | Mapping[str, Any]) -> list[str]:
    pooled = any(reports[ticker].get("posterior_better") is not None for ticker in tickers)
    keys = ("posterior_better", "posterior_worse") if pooled else ("p_promote", "p_reject")
    chances = ["Pr(better)", "Pr(worse)"] if pooled else ["p promote", "p reject"]
    head = ["ticker", "Δ Sharpe", "std. error", *chances, "sessions", "verdict"]
    rows = [
        [
            ticker,
            number(reports[ticker]["delta_sharpe"], 2, sign=True),
            number(reports[ticker]["se"], 2),
            *(chance(reports[ticker].get(key)) for key in keys),
            str(reports[ticker]["n_sessions"]),
            reports[ticker]["verdict"],
        ]
        for ticker in tickers
    ]
    return ["  " + line for line in aligned([head, *rows])]


def _block(ticker: str, report: Mapping[str, Any]) -> str:
    lines = [f"{ticker}  {report['verdict']}", "-" * WIDTH]
    lines.append(_evidence(report))
    if report.get("performance"):
        lines += ["", *_table(report["performance"])]
    lines.append("")
    for reason in report["reasons"]:
        for part in str(reason).split("\n"):
            lines += textwrap.wrap(part, WIDTH - 4, initial_indent="  ", subsequent_indent="    ")
    if report.get("outcome"):
        lines.append(f"  Outcome: {report['outcome']}.")
    return "\n".join(lines)


def _evidence(report: Mapping[str, Any]) -> str:
    if report["delta_sharpe"] is None:
        return (
            f"  no out-of-sample record to judge ({report['missing_sessions']} sessions missing)"
            if report["n_sessions"] == 0 and report["verdict"] == "INCONCLUSIVE"
            else "  no figures"
        )
    pooled = report["posterior_better"] is not None
    chances = (
        f"Pr(better) {chance(report['posterior_better'])}   "
        f"Pr(worse) {chance(report['posterior_worse'])}"
        if pooled
        else f"p promote {chance(report['p_promote'])}   p reject {chance(report['p_reject'])}"
    )
    return (
        f"  Δ Sharpe {number(report['delta_sharpe'], 2, sign=True)}   standard error "
        f"{number(report['se'], 2)}   {chances}\n  {report['n_sessions']} sessions in "
        f"{report['n_folds']} folds, {report['n_seeds']} seeds   smallest detectable difference "
        f"{number(report['mde80'], 2)}"
    )


def _table(performance: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [list(COLUMNS)]
    for arm in _ALWAYS_SHOWN:
        figures = performance.get(arm)
        rows.append(
            [ARM_LABELS[arm], *(["-"] * (len(COLUMNS) - 1))]
            if figures is None
            else [
                ARM_LABELS[arm],
                percent(figures["annualised_return"]),
                percent(figures["annualised_volatility"], sign=False),
                number(figures["sharpe"], 2, sign=True),
                number(figures.get("sortino"), 2, sign=True),
                percent(figures["max_drawdown"]),
                percent(figures.get("hit_rate"), 0, sign=False),
                number(figures["annualised_turnover"], 1),
            ]
        )
    return ["  " + line for line in aligned(rows)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "   ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
