"""What is published after a change is, to the byte, what a fresh warehouse would publish."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from transfergate.settings import FeatureParams, UniverseParams, WarehouseParams
from transfergate.storage import ArtefactStore
from transfergate.warehouse import publish as publish_module
from transfergate.warehouse.connection import open_warehouse
from transfergate.warehouse.publish import PublishedSnapshot, SnapshotRequest, publish_snapshot

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
N = 420  # of weekdays from 2015-01-02: the last year is 2016
INDEX = "^IDX"
PRICES = ["open", "high", "low", "close", "adj_close"]


def _request(**changes: Any) -> SnapshotRequest:
    values: dict[str, Any] = {
        "source": "files",
        "features": FeatureParams(),
        "universe": UniverseParams(),
        "calendar": "XNYS",
        "sql_dir": SQL_DIR,
        "resources": WarehouseParams(batch_bars=1000),
    }
    return SnapshotRequest(**{**values, **changes})


def _bytes(store: ArtefactStore, snapshot_id: str) -> dict[str, str]:
    folder = store.path(f"snapshots/{snapshot_id}")
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


class World:
    """A history of loads that can be told to a second warehouse from the beginning."""

    def __init__(self, folder: Path, load: Any) -> None:
        self.folder, self._load = folder, load
        self.loads: list[tuple[str, pd.DataFrame | None, tuple[Any, ...], dict[str, str]]] = []

    def add(self, bars: pd.DataFrame | None, *actions: Any, indices: Any = None) -> None:
        self.loads.append((f"2020-01-{len(self.loads) + 1:02d}", bars, actions, indices or {}))

    def tell(self, conn: duckdb.DuckDBPyConnection, start: int = 0) -> None:
        for day, bars, actions, indices in self.loads[start:]:
            if bars is not None:
                self._load(conn, bars, known_at=day)
            for action in actions:
                conn.execute(
                    "insert into corporate_actions values "
                    f"('files', ?, ?, ?, ?, 'batch', timestamptz '{day} 00:00:00+00')",
                    action,
                )
            for ticker, index in indices.items():
                conn.execute(
                    "insert into instruments by name select 'files' as source, ? as ticker, "
                    "? as index_ticker, 'batch' as batch_id, "
                    f"timestamptz '{day} 00:00:00+00' as known_at",
                    [ticker, index],
                )
            conn.execute(
                "insert into batches (batch_id, source, known_at, received_rows, loaded_rows, "
                "new_revisions, unchanged_rows, quarantined_rows, tickers) "
                f"values ('{day}', 'files', timestamptz '{day} 00:00:00+00', 0, 0, 0, 0, 0, 0)"
            )

    @contextmanager
    def opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_warehouse(Path(":memory:"), SQL_DIR, wait_seconds=0) as conn:
            yield conn

    def fresh(self, **changes: Any) -> tuple[ArtefactStore, PublishedSnapshot]:
        store = ArtefactStore(self.folder / "fresh")
        with self.opened() as conn:
            self.tell(conn)
            return store, publish_snapshot(conn, store, _request(**changes))


@pytest.fixture
def world(tmp_path: Path, load_bars: Any) -> World:
    return World(tmp_path, load_bars)


def _bars(make_bars: Any) -> pd.DataFrame:
    bars = make_bars(("AAA", "BBB", "CCC", INDEX), n_sessions=N)
    # A ticker that begins later, and one with gaps.
    sessions = sorted(bars["session_date"].unique())
    late = (bars["ticker"] == "BBB") & (bars["session_date"] < sessions[100])
    gaps = (bars["ticker"] == "CCC") & bars["session_date"].isin(sessions[150:400:37])
    return bars[~late & ~gaps].reset_index(drop=True)


def _shocked(bars: pd.DataFrame, factor: float = 1.1) -> pd.DataFrame:
    changed = bars.copy()
    changed[PRICES] *= factor
    return changed


def _day(bars: pd.DataFrame, number: int) -> Any:
    return sorted(bars["session_date"].unique())[number]


def _first(bars: pd.DataFrame, number: int) -> pd.DataFrame:
    return bars[bars["session_date"] < _day(bars, number)]


def _rows(bars: pd.DataFrame, ticker: str, number: int) -> pd.DataFrame:
    return bars[(bars["ticker"] == ticker) & (bars["session_date"] == _day(bars, number))]


# Each: loads before the first publish, then loads before the second.
def _new_session(world: World, bars: pd.DataFrame) -> int:
    world.add(_first(bars, N - 1))
    world.add(bars[bars["session_date"] == _day(bars, N - 1)])
    return 1


def _new_year(world: World, bars: pd.DataFrame) -> int:
    turn = int(np.searchsorted(pd.to_datetime(sorted(bars["session_date"].unique())), "2016-01-01"))
    world.add(_first(bars, turn))
    world.add(bars[bars["session_date"] == _day(bars, turn)])
    return 1


def _late_correction(world: World, bars: pd.DataFrame) -> int:
    world.add(bars)
    world.add(_shocked(_rows(bars, "AAA", 200)))
    return 1


def _recent_correction(world: World, bars: pd.DataFrame) -> int:
    world.add(bars)
    world.add(_shocked(_rows(bars, "CCC", N - 5)))
    return 1


def _late_bar(world: World, bars: pd.DataFrame) -> int:
    world.add(bars.drop(_rows(bars, "BBB", 300).index))
    world.add(_rows(bars, "BBB", 300))
    return 1


def _bar_before_the_first(world: World, bars: pd.DataFrame) -> int:
    one = bars["ticker"] == "AAA"
    world.add(bars[~(one & (bars["session_date"] < _day(bars, 3)))])
    world.add(bars[one & (bars["session_date"] < _day(bars, 3))])
    return 1


def _new_ticker(world: World, bars: pd.DataFrame) -> int:
    world.add(bars[bars["ticker"] != "BBB"])
    world.add(bars[bars["ticker"] == "BBB"])
    return 1


def _index_correction(world: World, bars: pd.DataFrame) -> int:
    world.add(bars)
    world.add(_shocked(_rows(bars, INDEX, 250)))
    return 1


def _new_split(world: World, bars: pd.DataFrame) -> int:
    last = bars[bars["session_date"] == _day(bars, N - 1)].copy()
    last.loc[last["ticker"] == "AAA", PRICES] /= 2
    world.add(_first(bars, N - 1))
    world.add(last, ("AAA", _day(bars, N - 1), "split", 2.0))
    return 1


def _second_split(world: World, bars: pd.DataFrame) -> int:
    world.add(_first(bars, N - 1), ("AAA", _day(bars, 50), "split", 3.0))
    world.add(
        bars[bars["session_date"] == _day(bars, N - 1)],
        ("AAA", _day(bars, N - 1), "dividend", 0.7),
    )
    return 1


def _late_split(world: World, bars: pd.DataFrame) -> int:
    world.add(bars)
    world.add(None, ("BBB", _day(bars, 180), "split", 2.0))
    return 1


def _retracted_split(world: World, bars: pd.DataFrame) -> int:
    world.add(bars, ("BBB", _day(bars, 180), "split", 2.0))
    world.add(None, ("BBB", _day(bars, 180), "split", None))
    return 1


def _new_session_with_actions(world: World, bars: pd.DataFrame) -> int:
    actions = [("AAA", _day(bars, n), "dividend", 0.31 * n**0.5) for n in (20, 90, 200, 290, 380)]
    world.add(_first(bars, N - 1), *actions)
    world.add(bars[bars["session_date"] == _day(bars, N - 1)])
    return 1


def _new_session_of_an_adjusting_vendor(world: World, bars: pd.DataFrame) -> int:
    bars = bars.copy()
    bars["adj_close"] = bars["close"] * np.linspace(0.31, 0.97, len(bars))
    return _new_session(world, bars)


def _vendor_that_adjusts_again(world: World, bars: pd.DataFrame) -> int:
    # adj_close on the first months only, then again on the new session.
    bars = bars.copy()
    bars["adj_close"] = (bars["close"] * np.linspace(0.31, 0.97, len(bars))).where(
        bars["session_date"].between(_day(bars, 30), _day(bars, 60))
        | (bars["session_date"] == _day(bars, N - 1))
    )
    return _new_session(world, bars)


def _delisted(world: World, bars: pd.DataFrame) -> int:
    gone = (bars["ticker"] == "CCC") & (bars["session_date"] > _day(bars, 330))
    return _new_session(world, bars[~gone].reset_index(drop=True))


OTHER = "^OTHER"


def _with_two_indices(bars: pd.DataFrame) -> pd.DataFrame:
    other = bars[bars["ticker"] == "AAA"].assign(ticker=OTHER)
    other[PRICES] = other[PRICES].to_numpy()[::-1]
    return pd.concat([bars, other], ignore_index=True)


def _correction_of_an_own_index(world: World, bars: pd.DataFrame) -> int:
    bars = _with_two_indices(bars)
    world.add(bars, indices={"AAA": OTHER, "BBB": INDEX})
    world.add(_shocked(_rows(bars, OTHER, 250)))
    return 1


def _new_session_with_own_indices(world: World, bars: pd.DataFrame) -> int:
    bars = _with_two_indices(bars)
    world.add(_first(bars, N - 1), indices={"AAA": OTHER, "BBB": INDEX})
    world.add(bars[bars["session_date"] == _day(bars, N - 1)])
    return 1


def _another_index_on_file(world: World, bars: pd.DataFrame) -> int:
    bars = _with_two_indices(bars)
    world.add(bars, indices={"AAA": OTHER, "BBB": INDEX})
    world.add(None, indices={"AAA": INDEX, "CCC": OTHER})
    return 1


def _first_index_on_file(world: World, bars: pd.DataFrame) -> int:
    world.add(_with_two_indices(bars))
    world.add(None, indices={"AAA": OTHER})
    return 1


CHANGES = [
    _new_session,
    _new_year,
    _late_correction,
    _recent_correction,
    _late_bar,
    _bar_before_the_first,
    _new_ticker,
    _index_correction,
    _new_split,
    _second_split,
    _late_split,
    _retracted_split,
    _new_session_with_actions,
    _new_session_of_an_adjusting_vendor,
    _vendor_that_adjusts_again,
    _delisted,
    _correction_of_an_own_index,
    _new_session_with_own_indices,
    _another_index_on_file,
    _first_index_on_file,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_gives_the_bytes_of_a_full_rebuild(
    world: World, make_bars: Any, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    monkeypatch.setattr(publish_module, "check_features", lambda *_: None)  # slow, tested elsewhere
    universe = UniverseParams(index=INDEX) if change is _index_correction else UniverseParams()
    start = change(world, _bars(make_bars))
    store = ArtefactStore(world.folder / "step")
    with world.opened() as conn:
        loads, world.loads = world.loads, world.loads[:start]
        world.tell(conn)
        before = publish_snapshot(conn, store, _request(universe=universe))
        world.loads = loads
        world.tell(conn, start)
        after = publish_snapshot(conn, store, _request(universe=universe))
        # Shrunk again: as of the moment of the first publish, starting from the second one.
        expected = _bytes(store, before.id)
        shutil.rmtree(store.path(f"snapshots/{before.id}"))
        conn.execute("delete from feature_publishes where snapshot_id = $id", {"id": before.id})
        moment = datetime(2020, 1, start, 12, tzinfo=UTC)
        back = publish_snapshot(conn, store, _request(universe=universe, as_of=moment))
    fresh_store, fresh = world.fresh(universe=universe)
    assert before.id != after.id
    assert after.manifest == fresh.manifest
    assert _bytes(store, after.id) == _bytes(fresh_store, fresh.id)
    assert (back.id, back.created) == (before.id, True)
    assert _bytes(store, back.id) == expected
