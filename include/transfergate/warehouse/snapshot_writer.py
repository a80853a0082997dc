"""Compute what changed since an earlier snapshot, and write the files of the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from transfergate.errors import SnapshotError
from transfergate.progress import Progress
from transfergate.storage import content_hash, share_file
from transfergate.warehouse.batch_bars import feature_worker
from transfergate.warehouse.batches import KeptBatch, in_parallel
from transfergate.warehouse.features import (
    TickerFeatures,
    compute_features,
    set_market,
)
from transfergate.warehouse.snapshot_files import (
    MARKET,
    POINTS,
    RECENT,
    BaseSnapshot,
    Rows,
    write_parquet,
    write_settled,
)
from transfergate.warehouse.snapshot_plan import SnapshotPlan

_SETTLED = ("name", "sha256", "rows", "content", "first_session")


@dataclass(frozen=True)
class _Written:
    """What one ticker adds to the manifest and to the files of all tickers."""

    ticker: str
    entry: dict[str, Any]
    recent: Rows
    points: pa.Table


def write_snapshot(
    conn: DuckDBPyConnection,
    plan: SnapshotPlan,
    folder: Path,
    sql_dir: Path,
    threads: int,
) -> dict[str, Any]:
    """Compute the features and write all files but the manifest, of which it returns a part.

    Args:
        conn: The warehouse; each batch opens a connection of its own.
        plan: What to compute.
        folder: Where to write.
        sql_dir: Its ``checks/snapshot_*.sql`` are run on each batch.
        threads: Batches at a time.

    Returns:
        ``features, tickers, rows, files, recent_from, recent, restart``.

    Raises:
        SnapshotError: If a relation does not run, or a check finds a row.
    """
    progress = Progress(f"features of {plan.run.source}", len(plan.plans), "tickers")
    checks = sorted((sql_dir / "checks").glob("snapshot_*.sql"))

    def computed(batch: KeptBatch) -> tuple[tuple[str, ...], list[_Written]]:
        with feature_worker(conn, plan.run) as worker:
            set_market(worker, plan.run, plan.market)
            columns, features = compute_features(worker, plan.run, batch.plans, batch.file)
            _run_checks(worker, checks, columns, features)
        found = {item.ticker: item for item in features}
        written = [
            _write_ticker(folder, plan, columns, ticker.ticker, found.get(ticker.ticker))
            for ticker in batch.plans
        ]
        progress.add(len(batch.plans))
        return columns, written

    results = in_parallel(computed, plan.batches, threads)
    columns = (
        results[0][0] if results else tuple(plan.base.manifest["features"] if plan.base else ())
    )
    kept = [ticker for ticker in plan.tickers if ticker not in plan.plans]
    written = [item for _, items in results for item in items]
    written += [_write_ticker(folder, plan, columns, ticker, None) for ticker in kept]
    return _write_shared(folder, plan, columns, written, threads)


def _write_ticker(
    folder: Path,
    plan: SnapshotPlan,
    columns: Sequence[str],
    ticker: str,
    found: TickerFeatures | None,
) -> _Written:
    base, part = plan.base, plan.plans.get(ticker)
    kept_rows = part.first_row if part else None
    new = Rows(found.sessions, found.prices, found.scores) if found else Rows.none(len(columns))
    points = base.points(ticker, kept_rows) if base else None
    if found:
        now = found.restart_points
        now = now.slice(int(np.searchsorted(now["bar_number"].to_numpy(), kept_rows or 0)))
        if points is None or not len(points):
            points = now
        elif len(now):
            points = pa.concat_tables([points, now])
    settled = base.manifest["files"].get(ticker) if base else None
    if base and settled and base.recent_from == plan.recent_from:
        kept_recent = None if kept_rows is None else kept_rows - settled["rows"]
        if kept_recent is None or (kept_recent >= 0 and kept_rows):
            share_file(base.path(settled["name"]), folder / settled["name"])
            entry = {key: settled[key] for key in _SETTLED}
            recent = base.recent(ticker).part(0, kept_recent)
            return _Written(ticker, entry, recent.followed_by(new), points)
    rows = base.rows(ticker).part(0, kept_rows).followed_by(new) if base and settled else new
    cut = rows.before(plan.recent_from)
    entry = write_settled(folder, ticker, rows.part(0, cut), columns)
    if len(rows):
        entry["first_session"] = str(rows.sessions[0])
    # A copy: a view would hold on to the whole history of every ticker until the end.
    return _Written(ticker, entry, Rows.joined([rows.part(cut)]), points)


def _write_shared(
    folder: Path,
    plan: SnapshotPlan,
    columns: Sequence[str],
    written: Sequence[_Written],
    threads: int,
) -> dict[str, Any]:
    present = sorted(
        (item for item in written if item.entry["rows"] or len(item.recent)),
        key=lambda item: item.ticker,
    )
    for item in written:
        if not (item.entry["rows"] or len(item.recent)):
            (folder / item.entry["name"]).unlink()
    files: dict[str, dict[str, Any]] = {}
    start = 0
    for item in present:
        place = {"recent_start": start, "recent_rows": len(item.recent)}
        files[item.ticker] = item.entry | place
        start += len(item.recent)
    tables, content = _shared_tables(plan, columns, present)
    hashed = in_parallel(
        lambda name: write_parquet(folder / name, tables[name]), list(tables), threads
    )
    digests = dict(zip(tables, hashed, strict=True))
    return {
        "features": list(columns),
        "tickers": list(files),
        "rows": {name: entry["rows"] + entry["recent_rows"] for name, entry in files.items()},
        "files": files,
        "recent_from": plan.recent_from.isoformat(),
        "recent": {"name": RECENT, "sha256": digests[RECENT], "content": content},
        "restart": {name: digests[name] for name in (MARKET, POINTS)},
    }


def _shared_tables(
    plan: SnapshotPlan, columns: Sequence[str], present: Sequence[_Written]
) -> tuple[dict[str, pa.Table], str]:
    """File -> its rows of all tickers, and the hash of the recent ones."""
    recent = Rows.joined([item.recent for item in present])
    names = _repeated({item.ticker: len(item.recent) for item in present})
    hashes = [part for item in present for part in (item.ticker, item.recent.content)]
    points = BaseSnapshot.no_points()
    if pointed := {item.ticker: item.points for item in present if len(item.points)}:
        owners = _repeated({ticker: len(rows) for ticker, rows in pointed.items()})
        points = pa.concat_tables(list(pointed.values())).add_column(0, "ticker", owners)
    tables = {
        RECENT: recent.table(columns).add_column(0, "ticker", names),
        POINTS: points,
        MARKET: plan.market,
    }
    return tables, content_hash(*hashes, length=32)


def _repeated(counts: Mapping[str, int]) -> pa.Array:
    numbers = np.repeat(np.arange(len(counts)), list(counts.values()))
    return pa.array(list(counts), pa.string()).take(pa.array(numbers))


def _run_checks(
    conn: DuckDBPyConnection,
    checks: Sequence[Path],
    columns: Sequence[str],
    features: Sequence[TickerFeatures],
) -> None:
    if not features:
        return
    rows = Rows.joined([Rows(item.sessions, item.prices, item.scores) for item in features])
    names = _repeated({item.ticker: len(item.sessions) for item in features})
    table = rows.table(columns).add_column(0, "ticker", names)
    conn.register("snapshot_rows", table)
    run_checks(conn, checks)
    conn.unregister("snapshot_rows")


def run_checks(conn: DuckDBPyConnection, checks: Sequence[Path]) -> None:
    """Run relational checks of ``snapshot_rows``; each selects the rows that break its rule.

    Raises:
        SnapshotError: If one selects a row; its first line says the rule.
    """
    for path in checks:
        text = path.read_text(encoding="utf-8")
        found = conn.sql(text).limit(3).fetchall()
        if found:
            rule = text.splitlines()[0].removeprefix("--").strip()
            raise SnapshotError(
                f"checks/{path.name}: {rule} Expected no row, found for example "
                f"{'; '.join(str(row) for row in found)}. Nothing was published: correct the "
                f"feature whose file was changed last"
            )
