"""Settings of the gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transfergate.settings.base import Params

ZeroShotGuard = Literal["point", "evidence"]


class GateParams(Params):
    """The gate's rule (DESIGN section 6)."""

    evidence: Literal["auto", "pooled", "ticker", "point"] = "auto"
    delta_min: float = Field(0.05, ge=0.0)
    posterior_promote: float = Field(0.90, gt=0.5, lt=1.0)
    posterior_reject: float = Field(0.80, gt=0.5, lt=1.0)
    alpha_promote: float = Field(0.10, gt=0.0, lt=0.5)
    alpha_reject: float = Field(0.10, gt=0.0, lt=0.5)
    min_oos_sessions: int = Field(252, ge=2)
    min_seeds: int = Field(3, ge=1)
    zero_shot_guard: ZeroShotGuard = Field(
        "point",
        description="what stops a promotion for the foundation's sake: point = a Sharpe ratio more "
        "than 0.10 below zero-shot's by point estimate; evidence = evidence of more than 0.50 "
        "(docs/adr/0015-zero-shot-guard.md)",
    )


class LookParams(Params):
    """How often a ticker may be judged, whatever the cadence of retraining (docs/ledger.md)."""

    per_year: int = Field(
        1,
        ge=1,
        le=5,
        description="looks planned a year, all recipes together; level of each: .10, .075, .062, "
        ".054, .048",
    )
    min_new_sessions: int = Field(
        63, ge=1, description="new out-of-sample sessions between two looks of one recipe"
    )


class RefreshParams(Params):
    """Whether a retrained artefact of an approved recipe may serve between two looks."""

    enabled: bool = False
    max_age_days: int = Field(
        370, ge=1, description="days of data after the approving look's last session"
    )
    min_exposure: float = Field(0.02, ge=0.0, description="mean absolute position")
    max_exposure: float = Field(1.0, gt=0.0)
    max_turnover_ratio: float = Field(
        2.0, gt=0.0, description="daily turnover over that of the approved record"
    )
    min_validation_sharpe: float = Field(
        0.0, description="annualised and net, on the retrain's own validation sessions"
    )
