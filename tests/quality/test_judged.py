"""The list of batches adds up, and reads what never changes once."""

from __future__ import annotations

import pytest

from transfergate.quality import judged_batches
from transfergate.storage import ArtefactStore, json_bytes
from transfergate.storage.folder import FolderObjects
from transfergate.storage.recall import Recall


def report(batch_id, received=100, quarantined=0, refusals=(), passed=True):
    return {
        "batch_id": batch_id,
        "source": "sample",
        "received": received,
        "quarantined": quarantined,
        "first_session": "2012-01-03",
        "last_session": "2012-12-31",
        "refusals": list(refusals),
        "expectations": [{"passed": True}, {"passed": passed}],
        "many": ["things"] * 10,
    }


@pytest.fixture
def store(tmp_path):
    found = ArtefactStore(tmp_path)
    loads = {"a": "2026-01-02T00:00:00+00:00", "b": "2026-01-05T00:00:00+00:00"}
    for one in (
        report("a", passed=False),
        report("b", quarantined=3),
        report("c", quarantined=100, refusals=["fresh: too old"]),
        report("d", quarantined=5),
    ):
        name = one["batch_id"]
        found.replace(f"batches/{name}/validation.json", json_bytes(one))
        if name in loads:
            found.replace(f"batches/{name}/batch.json", json_bytes({"known_at": loads[name]}))
    found.replace("releases/sample/r1.json", json_bytes({"row_ids": {"b": [7, 9]}}))
    return found


def test_received_rows_are_loaded_quarantined_refused_or_waiting(store):
    found = judged_batches(store, Recall(store))
    for one in found:
        assert one.received == one.loaded + one.quarantined + one.refused + one.waiting
    assert {one.batch_id: (one.loaded, one.quarantined, one.refused, one.waiting, one.released)
            for one in found} == {
        "a": (100, 0, 0, 0, 0), "b": (97, 3, 0, 0, 2), "c": (0, 0, 100, 0, 0), "d": (0, 5, 0, 95, 0)
    }  # fmt: skip
    assert {one.batch_id: one.verdict for one in found} == {
        "a": "passed, with warnings",
        "b": "passed, with quarantine",
        "c": "refused",
        "d": "passed, with quarantine, not loaded",
    }


def test_the_newest_comes_first_by_load_or_else_by_judgement(store):
    ids = [one.batch_id for one in judged_batches(store, Recall(store))]
    assert ids[2:] == ["b", "a"]
    assert set(ids[:2]) == {"c", "d"}


def test_a_report_is_read_once_and_again_when_it_was_written_anew(store, monkeypatch):
    recall = Recall(store)
    judged_batches(store, recall)
    asked = []
    read = FolderObjects.read_many
    monkeypatch.setattr(
        FolderObjects, "read_many", lambda s, keys: asked.extend(keys) or read(s, keys)
    )
    judged_batches(store, recall)
    assert asked == []
    store.replace("batches/d/validation.json", json_bytes(report("d", quarantined=6)))
    found = {one.batch_id: one.quarantined for one in judged_batches(store, recall)}
    assert asked == ["batches/d/validation.json"]
    assert found["d"] == 6


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("batches/b/validation.json", b'{"batch_id": "b", "received'),
        ("batches/b/validation.json", None),
        ("batches/b/validation.json", b'{"batch_id": "b"}'),
        ("batches/b/batch.json", b"[]"),
        ("releases/sample/r1.json", b"\xff"),
    ],
)
def test_a_broken_record_is_told_and_the_others_stay(store, key, content):
    if content is None:
        store.discard(key)
    else:
        store.replace(key, content)
    told = {}
    found = judged_batches(store, Recall(store), told.__setitem__)
    assert list(told) == [key]
    assert {"a", "c", "d"} <= {one.batch_id for one in found}


def test_without_batches_the_list_is_empty(tmp_path):
    store = ArtefactStore(tmp_path)
    assert judged_batches(store, Recall(store)) == []
