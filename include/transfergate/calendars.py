"""Sessions of an exchange."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

from transfergate.errors import SettingsError


@lru_cache(maxsize=32)
def exchange_sessions(calendar: str, first: date, last: date) -> tuple[date, ...]:
    """Sessions of an exchange from ``first`` to ``last``, both included, in order.

    Days outside what the calendar knows are no sessions; ``first`` after ``last`` gives none.

    Args:
        calendar: A code of ``exchange_calendars``, such as ``XNYS`` or ``24/7``.
        first: First day asked for.
        last: Last day asked for.

    Raises:
        SettingsError: If there is no such calendar.
    """
    import exchange_calendars
    import pandas as pd
    from exchange_calendars.errors import InvalidCalendarName

    try:
        whole = exchange_calendars.get_calendar(calendar)
    except InvalidCalendarName as error:
        raise SettingsError(
            f"sources.<name>.calendar: there is no exchange calendar {calendar!r}; expected a code "
            f"of exchange_calendars such as XNYS, XNAS, XLON, XBOM or 24/5: correct the setting"
        ) from error
    start = _within(pd.Timestamp(first), whole)
    end = _within(pd.Timestamp(last), whole)
    if start > end:
        return ()
    # A calendar wants at least one session within its bounds: look a fortnight around.
    fortnight = pd.Timedelta(days=14)
    sessions = exchange_calendars.get_calendar(
        calendar, start=_within(start - fortnight, whole), end=_within(end + fortnight, whole)
    ).sessions
    inside = sessions[(sessions >= pd.Timestamp(first)) & (sessions <= pd.Timestamp(last))]
    return tuple(session.date() for session in inside)


@lru_cache(maxsize=32)
def early_closes(calendar: str, first: date, last: date) -> tuple[date, ...]:
    """Sessions from ``first`` to ``last`` that close earlier than usual, in order.

    Raises:
        SettingsError: If there is no such calendar.
    """
    sessions = exchange_sessions(calendar, first, last)
    if not sessions:
        return ()
    import exchange_calendars

    known = exchange_calendars.get_calendar(calendar, start=sessions[0], end=sessions[-1])
    early = {session.date() for session in known.early_closes}
    return tuple(session for session in sessions if session in early)


def _within(day: Any, calendar: Any) -> Any:
    # Bounds are None where a calendar is known for ever.
    low, high = calendar.bound_min(), calendar.bound_max()
    if low is not None and day < low:
        return low
    return high if high is not None and day > high else day
