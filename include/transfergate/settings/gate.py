"""Settings of the gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transfergate.settings.base import Params


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
