"""How often pages ask an object store, and that they see what has changed since."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, date, datetime

import pytest

from tests.made_records import Made
from transfergate.registry.history import ChampionHistory
from transfergate.registry.records import Records
from transfergate.settings import Settings
from transfergate.steps.standing import source_standings, ticker_standings
from transfergate.storage import ArtefactStore
from transfergate.storage.recall import TRUSTED_SECONDS, Recall
from transfergate.storage.s3 import Bucket

DAY = datetime(2024, 4, 1, tzinfo=UTC)
LISTS = 12
"""So many lists of names a request may ask for, however many tickers there are."""


@pytest.fixture
def publish(put_object, tmp_path):
    """Publish so many tickers in an object store of their own; returns a way to open it."""

    def make(count: int):
        name = f"b{uuid.uuid4().hex}"
        put_object(name)
        store = ArtefactStore(f"s3://{name}/team", tmp_path / "made")
        made = Made.of(store)
        tickers = [f"T{number:02d}" for number in range(count)]
        made.batch("b1", "2024-03-28T20:00:00+00:00")
        made.snapshot("5a", "2024-03-28T20:00:00+00:00")
        made.foundation("f1", "5a")
        made.evaluation("e1", "f1", {ticker: {"verdict": "PROMOTE"} for ticker in tickers})
        for ticker in tickers:
            made.candidate(ticker, "a1", "5a", "f1")
            ChampionHistory(store).promote(ticker, "a1", who="w", when=DAY, why="y")
        return lambda cache: ArtefactStore(f"s3://{name}/team", tmp_path / cache)

    return make


@pytest.fixture
def asked(monkeypatch):
    """Requests, by kind, since the last look."""
    found: Counter[str] = Counter()
    for kind in ("get", "head", "places", "names"):
        real = getattr(Bucket, kind)

        def count(self, place, kind=kind, real=real):
            found[kind] += 1
            return real(self, place)

        monkeypatch.setattr(Bucket, kind, count)
    return found


def overview(recall: Recall, tmp_path) -> dict[str, str | None]:
    """What serves, as the overview reads it in one request."""
    records = Records(recall.store, recall)
    settings = Settings(home=tmp_path)
    sources = source_standings(records, settings, date(2024, 4, 1))
    found = ticker_standings(records, settings, sources)
    assert records.broken == {}
    return {one.ticker: one.champion.version if one.champion else None for one in found}


@pytest.mark.parametrize("count", [4, 20])
def test_a_second_request_reads_lists_alone_however_many_tickers(publish, asked, tmp_path, count):
    recall = Recall(publish(count)("cache"))
    asked.clear()
    assert len(overview(recall, tmp_path)) == count
    assert asked["get"] <= 3 * count + 40
    asked.clear()
    overview(recall, tmp_path)
    assert (asked["get"], asked["head"]) == (0, 0)
    assert asked["places"] + asked["names"] <= LISTS


def test_a_promotion_is_seen_by_the_next_request(publish, asked, tmp_path):
    opened = publish(4)
    recall = Recall(opened("cache"))
    assert overview(recall, tmp_path)["T01"] == "a1"
    other = opened("other")
    Made.of(other).candidate("T01", "a2", "5a", "f1")
    ChampionHistory(other).promote("T01", "a2", who="w", when=DAY, why="y")
    asked.clear()
    assert overview(recall, tmp_path)["T01"] == "a2"
    assert asked["get"] <= 8, "the new row and its candidate"


def test_a_pointer_that_moves_is_seen_by_the_next_request(publish):
    opened = publish(8)
    store = opened("cache")
    recall = Recall(store)
    assert Records(store, recall).latest()["T05"].verdict == "PROMOTE"
    Made.of(opened("other")).evaluation("e2", "f1", {"T05": {"verdict": "INVALID"}})
    latest = Records(store, recall).latest()
    assert (latest["T05"].verdict, latest["T06"].verdict) == ("INVALID", "PROMOTE")


def test_a_write_once_record_is_believed_for_a_while_then_read_again(tmp_path):
    """As after a restore under a running process: another batch under the same id."""
    now = [0.0]
    made = Made(tmp_path)
    made.batch("b1", "2024-03-28T20:00:00+00:00")
    recall = Recall(made.store, lambda: now[0])

    def known_at() -> str:
        (batch,) = Records(made.store, recall).batches()
        return batch.known_at

    assert known_at() == "2024-03-28T20:00:00+00:00"
    made.batch("b1", "2024-05-01T20:00:00+00:00")
    now[0] = TRUSTED_SECONDS - 1
    assert known_at() == "2024-03-28T20:00:00+00:00"
    now[0] = TRUSTED_SECONDS
    assert known_at() == "2024-05-01T20:00:00+00:00"


def test_answers_are_bounded_and_the_longest_unasked_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr("transfergate.storage.recall.MOST", 3)
    made = Made(tmp_path)
    for number in range(4):
        made.write(f"x/{number}.json", number)
    recall = Recall(made.store)
    for number in (0, 1, 2, 0, 3):
        assert recall.pick(f"x/{number}.json", plain_number) == number
    assert [key for key, _ in recall._kept] == ["x/2.json", "x/0.json", "x/3.json"]


def plain_number(content: int) -> int:
    return content


def test_a_row_that_was_written_over_is_read_again(tmp_path):
    """As after a restore: another row under the same number."""
    made = Made(tmp_path)
    history = ChampionHistory(made.store)
    for version in ("a1", "a2"):
        history.promote("AAA", version, who="w", when=DAY, why="y")
    recall = Recall(made.store)
    assert Records(made.store, recall).history("AAA")[-1].version == "a2"
    made.store.discard("champions/AAA/000002.json")
    history.promote("AAA", "a9", who="w", when=DAY, why="y")
    assert Records(made.store, recall).history("AAA")[-1].version == "a9"
