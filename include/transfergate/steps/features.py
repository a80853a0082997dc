"""Step of the warehouse plane: compute the features of a source and publish their snapshot."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from typing import Any

from transfergate.settings import Settings
from transfergate.steps.described import last_described
from transfergate.storage import open_store
from transfergate.warehouse.compaction import compact_warehouse
from transfergate.warehouse.connection import open_warehouse
from transfergate.warehouse.publish import SnapshotRequest, publish_snapshot

log = logging.getLogger(__name__)


def build_features(settings: Settings, source: str) -> dict[str, Any]:
    """Publish the snapshot of one source's bars; find it again when nothing has changed.

    Args:
        settings: Settings.
        source: Whose bars; sources never mix.

    Returns:
        ``snapshot_id, source, rows, tickers`` (how many), ``first_session, last_session, created``
        (False where the same bars and SQL were published before) and ``seconds``.

    Raises:
        WarehouseBusy: If another process holds the warehouse for too long.
        SnapshotError: If there are no bars, or a feature or its checks fail.
    """
    started = time.monotonic()
    log.info("features of %s: start", source)
    params = last_described(settings, source)
    request = SnapshotRequest(
        source=source,
        features=settings.features,
        universe=params.universe,
        calendar=params.calendar,
        sql_dir=settings.sql_dir,
        resources=settings.warehouse,
    )
    store = open_store(settings)
    with open_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    ) as conn:
        published = publish_snapshot(conn, store, request)
    manifest = published.manifest
    result = {
        "snapshot_id": published.id,
        "source": source,
        "rows": sum(manifest["rows"].values()),
        "tickers": len(manifest["tickers"]),
        "first_session": manifest["sessions"][0],
        "last_session": manifest["sessions"][-1],
        "created": published.created,
        "seconds": round(time.monotonic() - started, 3),
    }
    log.info("features of %s: snapshot %s, %d rows", source, published.id, result["rows"])
    return result


def compact(settings: Settings) -> dict[str, Any]:
    """Rewrite the warehouse file without the space of deleted rows.

    Returns:
        ``bytes_before, bytes_after``.

    Raises:
        WarehouseBusy: If another process holds the warehouse for too long.
    """
    done = compact_warehouse(
        settings.warehouse_path, settings.sql_dir, settings.warehouse_wait_seconds
    )
    return asdict(done)
