"""Homes in the state before each operation, small, with bars that a vendor corrects."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from drills.forks import run_in_fork
from drills.stages import Place
from transfergate.calendars import exchange_sessions
from transfergate.settings import FeatureParams, Settings, SourceParams

_TICKERS, FIRST_DAYS, ALL_DAYS = 4, 110, 120


@dataclass(frozen=True)
class Operation:
    """What is killed: its name, the home that it starts from, and where its stages begin."""

    name: str
    home: Path
    run: Callable[[Settings], object]
    places: tuple[Place, ...]
    then: Mapping[str, str]


def prepare(root: Path) -> list[Operation]:
    """Homes before each operation: the first delivery's bars, the second's, and ballast."""
    warm(root)
    first, loaded, grown = root / "first", root / "loaded", root / "grown"
    deliver(root / "vendor", FIRST_DAYS)
    _in_fork(_ingest, settings_of(root, first))
    _in_fork(_build, settings_of(root, first))
    deliver(root / "vendor")
    shutil.copytree(first, loaded)
    _in_fork(_ingest, settings_of(root, loaded))
    shutil.copytree(loaded, grown)
    _in_fork(_grow, settings_of(root, grown))
    return [
        Operation("ingest", first, _ingest, _ingest_places(), {"transaction": "committed"}),
        Operation(
            "features", loaded, _build, _feature_places(), {"publish the folder": "published"}
        ),
        Operation(
            "compaction", grown, _compact, _compaction_places(), {"to the disk": "rename and close"}
        ),
    ]


def warm(root: Path) -> None:
    """Do everything once in this process: a forked trial starts with its work, not with imports.

    Great Expectations alone takes seconds to import and to compile its templates.
    """
    deliver(root / "vendor", FIRST_DAYS)
    settings = settings_of(root, root / "warm")
    for operation in (_ingest, _build, _compact):
        operation(settings)
    shutil.rmtree(root / "warm")


def settings_of(root: Path, home: Path) -> Settings:
    """Settings of one home."""
    return Settings(
        home=home,
        sources={"files": SourceParams(kind="files", root=str(root / "vendor"))},
        features=FeatureParams(names=("rsi_14", "momentum"), z_window=20),
        warehouse_wait_seconds=10.0,
    )


@contextmanager
def copy_of(root: Path, home: Path) -> Iterator[Settings]:
    """A home to break."""
    copy = root / "trial"
    shutil.copytree(home, copy)
    try:
        yield settings_of(root, copy)
    finally:
        shutil.rmtree(copy)


def _in_fork(operation: Callable[[Settings], object], settings: Settings) -> None:
    def quietly() -> None:
        operation(settings)

    run_in_fork(quietly)


def deliver(folder: Path, days: int = ALL_DAYS) -> None:
    """Write a vendor's files of so many sessions, 290 at most."""
    # The second delivery corrects a bar, repeats the old ones, and brings one that is bad.
    folder.mkdir(exist_ok=True)
    sessions = pd.to_datetime(exchange_sessions("XNYS", date(2021, 1, 4), date(2022, 3, 1))[:days])
    for number in range(_TICKERS):
        noise = np.random.default_rng(number).normal(0, 0.01, 400)[: len(sessions)]
        close = 50 * np.exp(np.cumsum(noise))
        frame = pd.DataFrame({"symbol": f"DR{number}", "date": sessions, "close": close.round(6)})
        frame["open"] = frame["close"].shift(1, fill_value=50.0)
        frame["high"] = frame[["open", "close"]].max(axis=1) * 1.001
        frame["low"] = frame[["open", "close"]].min(axis=1) * 0.999
        frame["volume"] = 1000.0 + number
        if days > FIRST_DAYS:
            frame.loc[50, "volume"] = 5.0
            frame.loc[FIRST_DAYS + 2, "high"] = frame.loc[FIRST_DAYS + 2, "low"] / 2
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
        conn.execute("create table ballast as select random() as x from range(1_000_000)")
        conn.execute("create table kept_ballast as select random() as x from range(1_000_000)")
    with open_warehouse(settings.warehouse_path, settings.sql_dir, 10.0) as conn:
        conn.execute("drop table ballast")


def _ingest_places() -> tuple[Place, ...]:
    from transfergate import quality, warehouse
    from transfergate.steps import ingest, validating

    pages = ("write_batch_page", "write_index", "write_quarantine_page")
    return (
        (ingest, "plan_ingest", "plan"),
        (ingest, "fetch_bars", "fetch"),
        (validating, "validate_bars", "judge"),
        (validating, "_write_rows", "write rows"),
        *((quality, name, "pages") for name in pages),
        (ingest, "load_bars", "open the warehouse"),
        (warehouse, "load_batch", "transaction"),
    )


def _feature_places() -> tuple[Place, ...]:
    from transfergate.storage.folder import FolderObjects
    from transfergate.warehouse import publish

    return (
        (publish, "check_features", "probe the features"),
        (FolderObjects, "publish", "publish the folder"),
        (publish, "write_snapshot", "compute and write"),
    )


def _compaction_places() -> tuple[Place, ...]:
    from transfergate.warehouse import compaction

    return (
        (compaction, "_compare", "compare"),
        (compaction, "sync_path", "to the disk"),
    )
