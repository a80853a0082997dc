from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from drills import disturbed, faults

pytestmark = pytest.mark.slow


def test_faults_tear_nothing_and_lose_nothing(monkeypatch):
    monkeypatch.setattr(faults, "SIZES", (2_000, 300_000))
    findings = faults.drill(("disk", "clock", "deliveries", "alias", "rivals"))
    assert [one for one in findings if not one.well] == []
    said = {one.fault: one.found for one in findings}
    assert len(said) == len(findings) == 2 * 2 + 1 + 5 + 1 + 2
    for name in ("ingest", "features"):
        assert "raised" in said[f"disk full at 2000 bytes a file in {name}"], "the disk was full"
    assert said["yesterday's delivery again"].startswith("loaded before")


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
