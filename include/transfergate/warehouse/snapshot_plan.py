"""How much of a snapshot is to be computed: what changed since the nearest one that was noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from duckdb import DuckDBPyConnection

from transfergate.errors import SnapshotError
from transfergate.storage import ArtefactStore
from transfergate.warehouse.batch_bars import FeatureRun, TickerPlan
from transfergate.warehouse.batches import KeptBatch, cut_batches
from transfergate.warehouse.changes import changed_tickers
from transfergate.warehouse.instruments import own_indices
from transfergate.warehouse.loads import moment_of
from transfergate.warehouse.market import changed_market, whole_market
from transfergate.warehouse.snapshot_files import BaseSnapshot
from transfergate.warehouse.snapshot_manifest import traded_sessions
from transfergate.warehouse.snapshot_request import SnapshotRequest


@dataclass(frozen=True)
class SnapshotPlan:
    """What goes into a snapshot, and how much of it is to be computed.

    Attributes:
        run: Bars and SQL.
        market: Sums behind the market's returns.
        batches: What is to be computed; the other tickers are those of the base.
        tickers: All tickers, sorted; one that turns out to have no rows is left out.
        recent_from: First day whose rows are recent.
        base: The snapshot to start from; None to compute all.
    """

    run: FeatureRun
    market: pa.Table
    batches: Sequence[KeptBatch]
    tickers: Sequence[str]
    recent_from: date
    base: BaseSnapshot | None = None

    @cached_property
    def plans(self) -> Mapping[str, TickerPlan]:
        """Ticker -> what is to be computed of it."""
        return {plan.ticker: plan for batch in self.batches for plan in batch.plans}


def noted_base(
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


def plan_snapshot(
    conn: DuckDBPyConnection,
    request: SnapshotRequest,
    run: FeatureRun,
    bars: dict[str, int],
    noted: tuple[BaseSnapshot, datetime] | None,
    kept: Path,
) -> SnapshotPlan:
    """Say what a snapshot consists of, and which of its rows are those of a base.

    Args:
        conn: The warehouse.
        request: What is asked for.
        run: Its bars and SQL.
        bars: Ticker -> about how many bars it has.
        noted: The base and its moment, from ``noted_base``; None to compute all.
        kept: Where adjusted bars are kept until their features are computed.

    Raises:
        SnapshotError: If no bar has a close.
    """
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
