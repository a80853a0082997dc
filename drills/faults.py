"""Faults: full disk, clocks, halves and repetitions, rivals, kills, stores and sources away.

Each drill says what it did, compares the state before and after, and repeats the step undisturbed.

    python -m drills.faults --json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from drills import outage, refusals, training
from drills.disturbed import disturbed
from drills.findings import Finding
from drills.forks import run_in_fork
from drills.homes import Operation, copy_of, prepare, settings_of
from drills.remains import State, state
from transfergate.settings import Settings

SIZES = (0, 2_000, 20_000, 300_000, 900_000)
"""Largest file in bytes that the full disk still takes, so that it is full at different moments."""


def full_disk(root: Path, operations: list[Operation]) -> list[Finding]:
    """No file may grow beyond a size while a step runs: a full disk that needs no rights."""
    return [
        _full_disk(root, operation, size)
        for operation in operations
        if operation.name != "compaction"
        for size in SIZES
    ]


def _full_disk(root: Path, operation: Operation, size: int) -> Finding:
    seen = disturbed(root, operation, lambda settings: _fails(operation, settings, size))
    whole = not seen.during["torn"] and _in(seen.during["facts"], seen.before, seen.undisturbed)
    same = _facts(seen.after) == _facts(seen.undisturbed)
    return Finding(
        f"disk full at {size} bytes a file in {operation.name}",
        f"{seen.said or 'it had room'}; {'nothing torn' if whole else 'TORN'}; repeated with room: "
        f"{'as undisturbed' if same else 'OTHER THAN undisturbed'}",
        whole and same,
    )


def _fails(operation: Operation, settings: Settings, size: int) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        operation.run(settings)
    except BaseException as error:
        return f"{type(error).__name__} raised"
    return ""


def _in(found: object, before: State, after: State) -> bool:
    return found in (before["facts"], after["facts"])


def _facts(found: State) -> tuple[Any, ...]:
    return found["facts"], found["snapshots"], found["torn"]


def clock_goes_back(root: Path, operations: list[Operation]) -> list[Finding]:
    """The clock goes back a day between two loads: the later load is still known later."""
    ingest = next(one for one in operations if one.name == "ingest")
    with copy_of(root, ingest.home) as settings:
        (old,) = state(settings)["snapshots"]
        with mock.patch("transfergate.steps.ingest.datetime", _Yesterday):
            ingest.run(settings)
        from transfergate import steps
        from transfergate.registry.records import Records
        from transfergate.storage import open_store

        batches = Records(open_store(settings)).batches()
        moments = [batch.known_at for batch in batches]
        identical = steps.rebuild_snapshot(settings, old)["identical"]
        new = steps.build_features(settings, "files")["snapshot_id"]
    ordered = len(set(moments)) == len(moments) == 2 and batches[-1].new_revisions > 0
    return [
        Finding(
            "clock goes back a day between two loads",
            f"known {'in their order' if ordered else 'OUT OF order'}; the snapshot before "
            f"rebuilds {'byte for byte' if identical else 'OTHERWISE'}; the next one has the bars",
            ordered and identical and new != old,
        )
    ]


class _Yesterday(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) - timedelta(days=1)


def poor_deliveries(root: Path, operations: list[Operation]) -> list[Finding]:
    """Half a file, yesterday's file again, a file of nothing but its header."""
    features = next(one for one in operations if one.name == "features")
    ingest = next(one for one in operations if one.name == "ingest")
    file = root / "vendor" / "DR0.csv"
    content = file.read_bytes()
    spoilt: dict[str, bytes] = {
        "yesterday's delivery again": content,
        "half a file": content[: len(content) // 2],
        "a file that ends within a line": content[: content.rindex(b",")],
        "a file of its header alone": content[: content.index(b"\n") + 1],
        "an empty file": b"",
    }
    found = []
    for fault, bytes_ in spoilt.items():
        with copy_of(root, features.home) as settings:
            before = state(settings)
            file.write_bytes(bytes_)
            try:
                said = _said(ingest, settings)
            finally:
                file.write_bytes(content)
            during = state(settings)
            ingest.run(settings)
            after = state(settings)
        kept = _bars(during) == _bars(before) and not during["torn"]
        well = kept and _bars(after) == _bars(before)
        found.append(Finding(fault, f"{said}; bars on file {'stay' if kept else 'CHANGED'}", well))
    return found


def _said(operation: Operation, settings: Settings) -> str:
    from transfergate.errors import TransferGateError

    try:
        loaded: Any = operation.run(settings)
    except TransferGateError as error:
        return f"refused: {type(error).__name__}"
    if loaded["already_loaded"]:
        return "loaded before: nothing new"
    return f"{loaded['new_revisions']} new, {loaded['quarantined']} set apart"


def _bars(found: State) -> str:
    return str(found["facts"]["bar_revisions"])


def lost_alias(root: Path, operations: list[Operation]) -> list[Finding]:
    """SIGKILL after the champion's row is written, before MLflow's alias moves."""
    settings = settings_of(root, root / "alias")
    registry = _registry(settings)
    for version in ("one", "two"):
        _candidate(registry, version)
    registry.promote("AAA", "one", "ada", datetime.now(UTC), "first")

    def promote() -> None:
        killed = _registry(settings)
        with mock.patch.object(killed, "_derive_alias", _die):
            killed.promote("AAA", "two", "ada", datetime.now(UTC), "second")

    code = _exit_code(promote)
    again = _registry(settings)
    serves, alias = again.champion("AAA"), again.tracking.aliased("transfergate.AAA")
    behind = (serves and serves.version, alias) == ("two", "one")
    rows = len(again.history("AAA"))
    again.repair_aliases()
    again.repair_aliases()
    repaired = again.tracking.aliased("transfergate.AAA") == "two"
    once = len(again.history("AAA")) == rows == 2
    return [
        Finding(
            "SIGKILL between the registry's row and MLflow's alias",
            f"exit {code}; {'the new champion serves, the alias is behind' if behind else 'TORN'}; "
            f"repaired: {repaired}; rows in the history: {rows}",
            code == -signal.SIGKILL and behind and repaired and once,
        )
    ]


def _registry(settings: Settings) -> Any:
    from transfergate.registry import Registry
    from transfergate.storage import open_store

    return Registry(open_store(settings), settings.tracking_uri)


def _candidate(registry: Any, version: str) -> None:
    def write(folder: Path) -> None:
        (folder / "bundle.json").write_text(json.dumps({"ticker": "AAA", "version": version}))

    registry.store.publish_folder(f"candidates/AAA/{version}", write)


def _die(ticker: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit_code(function: Callable[[], None]) -> int | None:
    child = multiprocessing.get_context("fork").Process(target=function)
    child.start()
    child.join(120)
    return child.exitcode


def rivals(root: Path, operations: list[Operation]) -> list[Finding]:
    """Two processes load the same batch, publish the same features, at once."""
    return [_rivals(root, one) for one in operations if one.name != "compaction"]


def _rivals(root: Path, operation: Operation) -> Finding:
    with copy_of(root, operation.home) as settings:
        run_in_fork(lambda: bool(operation.run(settings)))
        alone = run_in_fork(lambda: state(settings))
    with copy_of(root, operation.home) as settings:
        codes = _both(lambda: operation.run(settings))
        together = run_in_fork(lambda: state(settings))
    well = codes == [0, 0] and _facts(together) == _facts(alone)
    text = "both end, as one alone" if well else f"exits {codes}, OTHER THAN one alone"
    return Finding(f"two processes at once in {operation.name}", text, well)


def _both(function: Callable[[], object]) -> list[int | None]:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=function) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(300)
    return [child.exitcode for child in children]


DRILLS: dict[str, Callable[[Path, list[Operation]], list[Finding]]] = {
    "disk": full_disk,
    "clock": clock_goes_back,
    "deliveries": poor_deliveries,
    "alias": lost_alias,
    "rivals": rivals,
    "training": training.killed_training,
    "retrains": training.rival_retrains,
    "store": refusals.store_refuses,
    "hang": outage.source_hangs,
    "silence": outage.store_hangs,
}


def drill(names: tuple[str, ...] = tuple(DRILLS)) -> list[Finding]:
    """Do some drills, in a folder that is gone afterwards."""
    with _prepared() as (root, operations):
        return [finding for name in names for finding in DRILLS[name](root, operations)]


@contextmanager
def _prepared() -> Iterator[tuple[Path, list[Operation]]]:
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield root, prepare(root)
    finally:
        shutil.rmtree(root)


def main() -> int:
    """Do the drills and print their table; 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", choices=tuple(DRILLS), action="append")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    findings = []
    with _prepared() as (root, operations):
        for name in options.only or DRILLS:
            for one in DRILLS[name](root, operations):
                findings.append(one)
                told = f"{'ok ' if one.well else 'BAD'} {one.fault}: {one.found}\n"
                (sys.stderr if options.json else sys.stdout).write(told)
                sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps({"findings": [asdict(one) for one in findings]}) + "\n")
    return 0 if all(one.well for one in findings) else 1


if __name__ == "__main__":
    raise SystemExit(main())
