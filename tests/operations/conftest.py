"""An installation with two champions, later snapshots, and what nobody needs any more."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chain.conftest import market_bars, publish_features, small_settings
from transfergate import steps
from transfergate.registry.lineage import Ancestry, ancestry
from transfergate.registry.records import Records
from transfergate.settings import Settings
from transfergate.storage import ArtefactStore, json_bytes, open_store

Grown = tuple[Settings, dict[str, Any]]


def _grow(home: Path) -> dict[str, Any]:
    made: dict[str, Any] = {"snapshots": [], "foundations": [], "candidates": [], "evaluations": []}
    for n_sessions in (400, 420):
        settings = small_settings(home, market_bars(n_sessions))
        _, features = publish_features(settings)
        foundation = steps.pretrain_foundation(settings, features["snapshot_id"])
        (result,) = steps.finetune_group(settings, foundation, ["TGT"])
        judged = steps.judge(settings, foundation, [result])
        steps.promote(settings, "TGT", result["candidate"], "ada", "by hand", force=True)
        for kind, name in zip(
            made,
            (features["snapshot_id"], foundation, result["candidate"], judged["evaluation_id"]),
            strict=True,
        ):
            made[kind].append(name)
        if n_sessions == 400:
            _plant_orphans(open_store(settings), made)
    settings = small_settings(home, market_bars(430))
    made["snapshots"].append(publish_features(settings)[1]["snapshot_id"])
    return made


def _plant_orphans(store: ArtefactStore, made: dict[str, Any]) -> None:
    """A chain that no champion came from: snapshot, foundation, candidate, run, evaluation."""
    snapshot, foundation, candidate, evaluation = (made[kind][0] for kind in made)

    def copy(key: str, name: str, file: str, **changes: Any) -> None:
        other = f"{key.rpartition('/')[0]}/{name}"
        content = {inner.removeprefix(f"{key}/"): store.read(inner) for inner in store.keys(key)}
        content[file] = json_bytes({**json.loads(content[file]), **changes})
        store.publish_folder(
            other, lambda folder: [(folder / n).write_bytes(c) for n, c in content.items()]
        )

    copy(f"snapshots/{snapshot}", "0rphan", "manifest.json", id="0rphan",
         as_of="2000-01-01T00:00:00+00:00")  # fmt: skip
    copy(f"foundations/{foundation}", "0rphan", "foundation.json", version="0rphan",
         snapshot_id="0rphan")  # fmt: skip
    copy(f"candidates/TGT/{candidate}", "0rphan", "bundle.json", version="0rphan",
         foundation_version="0rphan", snapshot_id="0rphan")  # fmt: skip
    store.write_once("finetunes/recipe/TGT/run-0rphan.json", json_bytes({"candidate": "0rphan"}))
    store.replace("backtests/0rphan.json", b"{}")
    verdicts = store.read_json(f"evaluations/{evaluation}/verdicts.json")
    verdicts["evaluation_id"] = "0rphan"
    verdicts["tickers"]["TGT"]["candidate"] = "0rphan"
    store.write_once("evaluations/0rphan/verdicts.json", json_bytes(verdicts))
    store.replace("evaluations/0rphan/report.html", b"<p>")
    store.replace("work/foundation-0rphan", b"progress")
    store.publish_folder(
        "landing/files/0rphan", lambda folder: (folder / "bars.parquet").write_bytes(b"bars")
    )


@pytest.fixture(scope="session")
def grown_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, whichever processes share the tests."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if base.name.startswith("popen-") else base
    home, note = base / "grown", base / "grown.json"
    with (base / "grown.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(json.dumps(_grow(home)))
    return home


@pytest.fixture
def grown(grown_once: Path, tmp_path: Path) -> Grown:
    """A copy to spoil, and the names of what was made, oldest first."""
    home = tmp_path / "home"
    shutil.copytree(grown_once, home)
    return small_settings(home, market_bars(430)), json.loads(
        grown_once.with_suffix(".json").read_text()
    )


@pytest.fixture(params=["folder", "bucket"])
def anywhere(grown: Grown, request: pytest.FixtureRequest) -> Grown:
    """The same, with the artefacts in a folder and in an object store."""
    settings, made = grown
    if request.param == "folder":
        return grown
    bucket = f"b{settings.home.parent.name.replace('_', '-')[:40].lower().strip('-')}"
    request.getfixturevalue("put_object")(bucket)
    moved = settings.model_copy(update={"artefacts": f"s3://{bucket}/root"})
    copy_artefacts(open_store(settings), open_store(moved))
    shutil.rmtree(settings.artefact_root)
    return moved, made


def copy_artefacts(source: ArtefactStore, target: ArtefactStore) -> None:
    """All objects; published folders as such."""
    from transfergate.steps.backups import published_folder

    folders: dict[str, list[str]] = {}
    for key in source.keys(""):
        folder = published_folder(key)
        if folder is None:
            target.replace(key, source.read(key))
        else:
            folders.setdefault(folder, []).append(key)
    for folder, keys in folders.items():

        def write(to: Path, folder: str = folder, keys: list[str] = keys) -> None:
            for key in keys:
                path = to / key.removeprefix(f"{folder}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source.read(key))

        target.publish_folder(folder, write)


def explained(settings: Settings, version: str) -> Ancestry:
    found = ancestry(Records(open_store(settings)), "TGT", version)
    assert found is not None
    return found


@pytest.fixture
def tell() -> Callable[[Settings], dict[str, Any]]:
    """What a person can ask an installation, but for where it lies."""

    def told(settings: Settings) -> dict[str, Any]:
        status = steps.status(settings)
        return {
            "status": {name: value for name, value in status.items() if name != "home"},
            "decision": steps.decide(settings, "TGT"),
            "made from": [
                repr(explained(settings, row["version"]))
                for row in status["tickers"]["TGT"]["history"]
                if row["version"]
            ],
        }

    return told


NOW = datetime.now(UTC)
