from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from drills import data_plane, remains
from drills.forks import kill_in_fork, run_in_fork
from drills.stages import Stages


@pytest.mark.slow
def test_kills_tear_nothing_and_lose_nothing():
    tallies = data_plane.drill(kills=9, seed=3)
    assert set(tallies) == {"ingest", "features", "compaction"}
    for name, tally in tallies.items():
        assert tally.clean, (name, tally)
        assert tally.killed >= 3, (name, tally)
        assert sum(tally.by_stage.values()) == tally.killed


def test_a_state_between_is_counted_as_one():
    before = {"facts": {"bars": "a", "batches": "a"}, "snapshots": []}
    after = {"facts": {"bars": "b", "batches": "b"}, "snapshots": ["s"]}
    tally = data_plane.Tally(killed=1)
    half = {"facts": {"bars": "b", "batches": "a"}, "snapshots": [], "torn": []}
    data_plane._look(tally, half, before, after)
    assert (tally.between, tally.clean) == (1, False)


def test_what_a_repeated_run_does_not_restore_is_named():
    after = {"facts": {"bars": "b"}, "artefacts": {"page": "loaded"}, "rows": 9}
    tally = data_plane.Tally(killed=1, as_before=1)
    data_plane._compare(tally, after, after)
    assert tally.clean
    again = {"facts": {"bars": "b"}, "artefacts": {"page": "judged"}, "rows": 7}
    data_plane._compare(tally, again, after)
    assert (tally.not_recovered, tally.rows_lost, tally.clean) == (1, 2, False)
    assert tally.differences == ["artefacts: page"]


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
    assert remains.snapshots(tmp_path) == (
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


def test_artefacts_are_compared_without_moments_and_unpublished_files(tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text("loaded at 2021-01-04 09:30:00")
    before = remains._artefacts(tmp_path)
    page.write_text("loaded at 2026-11-20 23:59:59")
    (tmp_path / ".tmp-1").write_text("half")
    assert remains._artefacts(tmp_path) == before
    page.write_text("not loaded")
    assert remains._artefacts(tmp_path) != before


def test_a_forked_function_returns_its_result_or_is_killed():
    assert run_in_fork(lambda: {"answer": 42}) == {"answer": 42}
    soon = time.monotonic() + 0.1
    assert kill_in_fork(lambda: time.sleep(30), lambda: time.monotonic() > soon) is True
    assert kill_in_fork(lambda: None, lambda: False) is False
    with pytest.raises(RuntimeError, match="status 1"):
        run_in_fork(lambda: 1 / 0)


def test_a_process_tells_its_stage_to_the_one_that_kills_it():
    work = SimpleNamespace()
    work.outer = lambda: [work.first(), time.sleep(0.05), work.inner()]
    work.first = lambda: None
    work.inner = lambda: time.sleep(30)
    places = [(work, "outer", "whole"), (work, "first", "begin"), (work, "inner", "core")]
    stages = Stages(places, {"begin": "begun"})

    def told() -> None:
        with stages.told():
            work.outer()

    stages.clear()
    assert kill_in_fork(told, lambda: stages.spent("core") > 0.02) is True
    assert stages.current() == "core"
    assert 0.05 <= stages.spent("begun") < 5
    assert stages.spent("whole") < 0.05
