"""What a promotion must not break: four guards, and the strength of the control."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from transfergate.evaluation.gate.record import Reference, TickerRecord
from transfergate.evaluation.gate.statistic import (
    sharpe_difference,
    sharpe_influence,
    standard_error,
)
from transfergate.evaluation.metrics import SESSIONS_PER_YEAR

FloatArray = NDArray[np.float64]

REFERENCE_TOLERANCE = -0.10
"""How far below champion and zero-shot the fine-tuned Sharpe ratio may lie."""
BUY_HOLD_ALPHA = 0.10
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


def evaluate_guards(record: TickerRecord) -> dict[str, Guard | None]:
    """All guards of one ticker; None where the reference is absent or too short."""
    mean = record.finetuned.mean(axis=0)
    own = sqrt(SESSIONS_PER_YEAR) * float(sharpe_influence(mean).sharpe)
    solvent = "finetuned" not in record.ruined()
    champion = record.references.get("champion")
    if champion is not None and len(champion.sessions) < MIN_CHAMPION_SESSIONS:
        champion = None
    return {
        "flat": Guard(own >= 0.0 and solvent, own, 0.0),
        "champion": _not_below(mean, champion),
        "zero_shot": _not_below(mean, record.references.get("zero_shot")),
        "buy_hold": _not_significantly_worse(mean, record.references.get("buy_hold")),
    }


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


def _not_below(mean: FloatArray, reference: Reference | None) -> Guard | None:
    if reference is None:
        return None
    delta = sharpe_difference(mean[reference.sessions], reference.returns).delta
    return Guard(delta >= REFERENCE_TOLERANCE, delta, REFERENCE_TOLERANCE)


def _not_significantly_worse(mean: FloatArray, reference: Reference | None) -> Guard | None:
    if reference is None:
        return None
    difference = sharpe_difference(mean[reference.sessions], reference.returns)
    limit = float(ndtri(BUY_HOLD_ALPHA)) * difference.se_time
    return Guard(difference.identical or difference.delta >= limit, difference.delta, limit)
