from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from drills import data_plane
from drills.forks import kill_in_fork, run_in_fork

pytestmark = pytest.mark.slow


def test_kills_tear_nothing_and_lose_nothing():
    tallies = data_plane.drill(kills=9, seed=3)
    assert set(tallies) == {"ingest", "features", "compaction"}
    for name, tally in tallies.items():
        assert tally.clean, (name, tally)
        assert tally.killed >= 1, (name, tally)


def test_a_state_between_is_counted_as_one():
    before = {"facts": {"bars": "a", "batches": "a"}, "snapshots": []}
    after = {"facts": {"bars": "b", "batches": "b"}, "snapshots": ["s"]}
    tally = data_plane.Tally(trials=1)
    half = {"facts": {"bars": "b", "batches": "a"}, "snapshots": [], "torn": []}
    data_plane._look(tally, half, before, after)
    assert (tally.between, tally.clean) == (1, False)


def test_a_snapshot_with_a_damaged_or_missing_file_is_torn(tmp_path: Path):
    contents = {
        "whole": (b"bars", b"last"),
        "damaged": (b"ba", b"last"),
        "damaged_recent": (b"bars", b"la"),
        "unfinished": None,
    }
    for name, files in contents.items():
        (tmp_path / name).mkdir()
        if files is not None:
            _write_snapshot(tmp_path / name, *files)
    (tmp_path / ".tmp-1").mkdir()
    assert data_plane._snapshots(tmp_path) == (
        ["whole"],
        ["damaged", "damaged_recent", "unfinished"],
    )


def _write_snapshot(folder: Path, bars: bytes, recent: bytes) -> None:
    (folder / "A.parquet").write_bytes(bars)
    (folder / "recent.parquet").write_bytes(recent)
    a = {"name": "A.parquet", "sha256": hashlib.sha256(b"bars").hexdigest()}
    last = {"name": "recent.parquet", "sha256": hashlib.sha256(b"last").hexdigest()}
    manifest = {"files": {"A": a}, "recent": last, "restart": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_forked_function_returns_its_result_or_is_killed(tmp_path: Path):
    assert run_in_fork(lambda: {"answer": 42}) == {"answer": 42}
    assert kill_in_fork(lambda: time.sleep(30), 0.1) is True
    assert kill_in_fork(lambda: None, 5.0) is False
    with pytest.raises(RuntimeError, match="status 1"):
        run_in_fork(lambda: 1 / 0)
