"""When things run by themselves, and what waits for a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transfergate.settings.base import Params


class ScheduleParams(Params):
    """When the DAGs run by themselves (DESIGN section 8, Schedules)."""

    ingest: Literal["daily", "manual"] = "daily"
    ingest_cron: str = Field("0 18 * * 1-5", description="after the close, in exchange time")
    timezone: str = Field("America/New_York", description="of the exchange")
    ingest_lookback_days: int = Field(
        7, ge=0, le=3660, description="a scheduled run fetches again so far back: late corrections"
    )
    retrain: Literal["monthly", "weekly", "asset", "manual"] = Field(
        "monthly",
        description="asset: every new feature snapshot pre-trains (the one-shot chain). How often "
        "a ticker is judged does not depend on it: see looks.per_year",
    )


class ApprovalParams(Params):
    """Who moves the champion once the gate has said PROMOTE."""

    by: Literal["auto", "human"] = Field(
        "auto", description="human: promotion waits for an answer in the Airflow UI or REST API"
    )
    timeout_hours: float = Field(
        72.0, gt=0.0, le=24.0 * 90, description="without an answer until then nothing is promoted"
    )
