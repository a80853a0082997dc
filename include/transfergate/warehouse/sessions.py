"""An exchange's sessions, noted in the warehouse: to build a calendar takes up to a second."""

from __future__ import annotations

import importlib.metadata
from datetime import date

from duckdb import DuckDBPyConnection

from transfergate.calendars import exchange_sessions

_NOTED = """
select list_filter(sessions, lambda day: day between $first::date and $last::date)
from calendar_spans
where calendar = $calendar and version = $version and $first >= first_day and $last <= last_day
limit 1
"""
_NOTE = "insert into calendar_spans values ($calendar, $version, $first, $last, $sessions::date[])"


def sessions_between(
    conn: DuckDBPyConnection, calendar: str, first: date, last: date
) -> list[date]:
    """Sessions from ``first`` to ``last``, both included, in order.

    What is not noted yet is built up to the end of the year after ``last`` and noted, for the
    version of ``exchange_calendars`` that gave it.

    Args:
        conn: The warehouse, in no transaction.
        calendar: A code of ``exchange_calendars``.
        first: First day asked for.
        last: Last day asked for.

    Raises:
        SettingsError: If there is no such calendar.
    """
    asked = {
        "calendar": calendar,
        "version": importlib.metadata.version("exchange_calendars"),
        "first": first,
        "last": last,
    }
    if noted := conn.execute(_NOTED, asked).fetchall():
        return list(noted[0][0])
    ahead = date(last.year + 1, 12, 31)
    sessions = list(exchange_sessions(calendar, first, ahead))
    conn.execute(_NOTE, asked | {"last": ahead, "sessions": sessions})
    return [day for day in sessions if day <= last]
