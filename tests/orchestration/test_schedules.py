"""The session of a scheduled run comes from its logical date, never from the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from transfergate.orchestration.schedules import (
    ingest_schedule,
    own_moment,
    retrain_schedule,
    session_window,
)
from transfergate.settings import ScheduleParams

SCHEDULES = ScheduleParams(ingest_lookback_days=7)


@pytest.mark.parametrize(
    ("logical_date", "session"),
    [
        (datetime(2026, 1, 5, 23, 0, tzinfo=UTC), "2026-01-05"),  # 18:00 in New York
        (datetime(2026, 1, 6, 4, 59, tzinfo=UTC), "2026-01-05"),  # still Monday there
        (datetime(2026, 7, 6, 22, 0, tzinfo=UTC), "2026-07-06"),  # summer time
    ],
)
def test_a_scheduled_run_is_about_its_day_in_exchange_time(logical_date, session):
    start, end = session_window(logical_date, SCHEDULES, None, None)
    assert end == session
    assert (datetime.fromisoformat(end) - datetime.fromisoformat(start)).days == 7


def test_a_run_by_hand_asks_for_what_it_says():
    assert session_window(None, SCHEDULES, None, None) == (None, None)
    assert session_window(None, SCHEDULES, "2012-01-03", None) == ("2012-01-03", None)


def test_dates_given_by_hand_take_precedence_over_the_logical_date():
    logical_date = datetime(2026, 1, 5, 23, 0, tzinfo=UTC)
    assert session_window(logical_date, SCHEDULES, None, "2012-12-31") == (None, "2012-12-31")


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="exchange the two dates"):
        session_window(None, SCHEDULES, "2012-02-01", "2012-01-01")


def test_by_hand_means_no_schedule():
    manual = ScheduleParams(ingest="manual", retrain="manual")
    assert ingest_schedule(manual) is None
    assert retrain_schedule(manual) is None


def test_retraining_has_a_cadence_of_its_own():
    weekly, monthly = (retrain_schedule(ScheduleParams(retrain=r)) for r in ("weekly", "monthly"))
    assert weekly.expression == "0 8 * * 6"
    assert monthly.expression == "0 20 1 * *"


@pytest.mark.parametrize(
    ("run_type", "asked"), [("manual", False), ("scheduled", True), ("backfill", True)]
)
def test_the_moment_that_a_form_gives_a_run_by_hand_is_not_its_session(run_type, asked):
    moment = datetime(2026, 1, 6, 4, 0, tzinfo=UTC)
    run = SimpleNamespace(run_type=run_type, logical_date=moment)
    assert own_moment(run) == (moment if asked else None)


@pytest.mark.parametrize(("run_type", "asked"), [("scheduled", False), ("backfill", True)])
def test_a_closed_record_has_no_bars_of_tonight_but_may_be_filled_in(run_type, asked):
    moment = datetime(2026, 1, 6, 4, 0, tzinfo=UTC)
    run = SimpleNamespace(run_type=run_type, logical_date=moment)
    assert own_moment(run, closed_record=True) == (moment if asked else None)
