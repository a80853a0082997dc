"""What the gate promises about its verdicts, and when a measured rate keeps the promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Evidence = Literal["ticker", "pooled"]
EVIDENCE: tuple[Evidence, ...] = ("ticker", "pooled")
NAIVE = "naive"
"""The bare rule "fine-tuned beats from-scratch", without evidence and without guards."""
APART = "PROMOTE, zero-shot apart"
"""PROMOTE, or REJECT_GUARDRAIL with no broken guard but zero-shot's.

Power is promised against the control. Where the foundation untouched is truly ahead, the zero-shot
guard rightly takes promotions away; its effect is the difference to PROMOTE (ADR 15).
"""
ACCEPTED_ERRORS = 2.58
"""A rate misses its limit when it lies more than this many standard errors beyond it: 1 %."""


@dataclass(frozen=True)
class Rate:
    """A share of tickers, and its Monte-Carlo standard error across cohorts."""

    rate: float
    se: float


@dataclass(frozen=True)
class Limit:
    """A promise: the share of verdicts of one kind in one world lies within ``low .. high``."""

    world: str
    verdict: str
    evidence: Evidence
    low: float = 0.0
    high: float = 1.0

    def kept(self, found: Rate) -> bool:
        """Whether a measured rate lies within the limits, give or take Monte-Carlo error."""
        slack = ACCEPTED_ERRORS * found.se
        return self.low - slack <= found.rate <= self.high + slack


def _both(
    world: str, verdict: str, ticker: tuple[float, float], pooled: tuple[float, float]
) -> tuple[Limit, Limit]:
    return Limit(world, verdict, "ticker", *ticker), Limit(world, verdict, "pooled", *pooled)


LIMITS: tuple[Limit, ...] = (
    *_both("null", "PROMOTE", (0.0, 0.10), (0.0, 0.03)),
    *_both("null", APART, (0.0, 0.10), (0.0, 0.03)),
    *_both("irrelevant_source", "PROMOTE", (0.0, 0.10), (0.0, 0.03)),
    *_both("irrelevant_source", APART, (0.0, 0.10), (0.0, 0.03)),
    *_both("positive", APART, (0.80, 1.0), (0.95, 1.0)),
    *_both("negative", "PROMOTE", (0.0, 0.005), (0.0, 0.005)),
    *_both("negative", APART, (0.0, 0.005), (0.0, 0.005)),
    *_both("negative", "REJECT_NEGATIVE_TRANSFER", (0.97, 1.0), (0.97, 1.0)),
    *_both("negative_weak", "REJECT_NEGATIVE_TRANSFER", (0.50, 1.0), (0.88, 1.0)),
    # Ours, not the gate's definition: what the zero-shot guard is for; without it .88.
    Limit("eroded", "PROMOTE", "pooled", 0.0, 0.20),
    Limit("null", NAIVE, "ticker", 0.42, 0.58),
    Limit("irrelevant_source", NAIVE, "ticker", 0.42, 0.58),
)
