"""Publish a source's features as an immutable snapshot that the training plane reads.

The id is a hash of the bars' content, the SQL text and the settings of the features: the same
bars and SQL give the same id, in whatever order and batches they came.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from transfergate.calendars import exchange_sessions
from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams, UniverseParams
from transfergate.storage import ArtefactStore, content_hash, json_bytes
from transfergate.storage.bars import INSTRUMENT_SCHEMA
from transfergate.warehouse.features import (
    KEYS,
    FeatureSql,
    check_no_look_ahead,
    compute_features,
    prepare_market,
    read_bars,
    read_feature_sql,
)

log = logging.getLogger(__name__)

BATCH_TICKERS = 250
ORDINAL_ORIGIN = date(1990, 1, 1)
_LAYOUT = "1"  # of the files and the manifest; part of the id
_BAR_COLUMNS = ("open", "high", "low", "close", "volume", "raw_close")


@dataclass(frozen=True)
class SnapshotRequest:
    """What is to be published, and from which bars.

    Attributes:
        source: Source whose bars are read.
        features: Names, z-window and clip.
        universe: Names the index; sources and targets that are index series are published too.
        calendar: Exchange calendar of the sessions.
        sql_dir: Folder of the SQL.
        as_of: Bars and actions known at that moment; None for all.
    """

    source: str
    features: FeatureParams
    universe: UniverseParams
    calendar: str
    sql_dir: Path
    as_of: datetime | None = None


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
    """Compute, check and publish a snapshot; do nothing if it is there already.

    Nothing is visible before all checks have passed: files are written aside, the manifest
    last, and the folder is renamed at once.

    Args:
        conn: An open warehouse with ``bar_revisions`` and ``bars_adjusted``; only read.
        store: Where ``snapshots/<id>/`` is published.
        request: What to publish.

    Raises:
        SnapshotError: If there are no bars, a feature file does not run or looks ahead, or a
            check of ``sql/checks/snapshot_*.sql`` finds a row; nothing is published.
        SettingsError: If the calendar does not exist.
    """
    sql = read_feature_sql(request.sql_dir, request.features.names)
    read_bars(conn, sql, request.source, request.as_of)
    tickers, index_tickers = _roles(conn, request)
    index = request.universe.index
    if index not in (*tickers, *index_tickers):
        index = None
    manifest: dict[str, Any] = {
        "source": request.source,
        "tickers": tickers,
        "index": index_tickers,
        "index_return": index or "equal_weight",
        "z_window": request.features.z_window,
        "z_clip": request.features.z_clip,
        "calendar": request.calendar,
        "instruments": _instruments(conn, tickers),
        "sql_hash": sql.hash,
        "bars_hash": _bars_hash(conn, [*tickers, *index_tickers]),
    }
    manifest["id"] = content_hash(_LAYOUT, json_bytes(manifest))
    key = f"snapshots/{manifest['id']}"
    if store.exists(f"{key}/manifest.json"):
        log.info("snapshot %s exists, made of the same bars and SQL: nothing to do", manifest["id"])
        return PublishedSnapshot(store.read_json(f"{key}/manifest.json"), created=False)
    check_no_look_ahead(conn, sql, request.features, index, index_tickers)
    prepare_market(conn, sql, index, index_tickers)
    manifest |= _sessions(conn, request.calendar)
    # What a rebuild needs and the content does not depend on: not part of the id.
    manifest |= {"feature_names": list(sql.names), "as_of": _moment(conn)}
    created = store.publish_folder(key, lambda folder: _write(conn, folder, manifest, sql, request))
    log.info("snapshot %s: %d tickers, created %s", manifest["id"], len(tickers), created)
    return PublishedSnapshot(store.read_json(f"{key}/manifest.json"), created)


def _moment(conn: DuckDBPyConnection) -> str:
    ((microseconds,),) = conn.execute("select epoch_us(getvariable('as_of'))").fetchall()
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds")


def _roles(conn: DuckDBPyConnection, request: SnapshotRequest) -> tuple[list[str], list[str]]:
    # Index series are the declared one and all that carry a caret, unless somebody trades them.
    present = [
        str(row[0])
        for row in conn.execute(
            "select distinct ticker from int_adjusted_bars order by ticker"
        ).fetchall()
    ]
    traded = {*request.universe.sources, *request.universe.targets}
    index = [
        ticker
        for ticker in present
        if ticker not in traded and (ticker == request.universe.index or ticker.startswith("^"))
    ]
    tickers = [ticker for ticker in present if ticker not in index]
    if not tickers:
        raise SnapshotError(
            f"source {request.source!r}: all {len(index)} tickers are index series "
            f"({', '.join(index[:5])}), expected at least one to trade: name it in "
            f"sources.{request.source}.universe.sources or targets"
        )
    return tickers, index


def _instruments(conn: DuckDBPyConnection, tickers: Sequence[str]) -> dict[str, dict[str, Any]]:
    # What was said of the published tickers as of the snapshot's moment; nulls are left out.
    table = conn.sql(
        f"select {', '.join(INSTRUMENT_SCHEMA.names)} "
        "from instruments_as_of(getvariable('source_name'), getvariable('as_of')) "
        "where list_contains($tickers, ticker) order by ticker",
        params={"tickers": list(tickers)},
    ).to_arrow_table()
    return {
        row.pop("ticker"): {name: value for name, value in row.items() if value is not None}
        for row in table.to_pylist()
    }


def _bars_hash(conn: DuckDBPyConnection, tickers: Sequence[str]) -> str:
    digest = hashlib.sha256()
    query = (
        f"select ticker, session_date, {', '.join(_BAR_COLUMNS)} from int_adjusted_bars "
        f"where list_contains($tickers, ticker) order by ticker, session_date"
    )
    for batch in _batches(sorted(tickers)):
        bars = conn.sql(query, params={"tickers": batch}).to_arrow_table()
        for ticker, table in _by_ticker(bars):
            days = np.ascontiguousarray(table["session_date"].cast(pa.int32()), dtype="<i4")
            parts = [ticker.encode(), days.tobytes()]
            for name in _BAR_COLUMNS:
                column = table[name].cast(pa.float64()).to_numpy()
                parts.append(np.ascontiguousarray(column, dtype="<f8").tobytes())
            digest.update(content_hash(*parts, length=64).encode())
    return digest.hexdigest()[:16]


def _batches(tickers: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(tickers), BATCH_TICKERS):
        yield list(tickers[start : start + BATCH_TICKERS])


def _sessions(conn: DuckDBPyConnection, calendar: str) -> dict[str, Any]:
    traded = {
        row[0]
        for row in conn.execute(
            "select distinct session_date from int_adjusted_bars "
            "where ticker not in (select ticker from feature_index_tickers)"
        ).fetchall()
    }
    first, last = min(traded), max(traded)
    day = timedelta(days=1)
    ordinal = len(exchange_sessions(calendar, ORDINAL_ORIGIN, first - day)) - len(
        exchange_sessions(calendar, first, ORDINAL_ORIGIN - day)
    )
    sessions = sorted(traded | set(exchange_sessions(calendar, first, last)))
    return {
        "sessions": [session.isoformat() for session in sessions],
        "first_session_ordinal": ordinal,
    }


def _write(
    conn: DuckDBPyConnection,
    folder: Path,
    manifest: dict[str, Any],
    sql: FeatureSql,
    request: SnapshotRequest,
) -> None:
    rows: dict[str, int] = {}
    files: dict[str, dict[str, str]] = {}
    columns: tuple[str, ...] = ()
    for batch in _batches(manifest["tickers"]):
        columns = compute_features(conn, sql, request.features, batch)
        _run_checks(conn, request.sql_dir)
        selected = ", ".join(f'"{name}"' for name in (*KEYS, "open", "close", *columns))
        table = conn.sql(f"select {selected} from snapshot_rows order by ticker, session_date")
        for ticker, part in _by_ticker(table.to_arrow_table()):
            name = f"{quote(ticker, safe='')}.parquet"
            pq.write_table(part.drop_columns(["ticker"]), folder / name, compression="zstd")
            rows[ticker] = part.num_rows
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            files[ticker] = {"name": name, "sha256": digest}
    manifest |= {
        "features": list(columns),
        "rows": rows,
        "files": files,
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("duckdb", "pyarrow", "exchange_calendars")
        },
    }
    (folder / "manifest.json").write_bytes(json_bytes(manifest))


def _run_checks(conn: DuckDBPyConnection, sql_dir: Path) -> None:
    for path in sorted((sql_dir / "checks").glob("snapshot_*.sql")):
        text = path.read_text()
        found = conn.sql(text).limit(3).fetchall()
        if found:
            rule = text.splitlines()[0].removeprefix("--").strip()
            raise SnapshotError(
                f"checks/{path.name}: {rule} Expected no row, found for example "
                f"{'; '.join(str(row) for row in found)}. Nothing was published: correct the "
                f"feature whose file was changed last"
            )


def _by_ticker(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    # The table is sorted by ticker: each ticker is one slice.
    runs = pc.run_end_encode(table["ticker"].combine_chunks()) if table.num_rows else None
    start = 0
    for ticker, end in zip(runs.values, runs.run_ends, strict=True) if runs else ():
        yield ticker.as_py(), table.slice(start, end.as_py() - start).combine_chunks()
        start = end.as_py()
