"""An evaluation as one self-contained HTML page: readable offline, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from transfergate.evaluation.metrics import equity_curve
from transfergate.reporting.series import ARM_LABELS, ArmSeries
from transfergate.reporting.svg import Interval, forest_plot, line_chart
from transfergate.reporting.text import COLUMNS, chance, number, percent

VERDICT_WORDS = {
    "PROMOTE": "promote",
    "REJECT_NEGATIVE_TRANSFER": "reject: negative transfer",
    "REJECT_GUARDRAIL": "reject: a guard failed",
    "INCONCLUSIVE": "inconclusive",
    "INVALID": "invalid",
}
_TONES = {
    "PROMOTE": "good",
    "REJECT_NEGATIVE_TRANSFER": "bad",
    "REJECT_GUARDRAIL": "bad",
    "INCONCLUSIVE": "open",
    "INVALID": "broken",
}
GUARD_WORDS = {
    "flat": "Sharpe ratio itself, against holding nothing",
    "champion": "Δ against the champion",
    "zero_shot": "Δ against the foundation without fine-tuning",
    "buy_hold": "Δ against buying and holding",
}

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --muted: #667085; --paper: #ffffff;
  --line: #e3e6ec; --panel: #f6f7f9; --good: #1a7f4b; --bad: #c0362c; --open: #8a6100;
  --broken: #6d4aa8; --finetuned: #0b62d6; --scratch: #d35400; --zero_shot: #2f9e62;
  --buy_hold: #7b8494; --champion: #8e44ad; --ridge: #b8860b; --random: #b0b6c0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --muted: #98a2b3;
  --paper: #14171d; --line: #2c323c; --panel: #1c2129; --good: #4cc38a; --bad: #ff7b6e;
  --open: #e2b33c; --broken: #b79aef; --finetuned: #6aa8ff; --scratch: #ff9f5a;
  --zero_shot: #63d297; --buy_hold: #9aa4b2; --champion: #cf9be8; --ridge: #e0b84a;
  --random: #5f6875; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: .95rem; margin: 1.25rem 0 .25rem; color: var(--muted); font-weight: 600; }
p.note { color: var(--muted); margin: .25rem 0 1rem; } ul { padding-left: 1.2rem; margin: .5rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: var(--muted); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
.verdict { font-weight: 600; } .good { color: var(--good); } .bad { color: var(--bad); }
.open { color: var(--open); } .broken { color: var(--broken); }
svg { width: 100%; height: auto; max-width: 48rem; font-size: 12px; }
svg text { fill: var(--ink); } svg .tick { fill: var(--muted); font-size: 11px; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--muted); }
svg .band { fill: var(--muted); opacity: .14; } 
svg .interval { stroke: currentColor; stroke-width: 2; }
svg circle { fill: currentColor; } svg .shrunken { color: var(--muted); }
svg .shrunken line { stroke: var(--muted); stroke-dasharray: 3 2; }
svg .curve { fill: none; stroke-width: 1.4; } svg .finetuned, svg .scratch { stroke-width: 2.2; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .25rem 0; font-size: .85rem; }
.legend i { display: inline-block; width: 1.1rem; height: 3px; margin-right: .35rem;
  vertical-align: middle; }
""" + "".join(
    f"svg .{arm} {{ stroke: var(--{arm}); }} .legend .{arm} i {{ background: var(--{arm}); }}\n"
    for arm in ARM_LABELS
)


def evaluation_page(
    evaluation: Mapping[str, Any], series: Mapping[str, Mapping[str, ArmSeries]]
) -> str:
    """Render an evaluation.

    Args:
        evaluation: What the gate returned, with ``performance`` per ticker where known, and
            ``evaluation_id`` and ``foundation_version`` where there are such.
        series: Per ticker and arm, for the equity curves.
    """
    name = evaluation.get("evaluation_id", "")
    reports = evaluation["tickers"]
    sections = "".join(
        _section(ticker, report, series.get(ticker, {})) for ticker, report in reports.items()
    )
    foundation = evaluation.get("foundation_version")
    origin = f"Foundation {escape(foundation)}. " if foundation else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Verdicts {escape(name)}</title><style>{STYLE}</style></head><body>"
        f"<h1>Does pre-training help? {escape(name)}</h1>"
        f'<p class="note">{origin}{_rule(evaluation["config"])}</p>'
        f"{_overview(reports)}{_forest(evaluation)}{sections}</body></html>\n"
    )


def _rule(config: Mapping[str, Any]) -> str:
    return (
        f"Compared: fine-tuned against from-scratch, net of costs, on sessions that neither saw. "
        f"Rule: evidence {escape(str(config['evidence']))}, smallest difference that matters "
        f"{config['delta_min']:g}, error rates {config['alpha_promote']:g} to promote and "
        f"{config['alpha_reject']:g} to reject, at least {config['min_oos_sessions']} sessions."
    )


def _overview(reports: Mapping[str, Any]) -> str:
    head = ("ticker", "verdict", "Δ Sharpe", "std. error", "p promote", "p reject", "sessions")
    rows = [
        (
            f'<a href="#{escape(ticker)}">{escape(ticker)}</a>',
            _verdict(report["verdict"]),
            number(report["delta_sharpe"], 2, sign=True),
            number(report["se"], 2),
            chance(report["p_promote"]),
            chance(report["p_reject"]),
            str(report["n_sessions"]),
        )
        for ticker, report in reports.items()
    ]
    return _table(head, rows)


def _forest(evaluation: Mapping[str, Any]) -> str:
    rows = [
        Interval(
            ticker,
            _TONES[report["verdict"]],
            report["delta_sharpe"],
            report["se"],
            report.get("delta_shrunken"),
            report.get("se_shrunken"),
        )
        for ticker, report in evaluation["tickers"].items()
        if report["delta_sharpe"] is not None and report["se"] is not None
    ]
    if not rows:
        return ""
    label = "difference of Sharpe ratios, with 90 % intervals; dashed: shrunken by the pool"
    return forest_plot(rows, label, evaluation["config"]["delta_min"])


def _section(ticker: str, report: Mapping[str, Any], series: Mapping[str, ArmSeries]) -> str:
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in report["reasons"])
    parts = [
        f'<h2 id="{escape(ticker)}">{escape(ticker)}: {_verdict(report["verdict"])}</h2>',
        f"<ul>{reasons}</ul>",
    ]
    if report["delta_sharpe"] is not None:
        parts.append(
            f'<p class="note">{report["first_session"]} to {report["last_session"]}, '
            f"{report['n_folds']} folds, {report['n_seeds']} seeds. Standard error over time "
            f"{number(report['se_time'], 2)}, over seeds {number(report['se_seed'], 2)}. Smallest "
            f"difference found four times in five: {number(report['mde80'], 2)}. Correlation of "
            f"the arms: {number(report['correlation'], 2)}.</p>"
        )
    if series:
        legend = "".join(f'<span class="{arm}"><i></i>{ARM_LABELS[arm]}</span>' for arm in series)
        curves = {arm: (item.dates, equity_curve(item.net_return)) for arm, item in series.items()}
        parts.append(
            f"<h3>Equity, net of costs, mean over seeds</h3>{line_chart(curves, 'equity')}"
            f'<div class="legend">{legend}</div>'
        )
    if report.get("performance"):
        parts.append(_performance(report["performance"]))
    if report["guards"]["flat"] is not None:
        parts.append(_guards(report["guards"]))
    return "".join(parts)


def _performance(performance: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            ARM_LABELS[arm],
            percent(row["annualised_return"]),
            percent(row["annualised_volatility"]).lstrip("+"),
            number(row["sharpe"], 2, sign=True),
            percent(row["max_drawdown"]),
            number(row["annualised_turnover"], 1),
        )
        for arm, row in performance.items()
    ]
    return "<h3>Performance</h3>" + _table(COLUMNS, rows)


def _guards(guards: Mapping[str, Mapping[str, Any] | None]) -> str:
    rows = [
        (GUARD_WORDS[name], "-", "-", "not evaluated")
        if guard is None
        else (
            GUARD_WORDS[name],
            number(guard["value"], 2, sign=True),
            number(guard["limit"], 2, sign=True),
            '<span class="good">passed</span>'
            if guard["passed"]
            else '<span class="bad">failed</span>',
        )
        for name, guard in guards.items()
    ]
    return "<h3>Guards</h3>" + _table(("guard", "value", "at least", ""), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Cells are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div>'


def _verdict(verdict: str) -> str:
    return f'<span class="verdict {_TONES[verdict]}">{VERDICT_WORDS[verdict]}</span>'
