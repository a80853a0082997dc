"""What a promotion must not break: four guards, and the strength of the control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from transfergate.evaluation.gate.pooled import mean_correlation, pooled_posterior
from transfergate.evaluation.gate.record import Reference, TickerRecord
from transfergate.evaluation.gate.statistic import (
    Difference,
    sharpe_difference,
    sharpe_influence,
    standard_error,
)
from transfergate.evaluation.metrics import SESSIONS_PER_YEAR
from transfergate.settings.gate import ZeroShotGuard

FloatArray = NDArray[np.float64]

REFERENCE_TOLERANCE = -0.10
"""How far below the champion's or zero-shot's the fine-tuned Sharpe ratio may lie."""
EVIDENCE_TOLERANCE = -0.50
"""How far below zero-shot it may truly lie where only evidence stops a promotion (ADR 15)."""
CHANCE = 0.10
"""One-sided level at which a single ticker is worse than chance allows."""
POOLED_CHANCE = 0.20
"""What is left to chance where a pool's posterior says so."""
MAX_CORRELATION = 0.99
"""Two tickers with the same bars are still two for the pool's algebra."""
MIN_CHAMPION_SESSIONS = 63


@dataclass(frozen=True)
class Guard:
    """Passed when ``value >= limit``; both in annualised Sharpe units.

    The flat guard also fails when a seed lost everything: no Sharpe ratio makes up for ruin.
    """

    passed: bool
    value: float
    limit: float


@dataclass(frozen=True)
class Control:
    """The from-scratch arm against a reference: weak if worse by more than one standard error."""

    difference: float
    se: float
    weak: bool


def zero_shot_difference(record: TickerRecord) -> Difference | None:
    """The fine-tuned policy against its foundation without fine-tuning, where that is known."""
    reference = record.references.get("zero_shot")
    if reference is None:
        return None
    return sharpe_difference(record.finetuned.mean(axis=0)[reference.sessions], reference.returns)


def evaluate_guards(
    record: TickerRecord,
    zero_shot: Difference | None = None,
    zero_shot_guard: ZeroShotGuard = "point",
) -> dict[str, Guard | None]:
    """All guards of one ticker by itself; None where the reference is absent or too short.

    Args:
        record: The ticker's aligned record.
        zero_shot: From :func:`zero_shot_difference`.
        zero_shot_guard: The rule of the zero-shot guard.
    """
    mean = record.finetuned.mean(axis=0)
    own = sqrt(SESSIONS_PER_YEAR) * float(sharpe_influence(mean).sharpe)
    solvent = "finetuned" not in record.ruined()
    champion = record.references.get("champion")
    if champion is not None and len(champion.sessions) < MIN_CHAMPION_SESSIONS:
        champion = None
    return {
        "flat": Guard(own >= 0.0 and solvent, own, 0.0),
        "champion": _beside_champion(mean, champion),
        "zero_shot": _beside_foundation(zero_shot, zero_shot_guard),
        "buy_hold": _not_significantly_worse(mean, record.references.get("buy_hold")),
    }


def pooled_foundation_guards(differences: Sequence[Difference]) -> list[Guard]:
    """The zero-shot guard by evidence, of tickers that are judged in a pool, in their order.

    Broken where the posterior says, with probability 0.80, that the fine-tuned policy is worse
    than its foundation by more than the tolerance: the model of the pooled evidence, in its normal
    approximation. The value is the shrunken difference.

    Args:
        differences: Fine-tuned less zero-shot, all on the same sessions.
    """
    guards = [_not_evidently_worse(difference) for difference in differences]
    known = [i for i, difference in enumerate(differences) if difference.se_time > 0.0]
    if len(known) < 2:
        return guards
    correlation = mean_correlation(np.stack([differences[i].influence for i in known]))
    posterior = pooled_posterior(
        np.array([differences[i].delta for i in known]),
        np.array([differences[i].se_time for i in known]),
        min(correlation, MAX_CORRELATION),
        -EVIDENCE_TOLERANCE,
    )
    limits = EVIDENCE_TOLERANCE + float(ndtri(POOLED_CHANCE)) * posterior.spread
    for i, value, limit in zip(known, posterior.mean.tolist(), limits.tolist(), strict=True):
        guards[i] = Guard(value >= limit, value, limit)
    return guards


def control_strength(record: TickerRecord) -> dict[str, Control | None]:
    """The from-scratch arm beside flat and beside ridge on the same sessions."""
    scratch = record.scratch.mean(axis=0)
    ridge = record.references.get("ridge")
    alone = sharpe_influence(scratch)
    flat = _control(sqrt(SESSIONS_PER_YEAR) * float(alone.sharpe), standard_error(alone.influence))
    if ridge is None:
        return {"flat": flat, "ridge": None}
    difference = sharpe_difference(scratch[ridge.sessions], ridge.returns)
    return {"flat": flat, "ridge": _control(difference.delta, difference.se_time)}


def as_json(items: dict[str, Guard | None] | dict[str, Control | None]) -> dict[str, Any]:
    """Plain values, None where not evaluated."""
    return {name: None if item is None else dict(vars(item)) for name, item in items.items()}


def _control(difference: float, se: float) -> Control:
    return Control(difference, se, difference < -se)


def _beside_champion(mean: FloatArray, reference: Reference | None) -> Guard | None:
    if reference is None:
        return None
    return not_below(sharpe_difference(mean[reference.sessions], reference.returns).delta)


def _beside_foundation(difference: Difference | None, rule: ZeroShotGuard) -> Guard | None:
    if difference is None:
        return None
    return not_below(difference.delta) if rule == "point" else _not_evidently_worse(difference)


def not_below(delta: float) -> Guard:
    """By point estimate: passed down to the tolerance itself."""
    return Guard(delta >= REFERENCE_TOLERANCE, delta, REFERENCE_TOLERANCE)


def _not_evidently_worse(difference: Difference) -> Guard:
    limit = EVIDENCE_TOLERANCE + float(ndtri(CHANCE)) * difference.se_time
    return Guard(difference.delta >= limit, difference.delta, limit)


def _not_significantly_worse(mean: FloatArray, reference: Reference | None) -> Guard | None:
    if reference is None:
        return None
    difference = sharpe_difference(mean[reference.sessions], reference.returns)
    limit = float(ndtri(CHANCE)) * difference.se_time
    return Guard(difference.identical or difference.delta >= limit, difference.delta, limit)
