"""When things run by themselves, and what waits for a person."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

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
    stale_after_sessions: int = Field(
        3,
        ge=0,
        le=250,
        description="the overview calls bars late once so many sessions are over since the last",
    )
    old_model_sessions: int = Field(
        126,
        ge=1,
        le=5000,
        description="the overview calls a champion old that so many sessions have passed by",
    )


QueueName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]


class QueueParams(Params):
    """Which workers take which tasks, where there are several; one machine ignores it."""

    default: QueueName = Field("default", description="fetching, planning, judging, promoting")
    warehouse: QueueName = Field(
        "warehouse", description="all that opens the DuckDB file: one worker, one task at a time"
    )
    training: QueueName = Field("gpu", description="pre-training, fine-tuning, back-tests")


class ApprovalParams(Params):
    """Who moves the champion once the gate has said PROMOTE."""

    by: Literal["auto", "human"] = Field(
        "auto", description="human: promotion waits for an answer in the Airflow UI or REST API"
    )
    timeout_hours: float = Field(
        72.0, gt=0.0, le=24.0 * 90, description="without an answer until then nothing is promoted"
    )


Address = Annotated[str, StringConstraints(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$", max_length=254)]
ConnectionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,250}$")]


class NotifyParams(Params):
    """Who hears of failures and of what waits for a person, beside the log.

    Servers, users and passwords stand in Airflow connections, never here.
    """

    email_to: tuple[Address, ...] = Field(
        (), max_length=50, description="empty: no e-mail; else a connection must say the server"
    )
    email_from: Address | None = Field(
        None, description="sender; None: the connection's extra field from_email"
    )
    email_connection: ConnectionId = Field(
        "smtp_default", description="Airflow connection of type smtp"
    )
    slack_connection: ConnectionId | None = Field(
        None,
        description="Airflow connection of a Slack incoming webhook: its password is the webhook's "
        "URL, or the part after the connection's host; None: no Slack",
    )
    approvals: bool = Field(True, description="also say so when an approval waits for a person")
