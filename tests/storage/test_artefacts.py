"""Objects below one root while other processes write beside them."""

import threading
from pathlib import Path

from transfergate.storage import ArtefactStore


def test_keys_are_listed_while_folders_are_published_and_discarded(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    store.write_once("ledger/there.json", b"{}")
    done = threading.Event()

    def publish() -> None:
        for number in range(300):
            store.publish_folder(f"ledger/fold-{number}", _fill)
            store.replace("ledger/there.json", b"{}")
        done.set()

    writer = threading.Thread(target=publish)
    writer.start()
    listed = []
    while not done.is_set():
        listed.append(list(store.keys("ledger")))
    writer.join()
    assert len(listed) > 10
    for keys in listed:
        assert "ledger/there.json" in keys
        assert not any(".tmp-" in key for key in keys)
        assert keys == sorted(keys)
    assert len(list(store.keys("ledger"))) == 1 + 300 * 2


def test_nothing_is_listed_below_what_is_not_a_folder(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    store.write_once("a/one", b"1")
    assert list(store.keys("a")) == ["a/one"]
    assert list(store.keys("nothing")) == list(store.keys("a/one")) == []


def _fill(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "a").write_bytes(b"1")
    (folder / "sub" / "b").write_bytes(b"2")
