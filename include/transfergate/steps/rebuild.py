"""Step that computes an old snapshot again, from what the warehouse knew when it was published."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams, Settings, UniverseParams
from transfergate.storage import ArtefactStore, Snapshot, open_snapshot, open_store
from transfergate.warehouse.connection import open_warehouse
from transfergate.warehouse.feature_sql import read_feature_sql
from transfergate.warehouse.publish import SnapshotRequest, publish_snapshot

log = logging.getLogger(__name__)


def rebuild_snapshot(
    settings: Settings, snapshot_id: str, into: Path | None = None
) -> dict[str, Any]:
    """Rebuild a published snapshot as of its moment and compare it byte for byte.

    Bars and actions come from the warehouse as of the manifest's ``as_of``; names, z-window, clip,
    calendar and index from the manifest; the SQL is that of today, whose hash must be the same.

    Args:
        settings: Settings; those of features and universe are not read.
        snapshot_id: A published snapshot; it is not touched.
        into: Artefact root that gets the rebuilt snapshot; None to keep nothing.

    Returns:
        ``snapshot_id, as_of, rebuilt_id, identical, files`` (how many were compared),
        ``differences`` (what differs, in words) and ``folder`` of the rebuilt one, or None.

    Raises:
        SnapshotError: If there is no such snapshot, it records no moment, or the SQL has changed.
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    store = open_store(settings)
    try:
        old = open_snapshot(store, snapshot_id)
    except ValueError as error:  # no name that a folder of the store could have
        raise SnapshotError(
            f"{snapshot_id!r} is no snapshot, expected an id such as {'0a1b2c3d' * 2}: {error}"
        ) from error
    request = _request(settings, old)
    if into is not None:
        _refuse_unusable(into, store)
    log.info("rebuild of snapshot %s as of %s: start", snapshot_id, old.manifest["as_of"])
    with TemporaryDirectory() as temporary:
        target = ArtefactStore(into or Path(temporary))
        with open_warehouse(
            settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
        ) as conn:
            published = publish_snapshot(conn, target, request)
        rebuilt = target.path(f"snapshots/{published.id}")
        files = len(list(rebuilt.iterdir()))
        differences = _differences(store.local(f"snapshots/{old.id}"), rebuilt, old, published.id)
    log.info("rebuild of snapshot %s: %d differences", snapshot_id, len(differences))
    return {
        "snapshot_id": snapshot_id,
        "as_of": old.manifest["as_of"],
        "rebuilt_id": published.id,
        "identical": not differences,
        "files": files,
        "differences": differences,
        "folder": str(rebuilt) if into else None,
    }


def _refuse_unusable(into: Path, store: ArtefactStore) -> None:
    if str(into.resolve()) == store.location():
        raise SnapshotError(f"{into} is the artefact root itself: name another folder")
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SnapshotError(
            f"{into}: cannot hold the rebuilt snapshot ({error.strerror}); name a folder that you "
            f"may write to"
        ) from error


def _request(settings: Settings, old: Snapshot) -> SnapshotRequest:
    manifest = old.manifest
    if "as_of" not in manifest:
        raise SnapshotError(
            f"snapshot {old.id} records no moment, expected as_of in its manifest: it was "
            f"published by an earlier version; publish the features again"
        )
    extra_dir = settings.features.extra_dir
    found = read_feature_sql(settings.sql_dir, manifest["feature_names"], extra_dir).hash
    if found != manifest["sql_hash"]:
        raise SnapshotError(
            f"snapshot {old.id} was made by SQL with hash {manifest['sql_hash']}, found {found} in "
            f"{settings.sql_dir}: check out the revision that it was made with"
        )
    index = manifest["index_return"]
    return SnapshotRequest(
        source=manifest["source"],
        features=FeatureParams(
            names=tuple(manifest["feature_names"]),
            z_window=manifest["z_window"],
            z_clip=manifest["z_clip"],
            extra_dir=extra_dir,
        ),
        # Index series among the tickers were traded ones: the universe named them.
        universe=UniverseParams(
            sources=tuple(t for t in manifest["tickers"] if t.startswith("^") or t == index),
            index=None if index == "equal_weight" else index,
        ),
        calendar=manifest["calendar"],
        sql_dir=settings.sql_dir,
        as_of=datetime.fromisoformat(manifest["as_of"]),
        resources=settings.warehouse,
    )


def _differences(before: Path, now: Path, old: Snapshot, rebuilt_id: str) -> list[str]:
    found = []
    if rebuilt_id != old.id:
        found.append(f"id: {old.id} published, {rebuilt_id} rebuilt: other bars or another SQL")
    names = sorted({path.name for folder in (before, now) for path in folder.iterdir()})
    for name in names:
        if not (before / name).exists() or not (now / name).exists():
            found.append(f"{name}: only {'rebuilt' if (now / name).exists() else 'published'}")
        elif (before / name).read_bytes() != (now / name).read_bytes():
            found.append(f"{name}: other bytes")
    return found
