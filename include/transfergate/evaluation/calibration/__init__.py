"""Calibration: the gate on worlds whose truth is planted, its size and power against limits."""

from transfergate.evaluation.calibration.limits import (
    ACCEPTED_ERRORS,
    APART,
    LIMITS,
    Limit,
    Rate,
)
from transfergate.evaluation.calibration.run import (
    calibrate_worlds,
    check_limits,
    judge_table,
    verdict_shares,
    world_rates,
)
from transfergate.evaluation.calibration.worlds import (
    GUARD_WORLDS,
    WORLDS,
    Design,
    World,
    draw_cohort,
)

__all__ = [
    "ACCEPTED_ERRORS",
    "APART",
    "GUARD_WORLDS",
    "LIMITS",
    "WORLDS",
    "Design",
    "Limit",
    "Rate",
    "World",
    "calibrate_worlds",
    "check_limits",
    "draw_cohort",
    "judge_table",
    "verdict_shares",
    "world_rates",
]
