"""Objects and folders below one root, on both kinds, while others write beside them."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from transfergate.errors import StorageConflict
from transfergate.storage import ArtefactStore

Open = Callable[[], ArtefactStore]


def _fill(folder: Path, text: bytes = b"1") -> None:
    (folder / "sub").mkdir()
    (folder / "a").write_bytes(text)
    (folder / "sub" / "b").write_bytes(text)


def _replace_by_half(store: ArtefactStore, key: str) -> None:
    with store.replacing(key) as file:
        file.write_bytes(b"half")
        raise OSError("disk full")


def test_an_object_is_written_once(store: ArtefactStore, open_again: Open) -> None:
    assert store.write_once("looks/1.json", b"mine")
    assert not open_again().write_once("looks/1.json", b"mine")
    with pytest.raises(StorageConflict, match=r"looks/1.json: already written with other content"):
        open_again().write_once("looks/1.json", b"yours")
    assert open_again().read("looks/1.json") == b"mine"


def test_of_racing_writers_of_one_key_exactly_one_creates_it(open_again: Open) -> None:
    def write(key: str, number: int) -> bool:
        try:
            return open_again().write_once(key, f"{number}".encode())
        except StorageConflict:
            return False

    with ThreadPoolExecutor(6) as pool:
        for row in range(8):
            key = f"champions/T/{row:06d}.json"
            created = list(pool.map(write, [key] * 6, range(6)))
            assert created.count(True) == 1
            assert open_again().read(key) == f"{created.index(True)}".encode()


def test_of_racing_publishers_of_one_folder_exactly_one_is_seen_and_whole(open_again: Open) -> None:
    together = threading.Barrier(5)

    def publish(key: str, number: int) -> bool:
        def write(folder: Path) -> None:
            together.wait()
            _fill(folder, f"{number}".encode())

        return open_again().publish_folder(key, write)

    with ThreadPoolExecutor(5) as pool:
        for fold in range(3):
            key = f"ledger/r/T/fold-{fold}"
            published = list(pool.map(publish, [key] * 5, range(5)))
            assert published.count(True) == 1
            winner = f"{published.index(True)}".encode()
            store = open_again()
            assert list(store.keys(key)) == [f"{key}/a", f"{key}/sub/b"]
            assert {store.read(name) for name in store.keys(key)} == {winner}


def test_a_published_folder_is_never_written_again(store: ArtefactStore, open_again: Open) -> None:
    assert store.publish_folder("snapshots/s", _fill)
    assert not open_again().publish_folder("snapshots/s", lambda folder: pytest.fail("called"))
    assert open_again().publish_named_folder("snapshots", lambda folder: "s") == ("s", False)
    assert open_again().read("snapshots/s/sub/b") == b"1"


def test_what_fails_while_it_is_written_leaves_nothing(
    store: ArtefactStore, open_again: Open
) -> None:
    def fails(folder: Path) -> None:
        _fill(folder)
        raise OSError("disk full")

    store.replace("latest.json", b"old")
    with pytest.raises(OSError, match="disk full"):
        store.publish_folder("snapshots/s", fails)
    with pytest.raises(OSError, match="disk full"):
        _replace_by_half(store, "latest.json")
    assert list(open_again().keys("")) == ["latest.json"]
    assert open_again().read("latest.json") == b"old"
    assert not open_again().exists("snapshots/s")


def test_objects_that_may_change_do(store: ArtefactStore, open_again: Open) -> None:
    store.replace("runs/state", b"one")
    first = open_again().local("runs/state").read_bytes()
    with store.replacing("runs/state") as file:
        file.write_bytes(b"two")
    assert (first, open_again().local("runs/state").read_bytes()) == (b"one", b"two")
    assert open_again().read("runs/state") == b"two"
    store.discard("runs/state")
    store.discard("runs/state")
    assert not open_again().exists("runs/state")
    for look in (store.read, store.local, store.modified_ns):
        with pytest.raises(FileNotFoundError):
            look("runs/state")


def test_a_published_folder_can_be_had_as_local_files(
    store: ArtefactStore, open_again: Open
) -> None:
    store.publish_folder("snapshots/s", _fill)
    other = open_again()
    assert other.local("snapshots/s/sub/b").read_bytes() == b"1"
    folder = open_again().local("snapshots/s")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        *("a", "sub", "sub/b")
    ]
    with pytest.raises(FileNotFoundError):
        open_again().local("snapshots/t")


def test_objects_and_folders_exist_once_they_are_published(
    store: ArtefactStore, open_again: Open
) -> None:
    store.publish_folder("foundations/v", _fill)
    store.write_once("champions/T/000001.json", b"{}")
    for key in ("foundations/v", "foundations", "foundations/v/a", "foundations/v/sub", "champions",
                "champions/T/000001.json"):  # fmt: skip
        assert open_again().exists(key), key
        assert store.exists(key), key
    for key in ("foundations/w", "foundations/v/c", "found", "champions/T/000002.json", "looks"):
        assert not open_again().exists(key), key
        assert not store.exists(key), key


def test_keys_are_sorted_by_their_parts_and_end_at_the_prefix(store: ArtefactStore) -> None:
    for key in ("ledger/r-2/x", "ledger/r/z", "ledger/r/A B=^+%2F.parquet", "ledgers/y"):
        store.write_once(key, b"{}")
    assert list(store.keys("ledger")) == [
        *("ledger/r/A B=^+%2F.parquet", "ledger/r/z", "ledger/r-2/x")
    ]
    assert store.read("ledger/r/A B=^+%2F.parquet") == b"{}"
    assert len(list(store.keys(""))) == 4


def test_nothing_is_listed_below_what_is_not_a_folder(store: ArtefactStore) -> None:
    store.write_once("a/one", b"1")
    store.publish_folder("b/c", _fill)
    assert list(store.keys("a")) == ["a/one"]
    assert list(store.keys("b/c/sub")) == ["b/c/sub/b"]
    assert (
        list(store.keys("nothing")) == list(store.keys("a/one")) == list(store.keys("b/c/a")) == []
    )


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd"])
def test_a_key_that_leaves_the_root_is_refused(store: ArtefactStore, key: str) -> None:
    for use in (store.read, store.exists, store.local, store.keys, store.discard, store.location):
        with pytest.raises(ValueError, match="leaves the artefact root"):
            use(key)
    with pytest.raises(ValueError, match="leaves the artefact root"):
        store.replace(key, b"")


def test_what_is_published_later_is_not_older(store: ArtefactStore, open_again: Open) -> None:
    store.publish_folder("snapshots/one", _fill)
    store.publish_folder("snapshots/two", _fill)
    store.write_once("three", b"")
    times = [
        open_again().modified_ns(key) for key in ("snapshots/one/a", "snapshots/two/a", "three")
    ]
    assert times == sorted(times)
    assert times[0] > 1_700_000_000 * 1_000_000_000


def test_keys_are_listed_while_folders_are_published_and_discarded(
    store: ArtefactStore, open_again: Open
) -> None:
    store.write_once("ledger/there.json", b"{}")
    done = threading.Event()

    def publish() -> None:
        for number in range(12):
            store.publish_folder(f"ledger/fold-{number}", _fill)
            store.replace("ledger/there.json", b"{}")
        done.set()

    writer = threading.Thread(target=publish)
    writer.start()
    listed = []
    while not done.is_set():
        listed.append(list(open_again().keys("ledger")))
    writer.join()
    assert len(listed) > 3
    for keys in listed:
        assert "ledger/there.json" in keys
        assert not any("/." in key for key in keys)
        assert keys == sorted(keys, key=lambda key: key.split("/"))
        assert len(keys) % 2 == 1  # both files of a folder or neither
    assert len(list(store.keys("ledger"))) == 1 + 12 * 2


def _publish_in_process(root: str, cache: Path | None, number: int, answers) -> None:
    def write(folder: Path) -> None:
        _fill(folder, f"{number}".encode())

    answers.put((number, ArtefactStore(root, cache).publish_folder("snapshots/s", write)))


def test_processes_that_publish_the_same_folder_agree(store: ArtefactStore, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    workers = [
        spawn.Process(
            target=_publish_in_process,
            args=(store.location(), tmp_path / f"cache-{n}", n, answers),
        )
        for n in range(3)
    ]
    for worker in workers:
        worker.start()
    said = dict(answers.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    winners = [number for number, published in said.items() if published]
    assert len(winners) == 1
    assert store.read("snapshots/s/a") == f"{winners[0]}".encode()
