"""Verdicts as aligned plain text, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from transfergate.reporting.series import ARM_LABELS

WIDTH = 100
COLUMNS = ("arm", "return/year", "volatility", "Sharpe", "max drawdown", "turnover/year")
_ALWAYS_SHOWN = ("finetuned", "scratch", "zero_shot", "buy_hold", "random", "ridge", "champion")


def render_verdicts(evaluation: Mapping[str, Any]) -> str:
    """One block per ticker: verdict and evidence, a table of all arms, the reasons.

    Args:
        evaluation: ``{"tickers": {ticker: report}}`` as the gate returns it; a report may also
            hold ``performance`` per arm, ``candidate`` and ``outcome``.
    """
    blocks = [_block(ticker, report) for ticker, report in evaluation["tickers"].items()]
    counts: dict[str, int] = {}
    for report in evaluation["tickers"].values():
        counts[report["verdict"]] = counts.get(report["verdict"], 0) + 1
    total = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
    overview = [f"{sum(counts.values())} judged: {total}", *_overview(evaluation["tickers"])]
    return "\n\n".join([*blocks, "\n".join(overview)])


def _overview(reports: Mapping[str, Any]) -> list[str]:
    head = ["ticker", "Δ Sharpe", "std. error", "p promote", "p reject", "sessions", "verdict"]
    rows = [
        [
            ticker,
            number(report["delta_sharpe"], 2, sign=True),
            number(report["se"], 2),
            chance(report["p_promote"]),
            chance(report["p_reject"]),
            str(report["n_sessions"]),
            report["verdict"],
        ]
        for ticker, report in reports.items()
    ]
    return ["  " + line for line in aligned([head, *rows])] if len(rows) > 1 else []


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
            [ARM_LABELS[arm], *(["-"] * 5)]
            if figures is None
            else [
                ARM_LABELS[arm],
                percent(figures["annualised_return"]),
                percent(figures["annualised_volatility"]).lstrip("+"),
                number(figures["sharpe"], 2, sign=True),
                percent(figures["max_drawdown"]),
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


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A fixed number of digits, ``-`` for None, never a negative zero."""
    if value is None:
        return "-"
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"


def chance(probability: float | None) -> str:
    """Three digits, ``<.001`` where they would all be 0."""
    if probability is not None and 0.0 <= probability < 0.0005:
        return "<.001"
    return number(probability, 3)


def percent(value: float | None) -> str:
    """``+4.2 %``, ``-`` for None."""
    return "-" if value is None else f"{100 * value:+.1f} %"
