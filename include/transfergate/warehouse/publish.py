"""Publish a source's features as an immutable snapshot that the training plane reads.

The id is a hash of the published values, the SQL text and the settings of the features: the same
bars and SQL give the same id, in whatever order and batches they came. What a snapshot published
before has in common with the new one is taken over, to the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from transfergate.storage import ArtefactStore, content_hash, json_bytes
from transfergate.warehouse.batch_bars import FeatureRun
from transfergate.warehouse.connection import limit_memory
from transfergate.warehouse.feature_checks import check_features
from transfergate.warehouse.snapshot_manifest import identity, instruments_of, snapshot_sessions
from transfergate.warehouse.snapshot_plan import noted_base, plan_snapshot
from transfergate.warehouse.snapshot_request import (
    LAYOUT,
    SnapshotRequest,
    bars_of,
    check_indices,
    feature_run,
    features_key,
)
from transfergate.warehouse.snapshot_writer import write_snapshot

__all__ = ["PublishedSnapshot", "SnapshotRequest", "publish_snapshot"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedSnapshot:
    """A snapshot's manifest, and whether this call created it."""

    manifest: dict[str, Any]
    created: bool

    @property
    def id(self) -> str:
        """Hash of content, SQL text and settings."""
        return str(self.manifest["id"])


def publish_snapshot(
    conn: DuckDBPyConnection, store: ArtefactStore, request: SnapshotRequest
) -> PublishedSnapshot:
    """Compute, check and publish a snapshot; compute only what changed since an earlier one.

    Nothing is visible before all checks have passed: files are written aside, the manifest
    last, and the folder is renamed at once. Then the warehouse notes which moment it stands for.

    Args:
        conn: An open warehouse with ``bar_revisions`` and ``bars_adjusted``, in no transaction.
        store: Where ``snapshots/<id>/`` is published.
        request: What to publish.

    Raises:
        SnapshotError: If there are no bars, a feature file does not run, looks ahead or needs
            more earlier bars than it declares, or a check of ``sql/checks/snapshot_*.sql`` finds
            a row; nothing is published.
        SettingsError: If the calendar does not exist.
    """
    limit_memory(conn, request.resources.memory_limit_mb)
    conn.execute(f"set threads = {request.resources.threads}")
    run = feature_run(conn, request)
    bars = bars_of(conn, request, run)
    # Batches run side by side, each in its own thread: threads within a query would only wait.
    conn.execute("set threads = 1")
    check_indices(run, bars)
    key = features_key(request, run)
    noted = noted_base(conn, store, request, key, run.as_of)
    if noted and noted[1] == run.as_of:
        log.info("snapshot %s stands for these bars: nothing to do", noted[0].manifest["id"])
        return PublishedSnapshot(noted[0].manifest, created=False)
    is_index = request.series(run)
    check_features(conn, run, [ticker for ticker in bars if not is_index(ticker)])

    def write(folder: Path) -> str:
        kept = folder / "kept"
        kept.mkdir()
        plan = plan_snapshot(conn, request, run, bars, noted, kept)
        log.info("source %s: %d of %d tickers to compute", run.source, len(plan.plans), len(bars))
        manifest = write_snapshot(conn, plan, folder, request.sql_dir, request.resources.threads)
        shutil.rmtree(kept)
        manifest |= _settings(conn, request, run, bars, manifest["tickers"])
        manifest |= snapshot_sessions(conn, plan.market, request.calendar, plan.base)
        manifest["id"] = content_hash(LAYOUT, json_bytes(identity(manifest)))
        manifest["versions"] = {
            name: importlib.metadata.version(name)
            for name in ("duckdb", "pyarrow", "exchange_calendars")
        }
        (folder / "manifest.json").write_bytes(json_bytes(manifest))
        return str(manifest["id"])

    snapshot_id, created = store.publish_named_folder("snapshots", write)
    conn.execute(
        "insert into feature_publishes select $source, $key, $as_of::timestamptz, $id "
        "where not exists (from feature_publishes where source = $source "
        "and features_key = $key and as_of = $as_of::timestamptz and snapshot_id = $id)",
        {
            "source": request.source,
            "key": key,
            "as_of": run.as_of.isoformat(),
            "id": snapshot_id,
        },
    )
    log.info("snapshot %s: created %s", snapshot_id, created)
    return PublishedSnapshot(store.read_json(f"snapshots/{snapshot_id}/manifest.json"), created)


def _settings(
    conn: DuckDBPyConnection,
    request: SnapshotRequest,
    run: FeatureRun,
    bars: dict[str, int],
    tickers: Sequence[str],
) -> dict[str, Any]:
    return {
        "source": request.source,
        "index": list(filter(request.series(run), bars)),
        "index_return": run.index if run.index in bars else "equal_weight",
        "z_window": run.params.z_window,
        "z_clip": run.params.z_clip,
        "calendar": request.calendar,
        "instruments": instruments_of(conn, run, tickers),
        "sql_hash": run.sql.hash,
        "feature_names": list(run.sql.names),
        "as_of": run.as_of.isoformat(timespec="microseconds"),
    }
