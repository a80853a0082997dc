"""Sessions that were built once come from the warehouse, and are the calendar's."""

from __future__ import annotations

import importlib.metadata
from datetime import date
from pathlib import Path

import pytest

from transfergate.calendars import exchange_sessions
from transfergate.errors import SettingsError
from transfergate.settings import PROJECT_ROOT
from transfergate.warehouse import open_warehouse, sessions
from transfergate.warehouse.sessions import sessions_between

FIRST, LAST = date(2019, 6, 3), date(2019, 8, 30)


def _refuse(*_: object) -> tuple[date, ...]:
    pytest.fail("a calendar was built")


def test_noted_sessions_are_the_calendars(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_warehouse(Path(":memory:"), PROJECT_ROOT / "sql", 0) as conn:
        assert sessions_between(conn, "XNYS", FIRST, LAST) == [
            *exchange_sessions("XNYS", FIRST, LAST)
        ]
        later = (date(2019, 8, 31), date(2020, 12, 31))
        expected = {span: [*exchange_sessions("XNYS", *span)] for span in [(FIRST, LAST), later]}
        monkeypatch.setattr(sessions, "exchange_sessions", _refuse)
        for span, days in expected.items():
            assert sessions_between(conn, "XNYS", *span) == days
        weekend = date(2019, 8, 31), date(2019, 9, 2)
        assert sessions_between(conn, "XNYS", *weekend) == []


@pytest.mark.parametrize(
    ("calendar", "first", "last"),
    [
        ("XBOM", FIRST, LAST),
        ("XNYS", date(2019, 6, 2), LAST),
        ("XNYS", FIRST, date(2021, 1, 1)),
    ],
)
def test_what_is_not_noted_is_built(calendar: str, first: date, last: date) -> None:
    with open_warehouse(Path(":memory:"), PROJECT_ROOT / "sql", 0) as conn:
        sessions_between(conn, "XNYS", FIRST, LAST)
        found = sessions_between(conn, calendar, first, last)
        assert found == [*exchange_sessions(calendar, first, last)]
        assert conn.execute("select count(*) from calendar_spans").fetchall() == [(2,)]


def test_another_version_of_the_calendars_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_warehouse(Path(":memory:"), PROJECT_ROOT / "sql", 0) as conn:
        sessions_between(conn, "XNYS", FIRST, LAST)
        monkeypatch.setattr(importlib.metadata, "version", lambda _: "0")
        monkeypatch.setattr(sessions, "exchange_sessions", lambda *_: (FIRST,))
        assert sessions_between(conn, "XNYS", FIRST, LAST) == [FIRST]


def test_an_unknown_calendar_is_refused_and_not_noted() -> None:
    with open_warehouse(Path(":memory:"), PROJECT_ROOT / "sql", 0) as conn:
        with pytest.raises(SettingsError, match="no exchange calendar 'MOON'"):
            sessions_between(conn, "MOON", FIRST, LAST)
        assert conn.execute("select count(*) from calendar_spans").fetchall() == [(0,)]
