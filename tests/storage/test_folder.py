"""What a folder waits for before it shows what was published."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfergate.storage import ArtefactStore, folder, share_file


def test_a_shared_file_was_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []
    original = folder.sync_path

    def sync(path: Path) -> None:
        waited.append(path.name)
        original(path)

    monkeypatch.setattr(folder, "sync_path", sync)
    store = ArtefactStore(tmp_path / "root")

    def first(target: Path) -> None:
        (target / "old").write_bytes(b"old")

    def second(target: Path) -> None:
        share_file(store.local("some/first") / "old", target / "old")
        (target / "new").write_bytes(b"new")

    store.publish_folder("some/first", first)
    assert waited == ["old"]
    store.publish_folder("some/second", second)
    assert waited == ["old", "new"]
    assert (store.local("some/second") / "old").read_bytes() == b"old"


def test_nothing_has_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    assert not store.exists("candidates/" + "x" * 5000)
    assert list(store.keys("candidates/" + "x" * 5000)) == []


def test_a_file_system_that_counts_no_names_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []
    monkeypatch.setattr(folder, "sync_path", lambda path: waited.append(path.name))
    stat = Path.stat

    def without_count(self: Path, **options: bool) -> os.stat_result:
        found = list(stat(self, **options))
        found[3] = 0  # st_nlink
        return os.stat_result(found)

    monkeypatch.setattr(Path, "stat", without_count)
    ArtefactStore(tmp_path).publish_folder("a/b", lambda to: (to / "new").write_bytes(b"1"))
    assert waited == ["new"]
