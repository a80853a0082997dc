"""What verdicts, arms, guards and figures are called in reports, and how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERDICT_WORDS = {
    "PROMOTE": "promote",
    "REJECT_NEGATIVE_TRANSFER": "reject: negative transfer",
    "REJECT_GUARDRAIL": "reject: a guard failed",
    "INCONCLUSIVE": "inconclusive",
    "INVALID": "invalid",
}
"""In the order in which reports list them."""

SHORT_WORDS = {
    "PROMOTE": "promote",
    "REJECT_NEGATIVE_TRANSFER": "negative transfer",
    "REJECT_GUARDRAIL": "guard failed",
    "INCONCLUSIVE": "inconclusive",
    "INVALID": "invalid",
}
"""For a narrow column."""

HEADLINES = {
    "PROMOTE": "Starting from the foundation beat learning from scratch on sessions neither had "
    "seen, the evidence meets the rule, and every guard that could be checked holds: the new "
    "policy may trade.",
    "REJECT_NEGATIVE_TRANSFER": "Starting from the foundation made this ticker's policy worse "
    "than learning from scratch. What traded before goes on trading.",
    "REJECT_GUARDRAIL": "It beat learning from scratch, but something cheaper or already in use "
    "did better on the same sessions. What traded before goes on trading.",
    "INCONCLUSIVE": "This record does not settle whether the foundation helped or harmed. What "
    "traded before goes on trading; without a champion, nothing is held.",
    "INVALID": "The comparison itself is not sound, so its figures decide nothing. Repair the "
    "cause and judge again.",
}

GUARD_WORDS = {
    "flat": "its own Sharpe ratio, against holding nothing",
    "champion": "Δ against the champion",
    "zero_shot": "Δ against the foundation without fine-tuning",
    "buy_hold": "Δ against buying and holding",
}
CONTROL_WORDS = {"flat": "holding nothing", "ridge": "a ridge-linear policy"}
BUDGET_WORDS = {
    "env_steps": "environment steps",
    "updates": "gradient updates",
    "sessions": "training sessions, summed over folds",
    "trained_models": "models trained",
    "n_seeds": "paired seeds, summed over folds",
    "n_choices": "tuning trials, summed over folds",
    "collapsed": "seeds flat throughout validation, of these",
    "flat_in_test": "seeds flat throughout test, of these",
}
LOOK_STATES = {
    "look": "counted",
    "repeated": "not counted: the last verdict stands",
    "refused": "refused: no error rate is left",
}
LOOK_WORDS = {
    "number": "looks so far",
    "state": "this look",
    "in_year": "looks within a year",
    "per_year": "looks planned a year",
    "level": "error rate of a look",
    "threshold": "Pr(better) asked for",
    "alpha_spent": "error rate spent so far",
    "alpha_spent_year": "of it within a year",
    "new_sessions": "sessions no look had seen",
    "next_admissible_sessions": "sessions to the next look",
    "next_admissible_date": "next look, about",
    "evaluation": "verdict of evaluation",
    "candidate": "which judged candidate",
}
"""In the order in which reports list what is known of looks."""
SLICE_WORDS = {
    ("volatility", "low"): "calm market",
    ("volatility", "high"): "volatile market",
    ("trend", "down"): "falling market",
    ("trend", "up"): "rising market",
}
Z90 = 1.645
"""Half width of a two-sided 90 % interval in standard errors."""


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


def percent(value: float | None, digits: int = 1, *, sign: bool = True) -> str:
    """``+4.2 %``, ``-`` for None."""
    return "-" if value is None else f"{number(100 * value, digits, sign=sign)} %"


def interval(centre: float | None, se: float | None) -> str:
    """``-0.10 to +0.90``: 90 %, two-sided; ``-`` where there is none."""
    if centre is None or se is None:
        return "-"
    ends = (number(centre - Z90 * se, 2, sign=True), number(centre + Z90 * se, 2, sign=True))
    return " to ".join(ends)


def count(n: int, noun: str) -> str:
    """``1 ticker``, ``2 tickers``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def detectable(report: Mapping[str, Any], delta_min: float) -> str | None:
    """The minimum detectable effect as a sentence, with what it would take to settle Δ."""
    smallest, delta = report.get("mde80"), report.get("delta_sharpe")
    if smallest is None or delta is None:
        return None
    alone = report.get("posterior_better") is None
    text = (
        f"A record like this one finds a true difference of {smallest:.2f} four times in five; "
        f"smaller ones mostly go unnoticed."
        if alone
        else f"Judged by itself, a record like this one finds a true difference of {smallest:.2f} "
        f"four times in five; in a pool that depends on what the other tickers show."
    )
    if report["verdict"] != "INCONCLUSIVE" or delta <= delta_min or delta >= smallest:
        return text
    needed = report["n_sessions"] * ((smallest - delta_min) / (delta - delta_min)) ** 2
    years = needed / 252
    if years > 50:
        return f"{text} A difference as small as the {delta:.2f} seen here is out of its reach."
    return (
        f"{text} To settle one of {delta:.2f}, as seen here, takes about {years:.0f} years of "
        f"such sessions{', or the evidence of other tickers' if alone else ''}."
    )


def verdict_counts(reports: Mapping[str, Any]) -> dict[str, int]:
    """How many tickers have each verdict, in the usual order, without zeros."""
    found = [report["verdict"] for report in reports.values()]
    return {name: found.count(name) for name in VERDICT_WORDS if name in found}
