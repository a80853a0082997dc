"""Lineage: a champion leads back to its bars, a batch on to champions; records are read once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.made_records import chain
from transfergate.registry.history import ChampionHistory
from transfergate.registry.lineage import ancestry, descent
from transfergate.registry.records import Records, serving


@pytest.fixture
def made(tmp_path):
    return chain(tmp_path)


@pytest.fixture
def records(made):
    return Records(made.store)


def test_a_champion_leads_back_to_the_loads_known_when_its_snapshot_was_made(records):
    found = ancestry(records, "AAA", "a2")
    assert found.snapshot.snapshot_id == "5a"
    assert found.foundation.version == "f1"
    assert found.judgement.verdict == "PROMOTE"
    assert found.promotion.evaluation == "e1"
    # b2 came later, b3 is of another source
    assert [batch.batch_id for batch in found.batches] == ["b1"]
    assert found.batches[0].landing == ("landing/daily/file-of-b1",)


def test_a_candidate_that_is_not_there_has_no_lineage(records):
    assert ancestry(records, "AAA", "none") is None
    assert descent(records, "none") is None


def test_a_batch_leads_on_to_what_serves_and_what_served(records):
    found = descent(records, "b1")
    assert [one.snapshot_id for one in found.snapshots] == ["5a"]
    assert [one.version for one in found.foundations] == ["f1"]
    assert {(one.ticker, one.verdict) for one in found.judgements} == {
        ("AAA", "PROMOTE"),
        ("BBB", "REJECT_NEGATIVE_TRANSFER"),
    }
    assert [(row.ticker, row.version) for row in found.champions] == [("AAA", "a2")]
    assert [(row.ticker, row.version) for row in found.former] == [("AAA", "a1")]


def test_a_batch_that_nobody_learnt_from_leads_nowhere(records):
    found = descent(records, "b2")
    assert (found.snapshots, found.foundations, found.candidates, found.champions) == ((),) * 4


def test_a_rollback_moves_the_champion_of_the_batch(made, records):
    history = ChampionHistory(made.store)
    history.rollback("AAA", who="ben", when=datetime(2024, 4, 3, tzinfo=UTC), why="too risky")
    found = descent(records, "b1")
    assert [(row.ticker, row.version) for row in found.champions] == [("AAA", "a1")]
    assert serving(records.history("AAA")).version == "a1"


def test_what_is_published_later_is_seen(made, records):
    assert len(records.snapshots()) == 1
    made.snapshot("5b", "2024-03-30T00:00:00+00:00")
    assert [one.snapshot_id for one in records.snapshots()] == ["5a", "5b"]
    assert [one.snapshot_id for one in descent(records, "b2").snapshots] == ["5b"]


def test_a_record_that_never_changes_is_read_once(records, monkeypatch):
    records.candidates()
    read = []
    monkeypatch.setattr(records.store, "read_json", read.append)
    assert len(records.candidates()) == 3
    assert read == []
