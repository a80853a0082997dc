"""One ticker of a report: the verdict in words, curves of all arms, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from transfergate.evaluation.metrics import drawdown_curve, equity_curve
from transfergate.evaluation.regimes import MIN_SLICE_SESSIONS
from transfergate.reporting.markup import flag, table, verdict
from transfergate.reporting.series import ARM_LABELS, ArmSeries
from transfergate.reporting.svg import line_chart
from transfergate.reporting.words import (
    BUDGET_WORDS,
    CONTROL_WORDS,
    GUARD_WORDS,
    HEADLINES,
    SLICE_WORDS,
    VERDICT_WORDS,
    chance,
    count,
    detectable,
    interval,
    number,
    percent,
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
        report: The gate's, with ``performance``, ``flat_seeds`` and ``regimes`` where known.
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
        _performance(report.get("performance") or {}),
        '<div class="pair">',
        _guards(report),
        _control(report),
        "</div>",
        _budgets(report),
        _flat_seeds(report),
        _regimes(report),
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
        (str(key).replace("_", " "), number(value, 3) if isinstance(value, float) else str(value))
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


def _performance(performance: Mapping[str, Mapping[str, Any]]) -> str:
    if not performance:
        return ""
    head = ["arm", "return/year", "volatility", "Sharpe", "Sortino", "max drawdown", "Calmar"]
    head += ["hit rate", "turnover/year", "transactions", "avg. profit", "avg. loss"]
    rows = [
        (
            ARM_LABELS[arm],
            percent(row["annualised_return"]),
            percent(row["annualised_volatility"], sign=False),
            number(row["sharpe"], 2, sign=True),
            number(row.get("sortino"), 2, sign=True),
            percent(row["max_drawdown"]),
            number(row.get("calmar"), 2, sign=True),
            percent(row.get("hit_rate"), 0, sign=False),
            number(row["annualised_turnover"], 1),
            number(row.get("n_transactions"), 1),
            percent(row.get("average_profit"), 2),
            percent(row.get("average_loss"), 2),
        )
        for arm, row in performance.items()
    ]
    known = [i for i in range(len(head)) if i < 8 or any(row[i] != "-" for row in rows)]
    return table(
        "Performance on the same sessions",
        [head[i] for i in known],
        [[row[i] for i in known] for row in rows],
        "Net of costs, mean over seeds. A dash: not defined for this arm, or not recorded.",
    )


def _guards(report: Report) -> str:
    guards = report.get("guards") or {}
    if all(guard is None for guard in guards.values()):
        return ""
    rows = [
        (GUARD_WORDS.get(name, escape(name)), "-", "-", "not evaluated")
        if guard is None
        else (
            GUARD_WORDS.get(name, escape(name)),
            number(guard["value"], 2, sign=True),
            number(guard["limit"], 2, sign=True),
            flag(guard["passed"]),
        )
        for name, guard in guards.items()
    ]
    return table("Guards of a promotion", ("guard", "value", "at least", "result"), rows)


def _control(report: Report) -> str:
    control = report.get("control") or {}
    if all(item is None for item in control.values()):
        return ""
    rows = [
        (CONTROL_WORDS.get(name, escape(name)), "-", "-", "not in the record")
        if item is None
        else (
            CONTROL_WORDS.get(name, escape(name)),
            number(item["difference"], 2, sign=True),
            number(item["se"], 2),
            flag(not item["weak"], "fair", "WEAK CONTROL"),
        )
        for name, item in control.items()
    ]
    return table(
        "Strength of the control",
        ("from scratch against", "Δ Sharpe", "std. error", "result"),
        rows,
    )


def _budgets(report: Report) -> str:
    audits = report.get("audits")
    if not isinstance(audits, Mapping):
        return (
            '<p class="note">Audits of budgets and leakage were not run: a file of returns does '
            "not say how it came about.</p>"
            if report["delta_sharpe"] is not None
            else ""
        )
    results = ", ".join(
        f"{escape(name.replace('_', ' '))} {flag(bool(audit.get('passed')))}"
        for name, audit in audits.items()
    )
    totals = ((audits.get("budget_parity") or {}).get("figures") or {}).get("totals") or {}
    rows = [
        (BUDGET_WORDS.get(name, escape(name)), *(_amount(row.get(arm)) for arm in ARMS))
        for name, row in totals.items()
        if isinstance(row, Mapping)
    ]
    head = ("on the target", "fine-tuned", "from scratch")
    budgets = table("Budgets of both arms", head, rows) if rows else ""
    return f'<p class="note">Audits: {results}.</p>{budgets}' if results else budgets


ARMS = ("finetuned", "scratch")


def _amount(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else escape(str(value))


def _flat_seeds(report: Report) -> str:
    found = report.get("flat_seeds") or {}
    if not found:
        return ""
    words = [
        f"{ARM_LABELS[arm]} {row['flat_fold_seeds']} of {row['fold_seeds']} "
        f"({count(row['flat_seeds'], 'seed')} in no fold at all)"
        if row["flat_fold_seeds"]
        else f"{ARM_LABELS[arm]} none of {row['fold_seeds']}"
        for arm, row in found.items()
    ]
    return (
        f"<p>Trainings that stayed flat through their test slice, by seed and fold: "
        f"{'; '.join(words)}. They count like all others.</p>"
    )


def _regimes(report: Report) -> str:
    regimes = report.get("regimes") or {}
    slices = regimes.get("slices") or []
    if not slices:
        return ""
    arms = [arm for arm in ARM_LABELS if any(arm in row["sharpe"] for row in slices)]
    rows = [
        (
            SLICE_WORDS.get((row["by"], row["label"]), escape(row["label"])),
            str(row["n_sessions"]),
            number(row["delta_sharpe"], 2, sign=True),
            number(row["se_time"], 2),
            *(number(row["sharpe"].get(arm), 2, sign=True) for arm in arms),
        )
        for row in slices
    ]
    market = regimes.get("market")
    origin = (
        f"Regimes are read from {market}, before each session opens: volatility of 21 sessions "
        f"against its median so far, and the direction of 63 sessions; "
        f"{count(regimes['unlabelled_sessions'], 'session')} came too early for one. "
        if market
        else "There is no market series to read regimes from: calendar years only. "
    )
    note = (
        f"{origin}A description, not a test: of several slices one looks striking by chance. "
        f"Standard errors over time only; slices below {MIN_SLICE_SESSIONS} sessions show none."
    )
    head = ("regime", "sessions", "Δ Sharpe", "std. error", *(ARM_LABELS[arm] for arm in arms))
    return table("By regime of the market, and by year", head, rows, note)
