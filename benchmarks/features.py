"""Features at 30, 500 and 5,000 tickers, with peers: ``python -m benchmarks.features --json``.

Bars of random walks over 5,040 sessions. Ours: from the warehouse to a published snapshot, with two
threads (``WarehouseParams``), and once more after one new session of all tickers. Peers: pandas
(groupby, the machine to itself) and polars (extra ``bench``; two threads; null where it is not
installed), from a Parquet file of the same bars to one of the same scores. Each runs in a process
of its own, once what the step before wrote is on the disk; peak memory is that process's. Scores
are compared before any figure is shown.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._feature_peers import COLUMNS, pandas_features, polars_features
from transfergate.settings import PROJECT_ROOT, FeatureParams, UniverseParams, WarehouseParams
from transfergate.storage import ArtefactStore, open_snapshot

SESSIONS = 5_040
SQL_DIR = PROJECT_ROOT / "sql"
# Plain exponential averages differ from TA-Lib's seeds for this long.
FADED_BARS = 600
TOLERANCE = 2e-3
PORTION = 100


def portion(first: int, tickers: int, sessions: int) -> pa.Table:
    """Bars of some tickers, the same in every process."""
    rng = np.random.default_rng(first)
    days = np.busday_offset("2004-03-01", np.arange(sessions), roll="forward")
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.015, (tickers, sessions)), 1))
    opened = close * np.exp(rng.normal(0, 0.005, (tickers, sessions)))
    names = np.array([f"T{first + number:05d}" for number in range(tickers)])
    return pa.table(
        {
            "ticker": pa.array(np.repeat(names, sessions)),
            "session_date": pa.array(np.tile(days, tickers), pa.date32()),
            "open": opened.ravel(),
            "high": (np.maximum(opened, close) * 1.004).ravel(),
            "low": (np.minimum(opened, close) * 0.996).ravel(),
            "close": close.ravel(),
            "volume": rng.integers(1_000, 99_999, tickers * sessions).astype(float),
        }
    )


def write_bars(folder: Path, tickers: int) -> None:
    """``bars.parquet`` for the peers, and a warehouse that lacks the last session."""
    from transfergate.warehouse import open_warehouse

    writer = None
    with open_warehouse(folder / "warehouse.duckdb", SQL_DIR, 1.0) as conn:
        for first in range(0, tickers, PORTION):
            bars = portion(first, min(PORTION, tickers - first), SESSIONS + 1)
            last = pa.scalar(bars["session_date"][SESSIONS].as_py(), pa.date32())
            before = pc.not_equal(bars["session_date"], last)
            writer = writer or pq.ParquetWriter(
                folder / "bars.parquet", bars.schema, compression="zstd"
            )
            writer.write_table(bars.filter(before))
            conn.register("incoming", bars)
            for day, rule in ((1, "<"), (2, "=")):
                table = "bar_revisions" if day == 1 else "later_bars"
                conn.execute(f"create table if not exists {table} as from bar_revisions limit 0")
                conn.execute(
                    f"insert into {table} select 'files', ticker, session_date, open, high, low, "
                    f"close, volume, null, 'USD', 'b{day}', timestamptz '2024-01-0{day} 00:00+00' "
                    f"from incoming where session_date {rule} date '{last.as_py()}'"
                )
            conn.unregister("incoming")
    if writer:
        writer.close()


def ours(folder: Path) -> str:
    """Publish; the SQL's own checks run once for each SQL, so they are a figure of their own."""
    from transfergate.warehouse import open_warehouse
    from transfergate.warehouse.publish import SnapshotRequest, publish_snapshot

    request = SnapshotRequest(
        source="files",
        features=FeatureParams(),
        universe=UniverseParams(),
        calendar="XNYS",
        sql_dir=SQL_DIR,
        resources=WarehouseParams(threads=2),
    )
    with open_warehouse(folder / "warehouse.duckdb", SQL_DIR, 1.0) as conn:
        return publish_snapshot(conn, ArtefactStore(folder), request).id


def check(folder: Path) -> None:
    """What the first publish of other SQL costs more."""
    from transfergate.warehouse import open_warehouse
    from transfergate.warehouse.batch_bars import FeatureRun
    from transfergate.warehouse.feature_checks import check_features
    from transfergate.warehouse.feature_sql import read_feature_sql

    params = FeatureParams()
    sql, moment = read_feature_sql(SQL_DIR, params.names), datetime(2024, 1, 1, tzinfo=UTC)
    with open_warehouse(folder / "warehouse.duckdb", SQL_DIR, 1.0) as conn:
        (names,) = zip(
            *conn.execute("select distinct ticker from bar_revisions").fetchall(), strict=True
        )
        check_features(conn, FeatureRun(sql, params, "files", moment), names)


def add_session(folder: Path) -> None:
    from transfergate.warehouse import open_warehouse

    with open_warehouse(folder / "warehouse.duckdb", SQL_DIR, 1.0) as conn:
        conn.execute("insert into bar_revisions from later_bars")


STEPS: dict[str, Any] = {
    "bars": lambda folder, tickers: write_bars(folder, tickers),
    "ours": lambda folder, _: ours(folder),
    "checks": lambda folder, _: check(folder),
    "session": lambda folder, _: add_session(folder),
    "pandas": lambda folder, _: pandas_features(folder / "bars.parquet", folder / "pandas.parquet"),
    "polars": lambda folder, _: polars_features(folder / "bars.parquet", folder / "polars.parquet"),
}


IMPORTS = {"pandas": ("pandas",), "polars": ("polars",)}
OUR_IMPORTS = ("duckdb", "exchange_calendars", "transfergate.warehouse.publish")


def run_step(name: str, folder: Path, tickers: int) -> dict[str, Any]:
    """One step in this process: ``wall_s, cpu_s, peak_gb, result``; imports come before."""
    for module in IMPORTS.get(name, OUR_IMPORTS):
        importlib.import_module(module)
    wall, cpu = time.monotonic(), time.process_time()
    result = STEPS[name](folder, tickers)
    return {
        "wall_s": time.monotonic() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "result": result,
    }


def in_process(name: str, folder: Path, tickers: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.features", "--step", name]
    command += ["--folder", str(folder), "--sizes", str(tickers)]
    environment = os.environ | {"POLARS_MAX_THREADS": "2"}
    os.sync()  # what the step before left unwritten is not this one's to wait for
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def largest_difference(folder: Path, snapshot_id: str, peer: str) -> float:
    """Between our scores and a peer's, where its averages' first values have faded."""
    snapshot = open_snapshot(ArtefactStore(folder), snapshot_id)
    worst = 0.0
    for ticker in snapshot.manifest["tickers"][:: max(1, len(snapshot.manifest["tickers"]) // 10)]:
        table = pq.read_table(folder / f"{peer}.parquet", filters=[("ticker", "=", ticker)])
        left = snapshot.table(ticker)
        for name in COLUMNS:
            difference = left[name].to_numpy()[FADED_BARS:] - table[name].to_numpy()[FADED_BARS:]
            worst = max(worst, float(np.abs(difference).max()))
    return worst


def figure(ours: float, peer: float | None, peer_name: str) -> dict[str, Any]:
    ratio = None if peer is None else peer / ours
    return {"ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio}


def size_figures(tickers: int, peers: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        in_process("bars", folder, tickers)
        checks = in_process("checks", folder, tickers)
        full = in_process("ours", folder, tickers)
        found = {name: in_process(name, folder, tickers) for name in peers}
        for name in peers:
            if (worst := largest_difference(folder, full["result"], name)) > TOLERANCE:
                raise SystemExit(f"scores differ from those of {name} by {worst}: no figures")
        in_process("session", folder, tickers)
        session = in_process("ours", folder, tickers)
    figures = {f"checks_of_new_sql_{tickers}_cpu_s": figure(checks["cpu_s"], None, "none")}
    names = {"pandas": "pandas groupby", "polars": "polars, 2 threads"}
    for measure in ("wall_s", "cpu_s", "peak_gb"):
        for name in peers or [""]:
            peer = found[name][measure] if name else None
            label = f"features_{tickers}x{SESSIONS}_{measure}" + (f"_{name}" if name else "")
            figures[label] = figure(full[measure], peer, names.get(name, "none"))
    for measure in ("wall_s", "cpu_s"):
        label = f"new_session_{tickers}_tickers_{measure}"
        figures[f"{label}_own_full"] = figure(
            session[measure], full[measure], "our own full rebuild"
        )
        if "pandas" in found:
            peer = found["pandas"][measure]
            figures[f"{label}_pandas"] = figure(session[measure], peer, "pandas, everything again")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--sizes", type=int, nargs="*", default=[30, 500], help="tickers")
    parser.add_argument("--large", action="store_true", help="5,000 tickers too; pandas: 17 GB")
    parser.add_argument("--peers", nargs="*", default=["pandas", "polars"])
    parser.add_argument("--step", choices=sorted(STEPS), help="run one step in this process")
    parser.add_argument("--folder", type=Path, help="of --step")
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run_step(options.step, options.folder, options.sizes[0])))
        return
    peers = [name for name in options.peers if importlib.util.find_spec(name)]
    figures: dict[str, Any] = {}
    for tickers in [*options.sizes, *([5_000] if options.large else [])]:
        figures |= size_figures(tickers, peers)
    if not options.json:
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, two threads")
        for name, row in figures.items():
            print(name, row)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
