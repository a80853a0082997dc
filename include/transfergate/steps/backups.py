"""Steps that copy a whole installation to a folder, and put it back into an empty one.

What names another object is copied before what it names: artefacts only grow, so that a backup
taken while runs go on holds all that it names. Put back, it is the other way round: champions
appear last.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from transfergate.errors import BackupError
from transfergate.registry import Registry
from transfergate.settings import Settings
from transfergate.storage import ArtefactStore, json_bytes, open_store, sync_path

log = logging.getLogger(__name__)

NOTE = "backup.json"
WAREHOUSE, TRACKING, ARTEFACTS = "warehouse.duckdb", "mlflow.db", "artefacts"
UNFINISHED = "restoring.json"
FORMAT = 1

ORDER = ("champions", "evaluations", "looks", "finetunes", "candidates", "ledger", "backtests",
         "foundations", "snapshots", "releases", "data_docs", "batches", "landing")  # fmt: skip
"""Dependants before what they depend on; what is not named comes first."""

LEFT_OUT = ("work", "uses", "mlflow")
"""Progress of trainings that run now, and what they say they use: of no use elsewhere."""

_FOLDERS = (
    *(re.compile(rf"({kind}/[^/]+)/") for kind in ("snapshots", "foundations")),
    *(re.compile(rf"({kind}/[^/]+/[^/]+)/") for kind in ("candidates", "landing")),
    re.compile(r"(ledger/[^/]+/[^/]+/fold-[0-9]+)/"),
)


def published_folder(key: str) -> str | None:
    """The published folder that a key lies in; None for an object by itself."""
    found = (pattern.match(key) for pattern in _FOLDERS)
    return next((match[1] for match in found if match), None)


def backup(settings: Settings, folder: Path) -> dict[str, Any]:
    """Copy warehouse, artefacts and MLflow's SQLite file to a new folder, whole or not at all.

    Runs may go on, except that the warehouse waits while its file is copied.

    Returns:
        ``{"folder", "made_at", "files", "bytes", "warehouse", "tracking"}``; the last two say
        whether these are part of it.

    Raises:
        BackupError: If the folder exists, or something was deleted while it was copied.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    if folder.exists():
        raise BackupError(f"{folder} exists: name a folder that does not, such as one of today")
    store = open_store(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = folder.parent / f".tmp-{folder.name}-{uuid.uuid4().hex[:8]}"
    half.mkdir()
    try:
        files = _copy_artefacts(store, half)
        files |= _copy_databases(settings, half)
        note = {
            "format": FORMAT,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "code_version": settings.code_version,
            "artefacts": store.location(),
            "files": files,
        }
        (half / NOTE).write_bytes(json_bytes(note))
        sync_path(half / NOTE)
        os.rename(half, folder)
        sync_path(folder.parent)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    log.info("backup of %s: %d files in %s", settings.home.resolve(), len(files), folder)
    return _told(folder, note)


def restore(settings: Settings, folder: Path) -> dict[str, Any]:
    """Put a backup into an installation that has nothing yet; champions appear last.

    Killed in between, running it again goes on. Every file is checked before anything is written.

    Returns:
        As ``backup``.

    Raises:
        BackupError: If the folder is no whole backup, or the installation is not empty.
    """
    note = _checked(folder)
    store, home = open_store(settings), settings.home.resolve()
    _refuse_unless_empty(settings, store, note)
    home.mkdir(parents=True, exist_ok=True)
    (home / UNFINISHED).write_bytes(json_bytes({"made_at": note["made_at"]}))
    for name, target in ((WAREHOUSE, settings.warehouse_path), (TRACKING, home / TRACKING)):
        if name in note["files"] and (name == WAREHOUSE or _sqlite(settings)):
            half = target.with_name(f".tmp-{target.name}")
            shutil.copyfile(folder / name, half)
            sync_path(half)
            os.replace(half, target)
    _restore_artefacts(store, folder, note["files"])
    if _sqlite(settings) is None or TRACKING in note["files"]:
        Registry(store, settings.tracking_uri).repair_aliases()
    (home / UNFINISHED).unlink()
    log.info("restored %d files of %s into %s", len(note["files"]), folder, home)
    return _told(folder, note)


def _copy_artefacts(store: ArtefactStore, half: Path) -> dict[str, dict[str, Any]]:
    # Each prefix is listed when its turn comes: what appears meanwhile is named by nothing copied.
    files: dict[str, dict[str, Any]] = {}
    others = sorted({key.split("/")[0] for key in store.keys("")} - {*ORDER, *LEFT_OUT})
    for prefix in (*others, *ORDER):
        for key in store.keys(prefix):
            try:
                content, written = store.read(key), store.modified_ns(key)
            except FileNotFoundError as error:
                raise BackupError(
                    f"{key} was deleted while it was copied, as a prune does: nothing was "
                    f"written; run the backup again"
                ) from error
            name = f"{ARTEFACTS}/{key}"
            path = half / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            sync_path(path)
            files[name] = {"sha256": sha256(content).hexdigest(), "bytes": len(content),
                           "written_ns": written}  # fmt: skip
    return files


def _copy_databases(settings: Settings, half: Path) -> dict[str, dict[str, Any]]:
    from transfergate.warehouse.copying import copy_warehouse

    made = []
    if settings.warehouse_path.exists():
        copy_warehouse(
            settings.warehouse_path,
            settings.sql_dir,
            settings.warehouse_wait_seconds,
            half / WAREHOUSE,
        )
        made.append(half / WAREHOUSE)
    tracking = _sqlite(settings)
    if tracking is not None and tracking.exists():
        with (
            closing(sqlite3.connect(tracking)) as old,
            closing(sqlite3.connect(half / TRACKING)) as new,
        ):
            old.backup(new)
        sync_path(half / TRACKING)
        made.append(half / TRACKING)
    return {path.name: {"sha256": _sha256(path), "bytes": path.stat().st_size} for path in made}


def _checked(folder: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = json.loads((folder / NOTE).read_bytes())
    except (OSError, ValueError) as error:
        raise BackupError(
            f"{folder} is no backup, expected {NOTE} in it ({error}); name a folder that "
            f"`transfergate backup` has made"
        ) from error
    if note.get("format") != FORMAT:
        raise BackupError(
            f"{folder}: backup of format {note.get('format')}, expected {FORMAT}; restore it with "
            f"the version that made it, {note.get('code_version')}"
        )
    for name, said in note["files"].items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BackupError(f"{folder}: {name!r} leaves the backup; it was tampered with")
        if not path.is_file() or _sha256(path) != said["sha256"]:
            raise BackupError(
                f"{folder}: {name} is not the file that was backed up; nothing was restored: take "
                f"another backup"
            )
    return note


def _refuse_unless_empty(settings: Settings, store: ArtefactStore, note: Mapping[str, Any]) -> None:
    unfinished = settings.home.resolve() / UNFINISHED
    if unfinished.exists():
        begun = json.loads(unfinished.read_bytes())["made_at"]
        if begun == note["made_at"]:
            log.info("going on with the restore that was begun before")
            return
        raise BackupError(
            f"{settings.home}: half restored from the backup of {begun}: restore that one again, "
            f"or empty the folder and {store.location()}"
        )
    there = [str(settings.warehouse_path)] if settings.warehouse_path.exists() else []
    there += [store.location(key) for key in store.keys("")][:3]
    if there:
        raise BackupError(
            f"{settings.home}: not empty ({', '.join(there)}), expected an installation without "
            f"anything; nothing was restored: name another with TRANSFERGATE_HOME and "
            f"TRANSFERGATE_ARTEFACTS"
        )


def _restore_artefacts(
    store: ArtefactStore, folder: Path, files: Mapping[str, Mapping[str, Any]]
) -> None:
    keys = {name.removeprefix(f"{ARTEFACTS}/"): said for name, said in files.items()
            if name.startswith(f"{ARTEFACTS}/")}  # fmt: skip
    units: dict[str, list[str]] = {}
    for key in keys:
        units.setdefault(published_folder(key) or key, []).append(key)

    def turn(unit: str) -> tuple[int, int]:
        kind = unit.split("/")[0]
        rank = ORDER.index(kind) if kind in ORDER else -1
        return -rank, max(keys[key]["written_ns"] for key in units[unit])

    in_folder = not store.location().startswith("s3://")
    for unit in sorted(units, key=turn):
        own = units[unit]
        if published_folder(own[0]) is None:
            store.replace(unit, (folder / ARTEFACTS / unit).read_bytes())
        else:
            _publish(store, unit, folder / ARTEFACTS / unit)
            if unit.startswith("snapshots/") and not in_folder:
                time.sleep(1.0)  # of two with the same sessions the later serves: whole seconds
        if in_folder:
            _date(store, ((key, keys[key]["written_ns"]) for key in own))


def _publish(store: ArtefactStore, key: str, source: Path) -> None:
    def write(target: Path) -> None:
        shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)

    store.publish_folder(key, write)


def _date(store: ArtefactStore, written: Iterable[tuple[str, int]]) -> None:
    for key, moment in written:
        os.utime(store.path(key), ns=(moment, moment))


def _sqlite(settings: Settings) -> Path | None:
    uri = settings.tracking_uri
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _sha256(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _told(folder: Path, note: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "folder": str(folder.resolve()),
        "made_at": note["made_at"],
        "files": len(note["files"]),
        "bytes": sum(said["bytes"] for said in note["files"].values()),
        "warehouse": WAREHOUSE in note["files"],
        "tracking": TRACKING in note["files"],
    }
