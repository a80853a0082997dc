"""What it costs to judge and load daily bars: ``python -m benchmarks.ingest --json``.

A synthetic panel of N tickers x 5,040 sessions is written as Parquet files of 100 tickers and
ingested by the public steps, each size in a process of its own: wall, CPU, peak memory, and where
the CPU goes. Beside it, in its own process: pandas reading the same files, one after another, and
putting them together. More: ``--tickers 30,500,5000``; ``--peak`` leaves pandas out.
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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SESSIONS = 5040


def write_panel(folder: Path, tickers: int) -> None:
    """Geometric random walks before 2021, one file for each 100 tickers."""
    from transfergate.calendars import exchange_sessions

    days = exchange_sessions("XNYS", date(2000, 1, 1), date(2020, 12, 31))[-SESSIONS:]
    stream = np.random.default_rng(7)
    for first in range(0, tickers, 100):
        names = [f"T{i:04d}" for i in range(first, min(first + 100, tickers))]
        close = 50 * np.exp(
            np.cumsum(0.01 * stream.standard_normal((len(names), SESSIONS)), axis=1)
        )
        opened = close * np.exp(0.003 * stream.standard_normal(close.shape))
        spread = np.exp(0.004 * np.abs(stream.standard_normal(close.shape)))
        part = pa.table(
            {
                "ticker": np.repeat(names, SESSIONS),
                "session_date": pa.array(list(days) * len(names), pa.date32()),
                "open": opened.ravel().round(4),
                "high": (np.maximum(opened, close) * spread).ravel().round(4) + 1e-4,
                "low": (np.minimum(opened, close) / spread).ravel().round(4) - 1e-4,
                "close": close.ravel().round(4),
                "volume": stream.integers(10**5, 10**7, close.size).astype(float),
            }
        )
        pq.write_table(part, folder / f"panel_{first:05d}.parquet", compression="zstd")


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


def ingest(panel: Path, home: Path) -> dict[str, Any]:
    """Fetch, judge and load the panel by the public steps."""
    from contextlib import ExitStack

    from transfergate import steps, warehouse
    from transfergate.quality import gx_run, validation
    from transfergate.settings import Settings
    from transfergate.steps import history
    from transfergate.steps import validating as step

    source = {"kind": "files", "root": str(panel), "prices": "adjusted"}
    settings = Settings(home=home, sources={"panel": source})
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
            landing = [steps.fetch_bars(settings, plan, b) for b in plan["ticker_batches"]]
            spent["fetch: read the panel, write landing"] = time.process_time() - begin
            begin = time.process_time()
            batch = steps.validate_bars(settings, plan, landing)
            spent["validate"] = time.process_time() - begin
            begin = time.process_time()
            loaded = steps.load_bars(settings, plan, batch)
            spent["load_bars"] = time.process_time() - begin
        assert loaded["loaded"] == loaded["received"]
        return int(loaded["received"])

    return measured(work)


def alone(what: str, panel: Path, home: Path) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--one", what, str(panel), str(home)]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--tickers", default="30,500", help="sizes, by comma")
    parser.add_argument("--peak", action="store_true", help="without pandas beside it")
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "PANEL", "HOME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, panel, home = arguments.one
        one = ingest(Path(panel), Path(home)) if what == "ours" else read_with_pandas(Path(panel))
        print(json.dumps(one))
        return
    figures: dict[str, Any] = {}
    for size in (int(text) for text in arguments.tickers.split(",")):
        with tempfile.TemporaryDirectory(prefix="transfergate-ingest-") as folder:
            panel = Path(folder) / "in"
            panel.mkdir()
            write_panel(panel, size)
            ours = alone("ours", panel, Path(folder) / "var")
            peer = {} if arguments.peak else alone("pandas", panel, Path(folder) / "var")
        for name, unit in (("wall_s", "wall_s"), ("cpu_s", "cpu_s"), ("peak_gib", "peak_gib")):
            figures[f"ingest_{size}_tickers_{unit}"] = {
                "ours": ours[name],
                "peer": peer.get(name),
                "peer_name": "pandas.read_parquet of the same files" if peer else "none",
                "ratio": peer[name] / ours[name] if peer else None,
            }
        for label, seconds in ours["spent_s"].items():
            key = f"ingest_{size}_tickers_{label}_cpu_s"
            figures[key] = {"ours": seconds, "peer": None, "peer_name": "none", "ratio": None}
        if not arguments.json:
            print(size, "tickers:", json.dumps(ours), "pandas:", json.dumps(peer))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
