"""Publish a source's features as an immutable snapshot that the training plane reads.

The id is a hash of the published values, the SQL text and the settings of the features: the same
bars and SQL give the same id, in whatever order and batches they came. What a snapshot published
before has in common with the new one is taken over, to the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams, UniverseParams, WarehouseParams
from transfergate.storage import ArtefactStore, content_hash, json_bytes
from transfergate.warehouse.batch_bars import FeatureRun
from transfergate.warehouse.batches import KeptBatch, cut_batches
from transfergate.warehouse.changes import changed_tickers
from transfergate.warehouse.connection import limit_memory
from transfergate.warehouse.feature_checks import check_features
from transfergate.warehouse.feature_sql import read_feature_sql
from transfergate.warehouse.instruments import own_indices
from transfergate.warehouse.loads import moment_of
from transfergate.warehouse.market import changed_market, whole_market
from transfergate.warehouse.snapshot_files import BaseSnapshot
from transfergate.warehouse.snapshot_manifest import (
    identity,
    instruments_of,
    snapshot_sessions,
    traded_sessions,
)
from transfergate.warehouse.snapshot_writer import SnapshotPlan, write_snapshot

log = logging.getLogger(__name__)

_LAYOUT = "3"  # of the files and the manifest; part of the id


@dataclass(frozen=True)
class SnapshotRequest:
    """What is to be published, and from which bars.

    Attributes:
        source: Source whose bars are read.
        features: Names, z-window and clip.
        universe: Names the index; sources and targets that are index series are published too.
        calendar: Exchange calendar of the sessions.
        sql_dir: Folder of the SQL.
        as_of: Bars known at that moment; None for all.
        resources: Threads, memory and size of batches.
    """

    source: str
    features: FeatureParams
    universe: UniverseParams
    calendar: str
    sql_dir: Path
    as_of: datetime | None = None
    resources: WarehouseParams = field(default_factory=WarehouseParams)

    def series(self, run: FeatureRun) -> Callable[[str], bool]:
        """What tells index series: those that a ticker is related to, and all with a caret.

        One that somebody trades is none.
        """
        traded = {*self.universe.sources, *self.universe.targets}
        named = {*run.index_tickers} - traded
        return lambda name: name in named or (name.startswith("^") and name not in traded)


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
    # Batches run side by side, each in its own thread: threads within a query would only wait.
    conn.execute("set threads = 1")
    limit_memory(conn, request.resources.memory_limit_mb)
    run = _run(conn, request)
    bars = _bars(conn, request, run)
    _check_indices(run, bars)
    key = _features_key(request, run)
    noted = _noted(conn, store, request, key, run.as_of)
    if noted and noted[1] == run.as_of:
        log.info("snapshot %s stands for these bars: nothing to do", noted[0].manifest["id"])
        return PublishedSnapshot(noted[0].manifest, created=False)
    is_index = request.series(run)
    check_features(conn, run, [ticker for ticker in bars if not is_index(ticker)])

    def write(folder: Path) -> str:
        kept = folder / "kept"
        kept.mkdir()
        plan = _plan(conn, request, run, bars, noted, kept)
        log.info("source %s: %d of %d tickers to compute", run.source, len(plan.plans), len(bars))
        manifest = write_snapshot(conn, plan, folder, request.sql_dir, request.resources.threads)
        shutil.rmtree(kept)
        manifest |= _settings(conn, request, run, bars, manifest["tickers"])
        manifest |= snapshot_sessions(plan.market, request.calendar, plan.base)
        manifest["id"] = content_hash(_LAYOUT, json_bytes(identity(manifest)))
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


def _run(conn: DuckDBPyConnection, request: SnapshotRequest) -> FeatureRun:
    # The last load that is seen, so that the same loads give the same moment.
    ((microseconds,),) = conn.execute(
        "select epoch_us(last_known_at($source, $moment::timestamptz))",
        {
            "source": request.source,
            "moment": request.as_of.isoformat() if request.as_of else "infinity",
        },
    ).fetchall()
    if microseconds is None:
        raise _no_bars(request)
    sql = read_feature_sql(request.sql_dir, request.features.names, request.features.extra_dir)
    as_of = moment_of(microseconds)
    related = own_indices(conn, request.source, as_of)
    return FeatureRun(sql, request.features, request.source, as_of, request.universe.index, related)


def _no_bars(request: SnapshotRequest) -> SnapshotError:
    return SnapshotError(
        f"source {request.source!r}: the warehouse has no bars as of {request.as_of or 'now'}, "
        f"expected at least one: ingest this source first"
    )


def _bars(conn: DuckDBPyConnection, request: SnapshotRequest, run: FeatureRun) -> dict[str, int]:
    # Ticker -> about how many bars; one whose latest revisions have no close drops out later.
    tickers: dict[str, int] = dict(
        conn.execute(
            "select ticker, count(*) from bar_revisions where source = $source "
            "and known_at <= $as_of::timestamptz and isfinite(close) "
            "group by ticker order by ticker",
            {"source": request.source, "as_of": run.as_of.isoformat()},
        ).fetchall()
    )
    if not tickers:
        raise _no_bars(request)
    if all(map(request.series(run), tickers)):
        raise SnapshotError(
            f"source {request.source!r}: all {len(tickers)} tickers are index series "
            f"({', '.join(list(tickers)[:5])}), expected at least one to trade: name it in "
            f"sources.{request.source}.universe.sources or targets"
        )
    return tickers


def _check_indices(run: FeatureRun, bars: dict[str, int]) -> None:
    missing = {
        ticker: index
        for ticker, index in run.own_indices.items()
        if ticker in bars and index not in bars
    }
    if missing and run.sql.relates:
        ticker, index = next(iter(missing.items()))
        raise SnapshotError(
            f"source {run.source!r}: the instruments of {len(missing)} tickers name an index that "
            f"has no bars as of {run.as_of}, expected them beside the tickers: {ticker} names "
            f"{index!r}. Nothing was published: ingest {', '.join(sorted({*missing.values()}))}, "
            f"or leave index_ticker empty there for the source's index"
        )


def _features_key(request: SnapshotRequest, run: FeatureRun) -> str:
    # All that decides about features beside the bars; the views that give the bars among it.
    views = sorted((request.sql_dir / "staging").glob("*.sql"))
    traded = sorted({*request.universe.sources, *request.universe.targets})
    settings = {
        "layout": _LAYOUT,
        "calendar": [request.calendar, importlib.metadata.version("exchange_calendars")],
        "z_window": run.params.z_window,
        "z_clip": run.params.z_clip,
        "index": run.index,
        "index_tickers": run.index_tickers,
        "traded_index": [
            name for name in traded if name.startswith("^") or name in run.index_tickers
        ],
        "warm_up": run.sql.warm_up,
    }
    return content_hash(run.sql.hash, json_bytes(settings), *(view.read_bytes() for view in views))


def _noted(
    conn: DuckDBPyConnection,
    store: ArtefactStore,
    request: SnapshotRequest,
    key: str,
    as_of: datetime,
) -> tuple[BaseSnapshot, datetime] | None:
    """The snapshot of the nearest moment whose files are there, and that moment."""
    rows = conn.execute(
        "select snapshot_id, epoch_us(as_of) from feature_publishes "
        "where source = $source and features_key = $key "
        "order by abs(epoch(as_of) - epoch($as_of::timestamptz)), snapshot_id",
        {"source": request.source, "key": key, "as_of": as_of.isoformat()},
    ).fetchall()
    for snapshot_id, moment in rows:
        path = f"snapshots/{snapshot_id}/manifest.json"
        if store.exists(path):
            return BaseSnapshot(store, store.read_json(path)), moment_of(moment)
    return None


def _plan(
    conn: DuckDBPyConnection,
    request: SnapshotRequest,
    run: FeatureRun,
    bars: dict[str, int],
    noted: tuple[BaseSnapshot, datetime] | None,
    kept: Path,
) -> SnapshotPlan:
    is_index = request.series(run)
    published = [ticker for ticker in bars if not is_index(ticker)]
    if noted is None:
        market, batches = whole_market(conn, run, request.resources, bars, is_index, kept)
        return SnapshotPlan(run, market, batches, published, _recent_from(market, run))
    base, base_as_of = noted
    changed = changed_tickers(conn, run, base_as_of)
    for ticker, _ in own_indices(conn, run.source, base_as_of).items() ^ run.own_indices.items():
        if ticker in bars:
            changed[ticker] = date.min
    needed = run.sql.warm_up + run.params.z_window
    market, moved, batches = changed_market(
        conn, run, request.resources, bars, is_index, base, base_as_of, changed, needed, kept
    )
    if not run.sql.relates:
        moved = {}
    plans = []
    for ticker in published:
        related = run.own_indices.get(ticker, run.index or "")
        days = [day for day in (changed.get(ticker), moved.get(related)) if day is not None]
        if days and (ticker in changed or base.has_rows_from(ticker, min(days))):
            plans.append(base.plan(ticker, min(days), needed))
    if plans != [plan for batch in batches for plan in batch.plans]:
        # The market's return changes more rows than the bars themselves: read further back.
        batches = [KeptBatch(batch) for batch in cut_batches(plans, bars, request.resources)]
    return SnapshotPlan(run, market, batches, published, _recent_from(market, run), base)


def _recent_from(market: pa.Table, run: FeatureRun) -> date:
    traded = traded_sessions(market)
    if not traded:
        raise SnapshotError(
            f"source {run.source!r}: no bar as of {run.as_of} has a close, expected at least one: "
            f"look at its bars and its quarantine"
        )
    return date(traded[-1].year, 1, 1)


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
