"""Kill ingest, feature publish and compaction at random moments; count what is torn or lost.

Each trial works on a copy of a prepared home, is killed with SIGKILL somewhere between its start
and its end, and is then looked at: every fact table of the warehouse must hold what it held before
or what it holds after, all of it; every snapshot that can be seen must be whole. Then the same
operation runs again, undisturbed, and must end in the very same state as if nothing had happened.

    python -m drills.data_plane --kills 210 --json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drills.forks import kill_in_fork, run_in_fork
from transfergate.calendars import exchange_sessions
from transfergate.settings import FeatureParams, Settings, SourceParams

State = dict[str, Any]
Operation = Callable[[Settings], object]
_MARGIN = 1.1  # kill moments reach a little beyond the usual end


@dataclass
class Tally:
    """What the kills of one operation led to; everything below ``killed`` but the last is bad.

    Attributes:
        trials: How often it was started.
        killed: How often it was still running when SIGKILL came.
        as_before: Kills after which everything was as before.
        as_after: Kills after which everything was as after a complete run.
        between: Kills that left a state which is neither.
        rows_lost: Received rows that no table held after the repeated run.
        partial_snapshots: Snapshots that could be seen and were not whole.
        not_recovered: Kills after which the repeated run did not end as an undisturbed one.
        seconds: Wall time of an undisturbed run.
    """

    trials: int = 0
    killed: int = 0
    as_before: int = 0
    as_after: int = 0
    between: int = 0
    rows_lost: int = 0
    partial_snapshots: int = 0
    not_recovered: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing was torn or lost, and every kill counted hit a running process."""
        bad = self.between + self.rows_lost + self.partial_snapshots + self.not_recovered
        return bad == 0 and self.as_before + self.as_after == self.trials


def drill(kills: int, seed: int = 1) -> dict[str, Tally]:
    """Kill each operation ``kills / 3`` times, at moments spread over its duration.

    Args:
        kills: In all; at least 3.
        seed: Of the moments.
    """
    _import_everything()
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        root = Path(folder)
        homes = _prepare(root)
        return {
            name: _drill_one(root, home, operation, kills // 3, moments)
            for name, (home, operation) in homes.items()
        }


def _drill_one(
    root: Path, home: Path, operation: Operation, kills: int, moments: random.Random
) -> Tally:
    tally = Tally()
    with _copy_of(root, home) as settings:
        before = run_in_fork(partial(_state, settings))
        started = time.monotonic()
        run_in_fork(partial(_quietly, operation, settings))
        tally.seconds = round(time.monotonic() - started, 3)
        after = run_in_fork(partial(_state, settings))
    for number in range(kills):
        share = (number + moments.random()) / kills
        with _copy_of(root, home) as settings:
            moment = share * tally.seconds * _MARGIN
            tally.trials += 1
            tally.killed += kill_in_fork(partial(operation, settings), moment)
            _look(tally, run_in_fork(partial(_state, settings)), before, after)
            run_in_fork(partial(_quietly, operation, settings))
            again = run_in_fork(partial(_state, settings))
            tally.not_recovered += again != after
            tally.rows_lost += max(0, after["rows"] - again["rows"])
    return tally


def _quietly(operation: Operation, settings: Settings) -> None:
    operation(settings)


def _look(tally: Tally, found: State, before: State, after: State) -> None:
    tally.partial_snapshots += len(found["torn"])
    if found["facts"] == before["facts"] and found["snapshots"] == before["snapshots"]:
        tally.as_before += 1
    elif found["facts"] == after["facts"] and found["snapshots"] == after["snapshots"]:
        tally.as_after += 1
    else:
        tally.between += 1


def _state(settings: Settings) -> State:
    """The facts in the warehouse and the snapshots in the store, without moments in time."""
    from transfergate.warehouse import open_warehouse

    facts, rows = {}, 0
    with open_warehouse(settings.warehouse_path, settings.sql_dir, 30.0) as conn:
        tables = conn.execute(
            "select table_name from duckdb_columns() where column_name = 'batch_id' "
            "and not internal and database_name = current_database() order by 1"
        ).fetchall()
        for (table,) in tables:
            names = [row[0] for row in conn.execute(f"describe {table}").fetchall()]
            kept = ", ".join(f'"{name}"' for name in names if name != "known_at")
            content = conn.execute(f"select {kept} from {table}").fetchall()
            lines = sorted(repr(row) for row in content)
            facts[table] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
            if table == "batches":
                conserved = "select count(*) from batches where received_rows != loaded_rows + "
                (bad,) = conn.execute(conserved + "quarantined_rows").fetchall()[0]
                facts["not conserved"] = str(bad)
            rows += len(content)
    whole, torn = _snapshots(settings.artefact_root / "snapshots")
    return {"facts": facts, "rows": rows, "snapshots": whole, "torn": torn}


def _snapshots(folder: Path) -> tuple[list[str], list[str]]:
    whole, torn = [], []
    for path in sorted(folder.glob("*")):
        if path.name.startswith("."):
            continue
        manifest = path / "manifest.json"
        files = _files(json.loads(manifest.read_bytes())) if manifest.exists() else None
        fits = files is not None and all(
            (path / name).exists() and hashlib.sha256((path / name).read_bytes()).hexdigest() == sha
            for name, sha in files.items()
        )
        (whole if fits else torn).append(path.name)
    return whole, torn


def _files(manifest: dict[str, Any]) -> dict[str, str]:
    listed = [*manifest["files"].values(), manifest["recent"]]
    return {file["name"]: file["sha256"] for file in listed} | manifest["restart"]


@contextmanager
def _copy_of(root: Path, home: Path) -> Iterator[Settings]:
    copy = root / "trial"
    shutil.copytree(home, copy)
    try:
        yield _settings(root, copy)
    finally:
        shutil.rmtree(copy)


def _settings(root: Path, home: Path) -> Settings:
    return Settings(
        home=home,
        sources={"files": SourceParams(kind="files", root=str(root / "vendor"))},
        features=FeatureParams(names=("rsi_14", "momentum"), z_window=20),
        warehouse_wait_seconds=10.0,
    )


def _prepare(root: Path) -> dict[str, tuple[Path, Operation]]:
    """Homes in the state before each operation: first day's bars, second day's, and ballast."""
    first, loaded, grown = root / "first", root / "loaded", root / "grown"
    _write_bars(root / "vendor", days=250)
    run_in_fork(partial(_quietly, _ingest, _settings(root, first)))
    run_in_fork(partial(_quietly, _build, _settings(root, first)))
    _write_bars(root / "vendor", days=260)
    shutil.copytree(first, loaded)
    run_in_fork(partial(_quietly, _ingest, _settings(root, loaded)))
    shutil.copytree(loaded, grown)
    run_in_fork(partial(_quietly, _grow, _settings(root, grown)))
    return {
        "ingest": (first, _ingest),
        "features": (loaded, _build),
        "compaction": (grown, _compact),
    }


def _write_bars(folder: Path, days: int) -> None:
    # Later deliveries correct a bar, repeat the old ones, and bring a few that are bad.
    folder.mkdir(exist_ok=True)
    sessions = pd.to_datetime(exchange_sessions("XNYS", date(2021, 1, 4), date(2022, 3, 1))[:days])
    for number in range(6):
        noise = np.random.default_rng(number).normal(0, 0.01, 400)[: len(sessions)]
        close = 50 * np.exp(np.cumsum(noise))
        frame = pd.DataFrame({"symbol": f"DR{number}", "date": sessions, "close": close.round(6)})
        frame["open"] = frame["close"].shift(1, fill_value=50.0)
        frame["high"] = frame[["open", "close"]].max(axis=1) * 1.001
        frame["low"] = frame[["open", "close"]].min(axis=1) * 0.999
        frame["volume"] = 1000.0 + number
        frame.loc[100, "high"] = frame.loc[100, "low"] / 2
        if days > 250:
            frame.loc[50, "volume"] = 5.0
        frame.to_csv(folder / f"DR{number}.csv", index=False)


def _ingest(settings: Settings) -> object:
    from transfergate.steps import chain

    return chain.ingest_all(settings, source="files")


def _build(settings: Settings) -> object:
    from transfergate import steps

    return steps.build_features(settings, "files")


def _compact(settings: Settings) -> object:
    from transfergate import steps

    return steps.compact(settings)


def _grow(settings: Settings) -> None:
    from transfergate.warehouse import open_warehouse

    with open_warehouse(settings.warehouse_path, settings.sql_dir, 10.0) as conn:
        conn.execute("create table ballast as select random() as x from range(3_000_000)")
        conn.execute("create table kept_ballast as select random() as x from range(3_000_000)")
    with open_warehouse(settings.warehouse_path, settings.sql_dir, 10.0) as conn:
        conn.execute("drop table ballast")


def _import_everything() -> None:
    # Imported once, here: a forked trial starts with its work, so that kills hit the work.

    import transfergate.steps.chain
    import transfergate.steps.features
    import transfergate.steps.ingest
    import transfergate.steps.validating
    import transfergate.warehouse.publish  # noqa: F401


def main() -> int:
    """Run the drill and print its table; 1 if anything was torn or lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=210, help="in all, over three operations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    tallies = drill(options.kills, options.seed)
    if options.json:
        sys.stdout.write(json.dumps({name: asdict(t) for name, t in tallies.items()}) + "\n")
    else:
        table = pd.DataFrame({name: asdict(t) for name, t in tallies.items()}, dtype=object)
        sys.stdout.write(f"{table.to_string()}\n")
    return 0 if all(tally.clean for tally in tallies.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
