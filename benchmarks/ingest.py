"""What it costs to judge and load daily bars: ``python -m benchmarks.ingest --json``.

A synthetic panel of N tickers x 5,040 sessions is written as Parquet files of 100 tickers
(``--tickers-per-file``) and ingested by the public steps, each size in a process of its own: wall,
CPU, peak memory, where the CPU goes, and how much DuckDB wrote beside its file for want of memory.
Beside it, in its own process: pandas reading the same files, one after another, and putting them
together. More: ``--tickers 30,500,5000``; ``--again`` delivers the whole panel a second time with
one more session; ``--memory-limit-mb`` is DuckDB's; ``--peak`` leaves pandas out; ``--fetch-only``
plans and fetches and stops there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SESSIONS = 5040


def write_panel(folder: Path, tickers: int, sessions: int = SESSIONS, per_file: int = 100) -> None:
    """Geometric random walks from 2000-12 on, the same bars in files of any number of tickers."""
    from transfergate.calendars import exchange_sessions

    days = exchange_sessions("XNYS", date(2000, 12, 18), date(2021, 6, 30))[:sessions]
    for first in range(0, tickers, 100):
        names = [f"T{i:04d}" for i in range(first, min(first + 100, tickers))]
        # By session, so that a longer panel begins with the very bars of a shorter one.
        steps = np.random.default_rng([7, first]).standard_normal((sessions, 3, len(names)))
        volume = np.random.default_rng([8, first]).integers(10**5, 10**7, (sessions, len(names)))
        close = 50 * np.exp(np.cumsum(0.01 * steps[:, 0].T, axis=1))
        opened = close * np.exp(0.003 * steps[:, 1].T)
        spread = np.exp(0.004 * np.abs(steps[:, 2].T))
        part = pa.table(
            {
                "ticker": np.repeat(names, sessions),
                "session_date": pa.array(list(days) * len(names), pa.date32()),
                "open": opened.ravel().round(4),
                "high": (np.maximum(opened, close) * spread).ravel().round(4) + 1e-4,
                "low": (np.minimum(opened, close) / spread).ravel().round(4) - 1e-4,
                "close": close.ravel().round(4),
                "volume": volume.T.ravel().astype(float),
            }
        )
        for k in range(0, len(names), per_file):
            own = part.slice(k * sessions, per_file * sessions)
            pq.write_table(own, folder / f"panel_{first + k:05d}.parquet", compression="zstd")


@contextmanager
def timed(spent: dict[str, float], owner: Any, name: str, label: str) -> Iterator[None]:
    """Add the CPU seconds inside one function to ``spent`` while the block runs."""
    inner: Callable[..., Any] = getattr(owner, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        begin = time.process_time()
        try:
            return inner(*args, **kwargs)
        finally:
            spent[label] += time.process_time() - begin

    setattr(owner, name, wrapper)
    try:
        yield
    finally:
        setattr(owner, name, inner)


def measured(work: Callable[[dict[str, float]], Any]) -> dict[str, Any]:
    """Wall, CPU and peak memory of this process for one piece of work."""
    spent: dict[str, float] = defaultdict(float)
    wall, cpu = time.perf_counter(), time.process_time()
    rows = work(spent)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "rows": rows,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_gib": peak,
        "spent_s": dict(spent),
    }


def read_with_pandas(panel: Path) -> dict[str, Any]:
    files = sorted(panel.glob("*.parquet"))
    return measured(lambda spent: len(pd.concat([pd.read_parquet(file) for file in files])))


def ingest(panel: Path, home: Path, memory_limit_mb: int, fetch_only: bool) -> dict[str, Any]:
    """Fetch, judge and load the panel by the public steps, or only fetch it."""
    from contextlib import ExitStack

    from transfergate import steps, warehouse
    from transfergate.quality import gx_run, validation
    from transfergate.settings import Settings, WarehouseParams
    from transfergate.steps import history
    from transfergate.steps import validating as step

    source = {"kind": "files", "root": str(panel), "prices": "adjusted"}
    settings = Settings(
        home=home,
        sources={"panel": source},
        warehouse=WarehouseParams(memory_limit_mb=memory_limit_mb),
    )
    parts = [
        (step, "_received", "look at all rows, read the warehouse's history"),
        (history.warehouse, "derive_checks", "relational checks in SQL"),
        (gx_run.GxRun, "validate", "Great Expectations"),
        (validation, "publish_gx_pages", "pages"),
        (gx_run.GxRun, "publish", "pages"),
        (step.quality, "write_batch_page", "pages"),
        (step.quality, "write_index", "pages"),
        (step, "_write_rows", "write accepted and quarantined rows"),
        (warehouse, "load_batch", "load"),
    ]

    def work(spent: dict[str, float]) -> int:
        with ExitStack() as stack:
            for owner, name, label in parts:
                stack.enter_context(timed(spent, owner, name, label))
            begin = time.process_time()
            plan = steps.plan_ingest(settings, source="panel")
            spent["plan: which tickers there are"] = time.process_time() - begin
            begin = time.process_time()
            landing = [steps.fetch_bars(settings, plan, b) for b in plan["ticker_batches"]]
            spent["fetch: read the panel, write landing"] = time.process_time() - begin
            if fetch_only:
                return sum(
                    pq.read_metadata(settings.artefact_root / key / "bars.parquet").num_rows
                    for key in landing
                )
            begin = time.process_time()
            batch = steps.validate_bars(settings, plan, landing)
            spent["validate"] = time.process_time() - begin
            begin = time.process_time()
            loaded = steps.load_bars(settings, plan, batch)
            spent["load_bars"] = time.process_time() - begin
        assert loaded["loaded"] == loaded["received"]
        return int(loaded["received"])

    return measured(work)


def alone(what: str, panel: Path, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one measurement in a process of its own, and watch what DuckDB writes beside its file."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--one", what, str(panel), str(home)]
    command += ["--memory-limit-mb", str(options.memory_limit_mb)]
    command += ["--fetch-only"] if options.fetch_only else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    spilled = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        while run.poll() is None:
            spilled = max(spilled, sum(map(_size, home.glob("*.duckdb.tmp/*"))))
            time.sleep(0.2)
        printed = run.stdout.read() if run.stdout else ""
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command)
    return {**json.loads(printed.splitlines()[-1]), "spilled_gib": spilled / 2**30}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def one_size(size: int, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measurements of one size: ``ingest``, perhaps ``again``, and ``pandas``."""
    with tempfile.TemporaryDirectory(prefix="transfergate-ingest-") as folder:
        panel, home = Path(folder) / "in", Path(folder) / "var"
        panel.mkdir()
        write_panel(panel, size, per_file=options.tickers_per_file)
        found = {} if options.peak else {"pandas": alone("pandas", panel, home, options)}
        found["ingest"] = alone("ours", panel, home, options)
        if options.again:
            write_panel(panel, size, SESSIONS + 1, options.tickers_per_file)
            found["again"] = alone("ours", panel, home, options)
    return found


def rows_of(size: int, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Figures of one size, under their names."""
    peer, figures = found.get("pandas", {}), {}
    for what in ("ingest", "again"):
        if what not in found:
            continue
        ours, key = found[what], f"{what}_{size}_tickers"
        for name in ("wall_s", "cpu_s", "peak_gib", "spilled_gib"):
            theirs = peer.get(name) if what == "ingest" and name != "spilled_gib" else None
            figures[f"{key}_{name}"] = {
                "ours": ours[name],
                "peer": theirs,
                "peer_name": "pandas.read_parquet of the same files" if theirs else "none",
                "ratio": theirs / ours[name] if theirs else None,
            }
        for label, seconds in ours["spent_s"].items():
            figures[f"{key}_{label}_cpu_s"] = {
                "ours": seconds, "peer": None, "peer_name": "none", "ratio": None,
            }  # fmt: skip
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--tickers", default="30,500", help="sizes, by comma")
    parser.add_argument("--peak", action="store_true", help="without pandas beside it")
    parser.add_argument("--again", action="store_true", help="deliver the panel a second time")
    parser.add_argument("--tickers-per-file", type=int, default=100, help="1 to 100")
    parser.add_argument("--fetch-only", action="store_true", help="without judging and loading")
    parser.add_argument("--memory-limit-mb", type=int, default=1000, help="of DuckDB")
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "PANEL", "HOME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, panel, home = options.one
        limits = options.memory_limit_mb, options.fetch_only
        ours = partial(ingest, Path(panel), Path(home), *limits)
        print(json.dumps(ours() if what == "ours" else read_with_pandas(Path(panel))))
        return
    figures: dict[str, Any] = {}
    for size in (int(text) for text in options.tickers.split(",")):
        found = one_size(size, options)
        figures |= rows_of(size, found)
        if not options.json:
            print(size, "tickers:", json.dumps(found), flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
