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
    import pandas as pd

    known = _calendar(calendar, first, last)
    if known is None:
        return ()
    sessions = known.sessions
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
    known = _calendar(calendar, sessions[0], sessions[-1])
    early = {session.date() for session in known.early_closes}
    return tuple(session for session in sessions if session in early)


_built: dict[str, Any] = {}


def _calendar(name: str, first: date, last: date) -> Any:
    # The calendar of a span, None of an empty one. To build one costs up to a second, the more the
    # longer it is: one that was built for more is taken again.
    import exchange_calendars
    import pandas as pd

    if name not in exchange_calendars.get_calendar_names():
        raise SettingsError(
            f"sources.<name>.calendar: there is no exchange calendar {name!r}; expected a code "
            f"of exchange_calendars such as XNYS, XNAS, XLON, XBOM or 24/5: correct the setting"
        )
    if first > last:
        return None
    # A calendar wants at least one session within its bounds: look a fortnight around.
    fortnight = pd.Timedelta(days=14)
    start, end = pd.Timestamp(first) - fortnight, pd.Timestamp(last) + fortnight
    known = _built.get(name)
    if known is not None and known[0] <= start and end <= known[1]:
        return known[2]
    try:
        built = exchange_calendars.get_calendar(name, start=start, end=end)
    except ValueError:
        # Beyond what the calendar knows; only one that is built says how far that goes.
        whole = exchange_calendars.get_calendar(name)
        low, high = _within(pd.Timestamp(first), whole), _within(pd.Timestamp(last), whole)
        if low > high:
            return None
        return exchange_calendars.get_calendar(
            name, start=_within(low - fortnight, whole), end=_within(high + fortnight, whole)
        )
    if known is None or end - start > known[1] - known[0]:
        _built[name] = (start, end, built)
    return built


def _within(day: Any, calendar: Any) -> Any:
    # Bounds are None where a calendar is known for ever.
    low, high = calendar.bound_min(), calendar.bound_max()
    if low is not None and day < low:
        return low
    return high if high is not None and day > high else day
