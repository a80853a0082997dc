"""What a reader should look at first: tickers grouped by what is remarkable about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transfergate.evaluation.gate.verdict import MIN_FOUNDATIONS

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Concern:
    """One kind of concern and the tickers that have it."""

    title: str
    meaning: str
    tickers: tuple[str, ...]


def concerns(reports: Mapping[str, Report]) -> list[Concern]:
    """Concerns that at least one ticker has, the gravest first."""
    found = []
    for title, meaning, applies in _KINDS:
        tickers = tuple(name for name, report in reports.items() if applies(report))
        if tickers:
            found.append(Concern(title, meaning, tickers))
    return found


def _weak(report: Report) -> bool:
    return any(item and item.get("weak") for item in (report.get("control") or {}).values())


def _short(report: Report) -> bool:
    return report["verdict"] == "INCONCLUSIVE" and (report.get("missing_sessions") or 0) > 0


def _few_foundations(report: Report) -> bool:
    n = report.get("foundations")
    return n is not None and n < MIN_FOUNDATIONS


def _collapsed(report: Report) -> bool:
    return any(item["flat_fold_seeds"] for item in (report.get("flat_seeds") or {}).values())


_KINDS: tuple[tuple[str, str, Callable[[Report], bool]], ...] = (
    (
        "Invalid",
        "not judged: repair what their reasons name",
        lambda report: report["verdict"] == "INVALID",
    ),
    (
        "Negative transfer",
        "the foundation made them worse",
        lambda report: report["verdict"] == "REJECT_NEGATIVE_TRANSFER",
    ),
    (
        "Guard failed",
        "better than from scratch, yet not good enough to trade",
        lambda report: report["verdict"] == "REJECT_GUARDRAIL",
    ),
    (
        "WEAK CONTROL",
        "the from-scratch arm lost to holding nothing or to a linear policy: beating it shows "
        "little",
        _weak,
    ),
    (
        "CONDITIONAL ON FOUNDATION",
        "too few independent foundations: another pre-training may end otherwise",
        _few_foundations,
    ),
    (
        "Seeds that stayed flat",
        "some trainings never traded in their test slice; they are counted, never dropped",
        _collapsed,
    ),
    ("Too short", "sessions are missing until a verdict is possible", _short),
)
