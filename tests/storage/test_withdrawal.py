"""Taking published folders back, and sweeping what killed writers left, on both kinds of root."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from transfergate.storage import ArtefactStore
from transfergate.storage.bucket import BucketObjects
from transfergate.storage.folder import FolderObjects

Open = Callable[[], ArtefactStore]
LATER = timedelta(hours=1)


def _fill(text: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "a").write_bytes(text)
        (folder / "sub" / "b").write_bytes(text)

    return write


def _die(folder: Path) -> None:
    _fill(b"half")(folder)
    raise KeyboardInterrupt


def test_a_withdrawn_folder_is_gone_and_its_neighbours_stay(store: ArtefactStore, open_again: Open):
    for name in ("one", "two"):
        store.publish_folder(f"models/{name}", _fill(b"1"))
    assert store.withdraw("models/one")
    for root in (store, open_again()):
        assert list(root.keys("models")) == ["models/two/a", "models/two/sub/b"]
        assert not root.exists("models/one")
        with pytest.raises(FileNotFoundError):
            root.read("models/one/a")
    assert not store.withdraw("models/one")
    assert not store.withdraw("models/never")
    assert store.litter(datetime.now(UTC) + LATER) == []


def test_a_name_is_free_again_also_for_who_had_seen_the_folder(
    store: ArtefactStore, open_again: Open
):
    other = open_again()
    store.publish_folder("models/one", _fill(b"old"))
    assert (other.read("models/one/a"), other.exists("models/one/sub/b")) == (b"old", True)
    open_again().withdraw("models/one")
    assert not other.exists("models/one")
    assert other.publish_folder("models/one", _fill(b"new"))
    for root in (store, other, open_again()):
        assert root.read("models/one/a") == b"new"
        assert root.local("models/one/sub/b").read_bytes() == b"new"
        assert list(root.keys("models")) == ["models/one/a", "models/one/sub/b"]


def test_a_withdrawal_killed_halfway_leaves_litter_and_nothing_to_see(
    store: ArtefactStore, open_again: Open, monkeypatch: pytest.MonkeyPatch
):
    store.publish_folder("models/one", _fill(b"1"))
    monkeypatch.setattr("transfergate.storage.folder.shutil.rmtree", lambda *a, **k: None)
    monkeypatch.setattr(
        "transfergate.storage.bucket.Bucket.delete", _only_first, raising=True
    ) if isinstance(store._objects, BucketObjects) else None
    store.withdraw("models/one")
    monkeypatch.undo()
    again = open_again()
    assert list(again.keys("models")) == []
    assert again.litter(datetime.now(UTC) - LATER) == []
    litter = again.litter(datetime.now(UTC) + LATER)
    assert litter
    for place in litter:
        again.sweep(place)
    assert again.litter(datetime.now(UTC) + LATER) == []


def _only_first(bucket, places) -> None:
    import obstore

    places = list(places)
    if len(places) == 1 and places[0].endswith("/.published"):
        obstore.delete(bucket._store, places[0])


def test_what_a_killed_writer_left_is_litter_and_what_is_published_is_not(
    store: ArtefactStore, open_again: Open, monkeypatch: pytest.MonkeyPatch
):
    store.publish_folder("models/kept", _fill(b"1"))
    store.write_once("looks/1.json", b"{}")
    # A killed writer cleans nothing up.
    monkeypatch.setattr("transfergate.storage.folder.shutil.rmtree", lambda *a, **k: None)
    monkeypatch.setattr(BucketObjects, "_clear", lambda *a: None)
    monkeypatch.setattr(
        "transfergate.storage.s3.Bucket.create", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    killed = _die if isinstance(store._objects, FolderObjects) else _fill(b"half")
    for name in ("kept_too", "torn"):
        with pytest.raises(KeyboardInterrupt):
            store.publish_folder(f"models/{name}", killed)
    monkeypatch.undo()
    store.publish_folder("models/kept_too", _fill(b"1"))
    before = {key: store.read(key) for key in store.keys("")}
    litter = open_again().litter(datetime.now(UTC) + LATER)
    assert len(litter) == (2 if isinstance(store._objects, FolderObjects) else 4)
    for place in litter:
        open_again().sweep(place)
    assert {key: open_again().read(key) for key in open_again().keys("")} == before
    assert open_again().litter(datetime.now(UTC) + LATER) == []


def test_what_is_published_is_never_swept(store: ArtefactStore):
    store.publish_folder("models/one", _fill(b"1"))
    for place in ("models/one/a", "models/one"):
        with pytest.raises(ValueError, match="no litter"):
            store.sweep(place)
    if isinstance(store._objects, BucketObjects):
        named = next(p for p in store._objects._bucket.places("models") if "/.staged-" in p)
        with pytest.raises(ValueError, match="no litter"):
            store.sweep(named)
    assert store.read("models/one/a") == b"1"


def test_a_writer_at_work_is_no_litter(tmp_path: Path):
    store = ArtefactStore(tmp_path)
    working = tmp_path / "models" / ".tmp-1"
    working.mkdir(parents=True)
    (working / "weights").write_bytes(b"1")
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    os.utime(working, (long_ago, long_ago))  # only the newest file tells
    assert store.litter(datetime.now(UTC) - LATER) == []
    os.utime(working / "weights", (long_ago, long_ago))
    assert store.litter(datetime.now(UTC) - LATER) == ["models/.tmp-1"]
