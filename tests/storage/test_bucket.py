"""What only an object store can do to us: half uploads, lost answers, outages, refusals."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from drills.gateway import Gateway
from transfergate.errors import SettingsError, StorageUnavailable
from transfergate.evaluation.ledger import Ledger
from transfergate.settings import Settings
from transfergate.storage import ArtefactStore, open_store, s3, share_file
from transfergate.storage.bucket import BucketObjects
from transfergate.storage.s3 import Bucket


@pytest.fixture
def gateway(object_store: str, put_object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    put_object("gated")
    made = Gateway(object_store)
    soon = timedelta(milliseconds=20)  # what is refused is asked again
    monkeypatch.setitem(s3._RETRIES, "backoff", {"init_backoff": soon / 2, "max_backoff": soon})
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
    yield made
    made.server.shutdown()


@pytest.fixture
def gated(gateway: Gateway, tmp_path: Path, request: pytest.FixtureRequest) -> ArtefactStore:
    return ArtefactStore(f"s3://gated/{request.node.name}", tmp_path / "cache")


def _fill(folder: Path) -> None:
    (folder / "a").write_bytes(b"1")
    (folder / "b").write_bytes(b"2")


def test_a_write_waits_out_an_outage(gateway: Gateway, gated: ArtefactStore) -> None:
    """However often it is refused meanwhile: obstore alone gives up after ten tries."""
    gateway.refuse_writes(503)
    done = threading.Event()

    def publish() -> None:
        gated.publish_folder("snapshots/s", _fill)
        done.set()

    writer = threading.Thread(target=publish)
    writer.start()
    deadline = time.monotonic() + 20
    while gateway.refused < 40 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gateway.refused >= 40, "each of two files, more than ten times"
    assert list(gated.keys("")) == []
    gateway.take_writes()
    writer.join(30)
    assert done.is_set()
    assert list(gated.keys("")) == ["snapshots/s/a", "snapshots/s/b"]


def test_a_refusal_is_named_and_publishes_nothing(gateway: Gateway, gated: ArtefactStore) -> None:
    gateway.refuse_writes(403)
    for write in (
        lambda: gated.write_once("champions/T/000001.json", b"{}"),
        lambda: gated.replace("latest.json", b"{}"),
        lambda: gated.publish_folder("snapshots/s", _fill),
    ):
        with pytest.raises(StorageUnavailable, match=r"s3://gated/.*refuses.*AWS_ENDPOINT_URL"):
            write()
    gateway.take_writes()
    assert list(gated.keys("")) == []


def test_a_lost_answer_does_not_make_a_writer_believe_another_was_first(
    gateway: Gateway, gated: ArtefactStore
) -> None:
    gateway.lose_answers = 3  # both files and the mark are there, but nobody says so
    assert gated.publish_folder("snapshots/s", _fill)
    assert gated.read("snapshots/s/b") == b"2"


def test_a_store_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, object_store: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = ArtefactStore("s3://nowhere/x", tmp_path, timedelta(seconds=0.2))
    with pytest.raises(StorageUnavailable, match="s3://nowhere/x/a: the object store cannot be"):
        store.read("a")


@pytest.fixture
def bucket(put_object, tmp_path: Path, request: pytest.FixtureRequest):
    """An empty root, how to open it anew, and how to write to it as somebody else."""
    put_object("plain")
    prefix = f"plain/{request.node.name}"

    def put(key: str, content: bytes) -> None:
        put_object(f"{prefix}/{key}", content)

    def opened() -> BucketObjects:
        return BucketObjects(f"s3://{prefix}", tmp_path / "cache")

    return opened, put


def test_a_half_upload_is_not_there_and_does_not_spoil_the_next(bucket) -> None:
    opened, put = bucket
    put("snapshots/s/.staged-0dead/manifest.json", b"torn")
    put("snapshots/s/.staged-0dead/T.parquet", b"torn")
    store = opened()
    assert store.keys("") == store.keys("snapshots/s") == []
    assert not store.exists("snapshots/s")
    assert not store.exists("snapshots/s/manifest.json")

    def write(folder: Path) -> str:
        (folder / "manifest.json").write_bytes(b"whole")
        return "s"

    assert store.publish("snapshots", write) == ("s", True)
    for one in (store, opened()):
        assert one.keys("snapshots") == ["snapshots/s/manifest.json"]
        assert one.read("snapshots/s/manifest.json") == b"whole"
        assert not one.exists("snapshots/s/T.parquet")


def test_a_mark_sorts_before_what_is_staged(bucket) -> None:
    opened, _ = bucket
    opened().publish("ledger", lambda folder: (_fill(folder), "f")[1])
    places = list(opened()._bucket.places("ledger"))
    assert places == sorted(places)
    assert [place.split("/")[2][:8] for place in places] == [".publish", ".staged-", ".staged-"]


def test_a_mark_whose_answer_never_came_names_what_is_there(
    bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = bucket

    def publish() -> tuple[str, bool]:
        return opened().publish("ledger", lambda folder: (_fill(folder), "f")[1])

    create = Bucket.create
    with monkeypatch.context() as patch:

        def lost(self: Bucket, place: str, content: bytes) -> bool:
            create(self, place, content)
            raise StorageUnavailable("no answer")

        patch.setattr(Bucket, "create", lost)
        with pytest.raises(StorageUnavailable, match="no answer"):
            publish()
    assert publish() == ("f", False)
    assert [opened().read(key) for key in opened().keys("ledger")] == [b"1", b"2"]


def test_a_folder_may_be_copied_before_its_publisher_has_kept_it(
    bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = bucket
    create = Bucket.create

    def seen(self: Bucket, place: str, content: bytes) -> bool:
        created = create(self, place, content)
        opened().local("ledger/f/a")
        return created

    monkeypatch.setattr(Bucket, "create", seen)
    store = opened()
    assert store.publish("ledger", lambda folder: (_fill(folder), "f")[1]) == ("f", True)
    assert (store.local("ledger/f") / "b").read_bytes() == b"2"


def test_the_cache_may_be_deleted(bucket, tmp_path: Path) -> None:

    opened, _ = bucket
    opened().publish("ledger", lambda folder: (_fill(folder), "f")[1])
    shutil.rmtree(tmp_path / "cache")
    assert opened().local("ledger/f/a").read_bytes() == b"1"


def test_settings_name_the_root(put_object, tmp_path: Path) -> None:
    put_object("plain")
    settings = Settings(home=tmp_path, artefacts="s3://plain/settings/")
    store = open_store(settings)
    store.write_once("a/b.json", json.dumps({"x": 1}).encode())
    assert store.location("a/b.json") == "s3://plain/settings/a/b.json"
    assert open_store(settings).read_json("a/b.json") == {"x": 1}
    assert Ledger(store).folds("r", "T") == []
    with pytest.raises(SettingsError, match="s3://plain/settings/, expected a folder"):
        _ = settings.artefact_root
    with pytest.raises(ValueError, match="is no folder"):
        _ = store.root
    with pytest.raises(ValueError, match="needs a folder for local copies"):
        ArtefactStore("s3://plain/x")


def test_a_copy_is_on_the_disk_before_it_gets_its_name(
    bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = bucket
    opened().create("a/b", b"content")
    synced: list[bytes] = []
    monkeypatch.setattr(
        "transfergate.storage.s3.sync_path", lambda path: synced.append(path.read_bytes())
    )
    assert opened().local("a/b").read_bytes() == b"content"
    assert synced == [b"content"]


def test_what_a_publisher_keeps_is_on_the_disk_before_it_gets_its_name(
    bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, _ = bucket
    synced: dict[str, bytes] = {}

    def sync(path: Path) -> None:
        assert "folders" not in path.relative_to(tmp_path).parts
        synced[path.name] = path.read_bytes()

    monkeypatch.setattr("transfergate.storage.bucket.sync_path", sync)
    store = opened()
    assert store.publish("ledger", lambda folder: (_fill(folder), "f")[1]) == ("f", True)
    kept = store.local("ledger/f")
    assert synced == {path.name: path.read_bytes() for path in kept.iterdir()}


def test_a_copy_that_is_asked_for_again_is_no_old_one(bucket, tmp_path: Path) -> None:
    # A publisher links settled files of the snapshot before: they are in use, however old.
    opened, _ = bucket
    opened().publish("ledger", lambda folder: (_fill(folder), "f")[1])
    copy = opened().local("ledger/f/a")
    os.utime(copy, (0, 0))
    asked = time.time() - 60
    assert opened().local("ledger/f/a") == copy
    share_file(copy, tmp_path / "linked")
    assert (tmp_path / "linked").stat().st_mtime > asked
