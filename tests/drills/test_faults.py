from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from drills import disturbed, faults, refusals
from drills.gateway import Gateway

pytestmark = pytest.mark.slow


def test_faults_tear_nothing_and_lose_nothing(monkeypatch):
    monkeypatch.setattr(faults, "SIZES", (2_000, 300_000))
    findings = faults.drill(("disk", "clock", "deliveries", "alias", "rivals", "hang"))
    assert [one for one in findings if not one.well] == []
    said = {one.fault: one.found for one in findings}
    assert len(said) == len(findings) == 2 * 2 + 1 + 5 + 1 + 2 + 1
    for name in ("ingest", "features"):
        assert "raised" in said[f"disk full at 2000 bytes a file in {name}"], "the disk was full"
    assert said["yesterday's delivery again"].startswith("loaded before")


def test_writes_are_refused_for_seconds_from_the_first_refusal_on(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("drills.gateway.time", SimpleNamespace(monotonic=lambda: now[0]))
    gateway = Gateway("http://127.0.0.1:9")
    gateway.server.shutdown()
    gateway.refuse_writes(503, after=1, seconds=3.0)
    now[0] = 100.0
    assert [gateway.refusal() for _ in range(3)] == [None, 503, 503]
    now[0] = 102.9
    assert gateway.refusal() == 503
    now[0] = 103.0
    assert gateway.refusal() is None
    assert (gateway.taken, gateway.refused) == (2, 3)


@pytest.mark.parametrize(
    "found",
    [
        {"facts": "half", "seen": {"a": "1"}, "torn": []},
        {"facts": "all", "seen": {"a": "1"}, "torn": ["snapshots/s"]},
        {"facts": "all", "seen": {"a": "1", "half": "2"}, "torn": []},
        {"facts": "all", "seen": {}, "torn": []},
    ],
)
def test_a_refusal_that_leaves_something_torn_is_noticed(monkeypatch, found):
    before = {"facts": "none", "seen": {"a": "1"}, "torn": []}
    undisturbed = {"facts": "all", "seen": {"a": "1", "b": "1"}, "torn": []}
    for state, well in ((found, False), (before, True), (undisturbed, True)):
        results = iter(["look at AWS_ENDPOINT_URL", state, undisturbed])
        monkeypatch.setattr(refusals, "_home_in_bucket", lambda *_: nullcontext(None))
        monkeypatch.setattr(refusals, "run_in_fork", lambda _: next(results))  # noqa: B023
        gateway = SimpleNamespace(refuse_writes=lambda *_: None, take_writes=lambda: None)
        finding = refusals._Drill(None, [], gateway, before, undisturbed).for_good(1, 9)
        assert finding.well is well
        assert ("TORN" in finding.found) is not well


def test_a_drill_that_finds_a_tear_says_so(monkeypatch):
    """The full disk, where a step ignores it and leaves half a snapshot."""
    torn = {"facts": {}, "snapshots": [], "torn": ["half"]}
    whole = {"facts": {}, "snapshots": [], "torn": []}
    states = iter([whole, torn, whole, whole])
    monkeypatch.setattr(disturbed, "state", lambda settings: next(states))
    monkeypatch.setattr(disturbed, "run_in_fork", lambda function: function())
    monkeypatch.setattr(faults, "_fails", lambda *arguments: "OSError raised")
    monkeypatch.setattr(disturbed, "copy_of", lambda root, home: nullcontext(None))
    operation = SimpleNamespace(name="ingest", home=None, run=lambda settings: None)
    finding = faults._full_disk(None, operation, 0)
    assert not finding.well
    assert "TORN" in finding.found
