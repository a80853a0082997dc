"""When DAGs run by themselves, and which sessions such a run is about."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import CronTriggerTimetable

from transfergate.orchestration.assets import FEATURES
from transfergate.settings import ScheduleParams, Settings


def ingest_schedule(schedules: ScheduleParams) -> Any:
    """After every close in exchange time, or by hand."""
    if schedules.ingest == "manual":
        return None
    return CronTriggerTimetable(schedules.ingest_cron, timezone=schedules.timezone)


def retrain_schedule(schedules: ScheduleParams) -> Any:
    """First evening of a month, every Saturday, on every new feature snapshot, or by hand."""
    if schedules.retrain == "asset":
        return [FEATURES]
    if schedules.retrain == "manual":
        return None
    cron = "0 8 * * 6" if schedules.retrain == "weekly" else "0 20 1 * *"
    return CronTriggerTimetable(cron, timezone=schedules.timezone)


def maintenance_schedule(settings: Settings) -> Any:
    """Weekly at night in exchange time, or by hand."""
    cron = settings.retention.schedule
    return CronTriggerTimetable(cron, timezone=settings.schedules.timezone) if cron else None


def own_moment(dag_run: Any, *, closed_record: bool = False) -> datetime | None:
    """Logical date of a run by the clock or of a backfill; None where it says nothing of sessions.

    Airflow's form gives a run by hand the present moment. A record that is closed has no bars of
    tonight: a run by the clock asks for all of it, where a window would be empty and refused.

    Args:
        dag_run: The run.
        closed_record: Whether the source's bars end where they end, as the sample's do.
    """
    run_type = str(getattr(dag_run, "run_type", "")).rpartition(".")[2].lower()
    by_hand = run_type == "manual" or (closed_record and run_type == "scheduled")
    return None if by_hand else dag_run.logical_date


def session_window(
    logical_date: datetime | None,
    schedules: ScheduleParams,
    start: str | None,
    end: str | None,
) -> tuple[str | None, str | None]:
    """First and last session date that an ingest run asks its source for.

    A run by the clock or a backfill has a logical date: the window ends with that day in
    exchange time and reaches back far enough for late corrections. A run by hand has none, and
    asks for what its form says; an open bound means all that the source has.

    Args:
        logical_date: Of the run, aware; None for a run by hand (``own_moment``).
        schedules: For the exchange's time zone and the look-back.
        start: Asked for by hand (ISO date); takes precedence.
        end: Asked for by hand (ISO date); takes precedence.

    Raises:
        ValueError: If the window ends before it starts.
    """
    if logical_date is not None and not (start or end):
        session = logical_date.astimezone(ZoneInfo(schedules.timezone)).date()
        end = session.isoformat()
        start = (session - timedelta(days=schedules.ingest_lookback_days)).isoformat()
    if start and end and date.fromisoformat(start) > date.fromisoformat(end):
        raise ValueError(f"start {start} is after end {end}: exchange the two dates")
    return start, end
