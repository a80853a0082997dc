"""How tickers and sources stand: late bars, features that lag, old models."""

from __future__ import annotations

from datetime import date

import pytest

from tests.made_records import SESSIONS, Made, chain
from transfergate.registry.records import Records
from transfergate.settings import Settings
from transfergate.steps.standing import source_standings, ticker_standings

SOURCES = {"daily": {"kind": "files", "root": "/nowhere"}, "other": {"kind": "synthetic"}}


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, sources=SOURCES)


@pytest.fixture
def made(settings):
    return chain(settings.artefact_root)


def standings(made: Made, settings: Settings, today: date):
    records = Records(made.store)
    sources = source_standings(records, settings, today)
    return sources, {one.ticker: one for one in ticker_standings(records, settings, sources)}


def test_bars_are_late_once_enough_sessions_are_over(made, settings):
    # the bars end on 2024-03-28, a Thursday; Good Friday follows: no session
    on_time, _ = standings(made, settings, date(2024, 4, 4))
    late, _ = standings(made, settings, date(2024, 4, 5))
    assert (on_time["daily"].sessions_late, on_time["daily"].late) == (3, False)
    assert (late["daily"].sessions_late, late["daily"].late) == (4, True)


def test_a_record_that_is_closed_is_never_late(made, settings):
    sources, _ = standings(made, settings, date(2030, 1, 1))
    assert (sources["other"].sessions_late, sources["other"].late) == (None, False)


def test_features_lag_until_a_snapshot_holds_the_newest_bars(made, settings):
    sources, _ = standings(made, settings, date(2024, 4, 1))
    assert sources["daily"].features_lag
    made.snapshot("5b", "2024-03-29T20:00:00.5+00:00")
    sources, _ = standings(made, settings, date(2024, 4, 1))
    assert not sources["daily"].features_lag


def test_a_load_without_new_bars_asks_for_no_features(made, settings):
    made.snapshot("5b", "2024-03-29T20:00:00.5+00:00")
    made.batch("b4", "2024-03-30T20:00:00+00:00", new_revisions=0)
    sources, _ = standings(made, settings, date(2024, 4, 1))
    assert not sources["daily"].features_lag


def test_a_champion_grows_old_by_sessions_it_has_not_seen(made, settings):
    _, tickers = standings(made, settings, date(2024, 4, 1))
    assert (tickers["AAA"].learnt_until, tickers["AAA"].sessions_behind) == (SESSIONS[-5], 4)
    assert not tickers["AAA"].old
    strict = settings.model_copy(
        update={"schedules": settings.schedules.model_copy(update={"old_model_sessions": 3})}
    )
    assert standings(made, strict, date(2024, 4, 1))[1]["AAA"].old


def test_a_ticker_without_champion_or_verdict_still_stands_in_the_list(made, settings):
    made.candidate("CCC", "c1", "5a", "f1")
    _, tickers = standings(made, settings, date(2024, 4, 1))
    assert tickers["BBB"].champion is None
    assert tickers["BBB"].judgement.weak_control
    assert tickers["CCC"].judgement is None


def test_features_of_a_later_state_than_the_bars_are_called_that(made, settings):
    """Batches were restored from a backup, snapshots and models were not."""
    for batch in ("b1", "b2"):
        made.batch(batch, "2024-02-28T20:00:00+00:00", last_session=SESSIONS[40])
    sources, tickers = standings(made, settings, date(2024, 4, 1))
    assert sources["daily"].features_ahead
    assert not sources["daily"].features_lag
    assert (sources["daily"].bars_until, sources["daily"].snapshot.last_session) == (
        SESSIONS[40],
        SESSIONS[-1],
    )
    assert not sources["other"].features_ahead
    assert tickers["AAA"].sessions_behind == 4


def test_a_model_of_a_later_state_than_the_features_is_not_called_fresh(made, settings):
    made.candidate("AAA", "a2", "5a", "f1", last_session="2024-05-02")
    _, tickers = standings(made, settings, date(2024, 4, 1))
    assert (tickers["AAA"].ahead, tickers["AAA"].sessions_behind) == (True, None)
    assert not tickers["BBB"].ahead
