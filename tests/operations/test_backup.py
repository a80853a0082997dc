"""A backup put back elsewhere is the installation as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chain.conftest import market_bars, publish_features, small_settings
from transfergate import steps
from transfergate.errors import BackupError
from transfergate.registry import Registry
from transfergate.storage import ArtefactStore, open_store

pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere(anywhere, tmp_path: Path, request: pytest.FixtureRequest):
    """An installation without anything, of the same kind."""
    settings, _ = anywhere
    root = None
    if settings.artefacts:
        root = settings.artefacts.replace("/root", "/restored")
    (tmp_path / "new").mkdir()
    return small_settings(tmp_path / "new", market_bars(430), artefacts=root)


def test_backed_up_changed_and_restored_all_is_as_it_was(anywhere, elsewhere, tell, tmp_path):
    settings, made = anywhere
    before, kept = tell(settings), _contents(open_store(settings))
    told = steps.backup(settings, tmp_path / "backup")
    assert told["warehouse"]
    assert told["tracking"]
    steps.rollback(settings, "TGT", "ada", "after the backup")
    publish_features(small_settings(settings.home, market_bars(440), artefacts=settings.artefacts))
    assert tell(settings) != before
    assert steps.restore(elsewhere, tmp_path / "backup") == told
    assert tell(elsewhere) == before
    assert _contents(open_store(elsewhere)) == kept
    registry = Registry(open_store(elsewhere), elsewhere.tracking_uri)
    assert registry.tracking.aliased("transfergate.TGT") == made["candidates"][1]
    for snapshot in (made["snapshots"][0], made["snapshots"][2]):
        assert steps.rebuild_snapshot(elsewhere, snapshot)["identical"]
    assert steps.rollback(elsewhere, "TGT", "ada", "x")["version"] == made["candidates"][0]
    load, features = publish_features(elsewhere)
    assert load["already_loaded"]
    assert features["snapshot_id"] == made["snapshots"][2]
    with pytest.raises(BackupError, match="not empty"):
        steps.restore(elsewhere, tmp_path / "backup")


def _contents(store: ArtefactStore) -> dict[str, bytes]:
    return {
        key: store.read(key) for key in store.keys("") if not key.startswith(("work/", "uses/"))
    }


def test_a_restore_killed_halfway_serves_nobody_and_goes_on(grown, tmp_path, monkeypatch, tell):
    settings, _ = grown
    steps.backup(settings, tmp_path / "backup")
    (tmp_path / "new").mkdir()
    target = small_settings(tmp_path / "new", market_bars(430))
    replace, left = ArtefactStore.replace, [30]

    def die(self, key, content):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        replace(self, key, content)

    monkeypatch.setattr(ArtefactStore, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        steps.restore(target, tmp_path / "backup")
    monkeypatch.undo()
    assert steps.status(target)["tickers"].get("TGT", {}).get("champion") is None
    steps.restore(target, tmp_path / "backup")
    assert tell(target) == tell(settings)


def test_a_backup_that_fails_leaves_no_folder(grown, tmp_path, monkeypatch):
    settings, _ = grown
    monkeypatch.setattr(
        "transfergate.warehouse.copying.shutil.copyfile",
        lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(OSError, match="No space left"):
        steps.backup(settings, tmp_path / "kept" / "backup")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("damage", ["content", "missing", "note", "outside", "format"])
def test_a_damaged_backup_restores_nothing(grown, tmp_path, damage):
    settings, _ = grown
    steps.backup(settings, folder := tmp_path / "backup")
    note = json.loads((folder / "backup.json").read_bytes())
    champion = folder / next(name for name in note["files"] if "/champions/" in name)
    if damage == "content":
        champion.write_bytes(champion.read_bytes().replace(b"ada", b"eve"))
    elif damage == "missing":
        champion.unlink()
    elif damage == "note":
        (folder / "backup.json").unlink()
    elif damage == "outside":
        note["files"]["artefacts/../../x"] = {"sha256": "0", "bytes": 1}
    else:
        note["format"] = 99
    if damage in ("outside", "format"):
        (folder / "backup.json").write_text(json.dumps(note))
    target = small_settings(tmp_path / "new" / "home", market_bars(430))
    with pytest.raises(BackupError):
        steps.restore(target, folder)
    assert not target.warehouse_path.exists()
    assert list(open_store(target).keys("")) == []


def test_an_existing_folder_is_not_overwritten(grown, tmp_path):
    with pytest.raises(BackupError, match="exists"):
        steps.backup(grown[0], tmp_path)
