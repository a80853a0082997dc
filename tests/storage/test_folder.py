"""What a folder waits for before it shows what was published."""

from __future__ import annotations

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
