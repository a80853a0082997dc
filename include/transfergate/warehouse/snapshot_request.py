"""What a snapshot is asked to be, and which bars and settings that comes to."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from duckdb import DuckDBPyConnection

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams, UniverseParams, WarehouseParams
from transfergate.storage import content_hash, json_bytes
from transfergate.warehouse.batch_bars import FeatureRun
from transfergate.warehouse.feature_sql import read_feature_sql
from transfergate.warehouse.instruments import own_indices
from transfergate.warehouse.loads import moment_of

LAYOUT = "3"  # of the files and the manifest; part of the id


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


def feature_run(conn: DuckDBPyConnection, request: SnapshotRequest) -> FeatureRun:
    """The moment, SQL and indices that a request comes to."""
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


def bars_of(conn: DuckDBPyConnection, request: SnapshotRequest, run: FeatureRun) -> dict[str, int]:
    """Ticker -> about how many bars; one whose latest revisions have no close drops out later."""
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


def check_indices(run: FeatureRun, bars: dict[str, int]) -> None:
    """Refuse tickers whose instruments name an index without bars, where a feature reads it."""
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


def features_key(request: SnapshotRequest, run: FeatureRun) -> str:
    """Hash of all that decides about features beside the bars, with the views that give these."""
    views = sorted((request.sql_dir / "staging").glob("*.sql"))
    traded = sorted({*request.universe.sources, *request.universe.targets})
    settings = {
        "layout": LAYOUT,
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


def _no_bars(request: SnapshotRequest) -> SnapshotError:
    return SnapshotError(
        f"source {request.source!r}: the warehouse has no bars as of {request.as_of or 'now'}, "
        f"expected at least one: ingest this source first"
    )
