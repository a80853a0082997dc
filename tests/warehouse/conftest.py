"""Small worlds of bars, and a warehouse that holds them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from transfergate.settings import FeatureParams
from transfergate.warehouse.batch_bars import FeatureRun, TickerPlan, feature_worker
from transfergate.warehouse.connection import open_warehouse
from transfergate.warehouse.feature_sql import read_feature_sql
from transfergate.warehouse.features import (
    TickerFeatures,
    compute_features,
    market_sums,
    set_market,
)

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"


def random_bars(
    tickers: Sequence[str] = ("AAA", "BBB", "CCC"), n_sessions: int = 260, seed: int = 1
) -> pd.DataFrame:
    """Random walks on weekdays from 2015-01-02, in the contract's columns."""
    rng = np.random.default_rng(seed)
    sessions = pd.bdate_range("2015-01-02", periods=n_sessions)
    frames = []
    for ticker in tickers:
        close = 80 * np.exp(np.cumsum(rng.normal(0, 0.02, n_sessions)))
        open_ = close * np.exp(rng.normal(0, 0.005, n_sessions))
        frames.append(
            pd.DataFrame(
                {
                    "ticker": ticker,
                    "session_date": sessions.date,
                    "open": open_,
                    "high": np.maximum(open_, close) * (1 + rng.uniform(0, 0.01, n_sessions)),
                    "low": np.minimum(open_, close) * (1 - rng.uniform(0, 0.01, n_sessions)),
                    "close": close,
                    "volume": rng.integers(1_000, 9_000, n_sessions).astype(float),
                    "adj_close": close,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@contextmanager
def warehouse_of(
    bars: pd.DataFrame, *, source: str = "files", known_at: str = "2020-01-01"
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse in memory with these bars loaded in one batch."""
    with open_warehouse(Path(":memory:"), SQL_DIR, wait_seconds=0) as conn:
        load(conn, bars, source=source, known_at=known_at)
        yield conn


def load(
    conn: duckdb.DuckDBPyConnection,
    bars: pd.DataFrame,
    *,
    source: str = "files",
    known_at: str = "2020-01-01",
) -> None:
    """Append bars as revisions that became known at a moment."""
    conn.register("incoming", bars)
    conn.execute(
        "insert into bar_revisions select $source, ticker, session_date, open, high, low, close, "
        "volume, adj_close, 'USD', 'batch', ($known_at || ' 00:00:00+00')::timestamptz "
        "from incoming",
        {"source": source, "known_at": known_at},
    )
    conn.unregister("incoming")


@pytest.fixture(scope="session")
def make_bars() -> Callable[..., pd.DataFrame]:
    return random_bars


@pytest.fixture(scope="session")
def warehouse() -> Callable[..., object]:
    return warehouse_of


@pytest.fixture(scope="session")
def load_bars() -> Callable[..., None]:
    return load


@pytest.fixture(scope="session")
def features_of() -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    """Compute features of bars; returns raw features and z-scores, indexed by ticker and date."""

    def compute(
        bars: pd.DataFrame,
        names: Sequence[str] = FeatureParams().names,
        *,
        z_window: int = 60,
        index: str | None = None,
        batches: Sequence[Sequence[str]] | None = None,
        sql_dir: Path = SQL_DIR,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        params = FeatureParams(names=tuple(names), z_window=z_window)
        run = FeatureRun(
            read_feature_sql(sql_dir, params.names), params, "files", datetime.now(UTC), index
        )
        tickers = [t for t in sorted(bars["ticker"].unique()) if t != index]
        everything = [TickerPlan(t, is_index=t == index) for t in sorted(bars["ticker"].unique())]
        raw, scored = [], []
        with warehouse_of(bars) as conn, feature_worker(conn, run) as worker:
            set_market(worker, run, market_sums(worker, run, everything))
            for batch in batches or [tickers]:
                columns, found = compute_features(worker, run, [TickerPlan(t) for t in batch])
                for item in found:
                    values = np.where(item.valid, item.values_e12 / 1e12, np.nan)
                    raw.append(_frame(item, columns, values))
                    scored.append(_frame(item, columns, item.scores))
        return pd.concat(raw).sort_index(), pd.concat(scored).sort_index()

    return compute


def _frame(item: TickerFeatures, columns: Sequence[str], values: Any) -> pd.DataFrame:
    index = pd.MultiIndex.from_product(
        [[item.ticker], pd.DatetimeIndex(item.sessions)], names=["ticker", "session_date"]
    )
    return pd.DataFrame(dict(zip(columns, values, strict=True)), index)


@pytest.fixture
def own_sql(tmp_path: Path) -> Path:
    """A copy of the shipped SQL that a test may change."""
    return Path(shutil.copytree(SQL_DIR, tmp_path / "sql"))
