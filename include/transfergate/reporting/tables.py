"""Tables of one ticker: performance, guards, control, budgets, collapsed seeds and regimes."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from transfergate.evaluation.ledger import REQUIRED_ARMS
from transfergate.evaluation.regimes import MIN_SLICE_SESSIONS
from transfergate.reporting.markup import flag, table
from transfergate.reporting.series import ARM_LABELS
from transfergate.reporting.words import (
    BUDGET_WORDS,
    CONTROL_WORDS,
    GUARD_WORDS,
    SLICE_WORDS,
    count,
    number,
    percent,
)

Report = Mapping[str, Any]


def performance(performance: Mapping[str, Mapping[str, Any]]) -> str:
    """Every figure of every arm; columns that nobody has are left out."""
    if not performance:
        return ""
    head = ["arm", "return/year", "volatility", "Sharpe", "Sortino", "max drawdown", "Calmar"]
    head += ["hit rate", "turnover", "transactions", "avg. profit", "avg. loss"]
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
        for arm in ARM_LABELS
        if (row := performance.get(arm)) is not None
    ]
    known = [i for i in range(len(head)) if i < 8 or any(row[i] != "-" for row in rows)]
    return table(
        "Performance on the same sessions",
        [head[i] for i in known],
        [[row[i] for i in known] for row in rows],
        "Net of costs, mean over seeds; turnover is that of a year, transactions are those of a "
        "seed. A dash: not defined for this arm, or not recorded.",
    )


def guards(report: Report) -> str:
    """Each guard with its value and limit."""
    found = report.get("guards") or {}
    if all(guard is None for guard in found.values()):
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
        for name, guard in found.items()
    ]
    return table("Guards of a promotion", ("guard", "value", "at least", "result"), rows)


def control(report: Report) -> str:
    """The from-scratch arm beside flat and ridge."""
    found = report.get("control") or {}
    if all(item is None for item in found.values()):
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
        for name, item in found.items()
    ]
    return table(
        "Strength of the control",
        ("from scratch against", "Δ Sharpe", "std. error", "result"),
        rows,
    )


def budgets(report: Report) -> str:
    """Audits, and what both arms consumed on the target."""
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
        for name, audit in sorted(audits.items())
    )
    totals = ((audits.get("budget_parity") or {}).get("figures") or {}).get("totals") or {}
    rows = [
        (BUDGET_WORDS.get(name, escape(name)), *(_amount(row.get(arm)) for arm in REQUIRED_ARMS))
        for name, row in sorted(totals.items(), key=_budget_place)
        if isinstance(row, Mapping)
    ]
    head = ("on the target", "fine-tuned", "from scratch")
    amounts = table("Budgets of both arms", head, rows) if rows else ""
    return f'<p class="note">Audits: {results}.</p>{amounts}' if results else amounts


def _budget_place(item: tuple[str, object]) -> tuple[bool, int, str]:
    # A result that passed through PostgreSQL comes back with its names in another order.
    name, _ = item
    known = name in BUDGET_WORDS
    return not known, list(BUDGET_WORDS).index(name) if known else 0, name


def _amount(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else escape(str(value))


def flat_seeds(report: Report) -> str:
    """How many trainings never traded."""
    found = report.get("flat_seeds") or {}
    if not found:
        return ""
    words = []
    for arm, row in found.items():
        flat, throughout = row["flat_fold_seeds"], row["flat_seeds"]
        text = f"{ARM_LABELS[arm]} {flat or 'none'} of {row['fold_seeds']}"
        words.append(f"{text}, {count(throughout, 'seed')} in every fold" if throughout else text)
    return (
        f"<p>Trainings that stayed flat through their test slice, by seed and fold: "
        f"{'; '.join(words)}. They count like all others.</p>"
    )


def regimes(report: Report) -> str:
    """Results by regime and year, with what that does not mean."""
    found = report.get("regimes") or {}
    slices = found.get("slices") or []
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
    market = found.get("market")
    origin = (
        f"Regimes are read from {market}, before each session opens: volatility of 21 sessions "
        f"against its median so far, and the direction of 63 sessions; "
        f"{count(found['unlabelled_sessions'], 'session')} came too early for one. "
        if market
        else "There is no market series to read regimes from: calendar years only. "
    )
    note = (
        f"{origin}A description, not a test: of several slices one looks striking by chance. "
        f"Standard errors over time only; slices below {MIN_SLICE_SESSIONS} sessions show none."
    )
    head = ("regime", "sessions", "Δ Sharpe", "std. error", *(ARM_LABELS[arm] for arm in arms))
    return table("By regime of the market, and by year", head, rows, note)
