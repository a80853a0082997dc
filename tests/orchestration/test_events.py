"""Which object a run works on: the newest event, unless the run was told otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from transfergate.orchestration.assets import BARS, FEATURES
from transfergate.orchestration.events import changed_sources, upstream_extra, upstream_extras


def event(hour: int, **extra):
    return SimpleNamespace(timestamp=datetime(2026, 1, 5, hour, tzinfo=UTC), extra=extra)


class History(list):
    """Stands for ``inlet_events[asset]``: all events of an asset, oldest first."""

    def ascending(self, ascending):
        return self if ascending else History(reversed(self))

    def limit(self, count):
        return History(self[:count])


def test_events_are_put_in_time_order():
    woken_by = {FEATURES: [event(9, n=2), event(8, n=1), event(10, n=3)]}
    assert [extra["n"] for extra in upstream_extras(FEATURES, woken_by, None)] == [1, 2, 3]


def test_a_run_that_no_event_started_gets_the_newest_event():
    history = {FEATURES: History([event(8, n=1), event(9, n=2)])}
    assert upstream_extras(FEATURES, {}, history) == [{"n": 2}]
    assert upstream_extras(FEATURES, None, {FEATURES: History()}) == []


def test_the_newest_of_several_waking_events_is_taken():
    woken_by = {FEATURES: [event(9, snapshot_id="new"), event(8, snapshot_id="old")]}
    extra = upstream_extra(FEATURES, woken_by, None, needs="snapshot_id", given={})
    assert extra == {"snapshot_id": "new"}


def test_a_parameter_overrides_the_event_and_none_does_not():
    woken_by = {FEATURES: [event(9, snapshot_id="event", source="sample")]}
    given = {"snapshot_id": "hand", "sources": None}
    extra = upstream_extra(FEATURES, woken_by, None, needs="snapshot_id", given=given)
    assert extra == {"snapshot_id": "hand"}
    extra = upstream_extra(FEATURES, woken_by, None, needs="snapshot_id", given={"sources": ["A"]})
    assert extra == {"snapshot_id": "event", "source": "sample", "sources": ["A"]}


def test_nothing_to_start_from_says_what_to_do():
    with pytest.raises(ValueError, match="run the upstream DAG first"):
        upstream_extra(FEATURES, {}, {FEATURES: History()}, needs="snapshot_id", given={})


def test_coalesced_loads_name_each_source_once():
    woken_by = {BARS: [event(9, source="sample"), event(8, source="files"),
                       event(7, source="sample")]}  # fmt: skip
    assert changed_sources(None, woken_by, None) == ["files", "sample"]
    assert changed_sources("synthetic", woken_by, None) == ["synthetic"]
    with pytest.raises(ValueError, match="run ingest_daily_bars first"):
        changed_sources(None, {}, {BARS: History()})
