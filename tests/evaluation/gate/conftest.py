"""Small worlds with known truth, as arrays and as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

RETURNS_SCHEMA = pa.schema(
    [
        ("ticker", pa.string()),
        ("session_date", pa.date32()),
        ("fold", pa.int64()),
        ("arm", pa.string()),
        ("seed", pa.int64()),
        ("net_return", pa.float64()),
    ]
)


def arms_world(
    rng: np.random.Generator,
    *,
    n_seeds: int = 5,
    n_sessions: int = 504,
    edge: float = 0.0,
    base: float = 0.5,
    rho: float = 0.8,
    scale: float = 0.01,
) -> dict[str, np.ndarray]:
    """iid normal returns; ``edge`` and ``base`` are annualised Sharpe ratios, rho of the means."""
    common = rng.normal(size=n_sessions)
    arms = {}
    for arm, sharpe in (("finetuned", base + edge), ("scratch", base)):
        own = np.sqrt(rho) * common + np.sqrt(1 - rho) * rng.normal(size=n_sessions)
        mean = sharpe / np.sqrt(252)
        arms[arm] = scale * (own + mean + 0.1 * rng.normal(size=(n_seeds, n_sessions)))
    return arms


def returns_table(
    arms: Mapping[str, np.ndarray],
    ticker: str = "TGT",
    *,
    fold_sessions: int = 63,
    start: str = "2010-01-04",
) -> pa.Table:
    """Long table; an arm of shape (T,) is a reference (seed null), one of (K, T) has K seeds."""
    tables = []
    for arm, values in arms.items():
        series = np.atleast_2d(values)
        n_seeds, n = series.shape
        dates = np.datetime64(start) + np.arange(n)
        seeds = [None] * n if values.ndim == 1 else np.repeat(np.arange(n_seeds), n)
        tables.append(
            pa.table(
                {
                    "ticker": [ticker] * (n_seeds * n),
                    "session_date": pa.array(np.tile(dates, n_seeds), pa.date32()),
                    "fold": np.tile(np.arange(n) // fold_sessions, n_seeds),
                    "arm": [arm] * (n_seeds * n),
                    "seed": pa.array(seeds, pa.int64()),
                    "net_return": series.ravel(),
                },
                schema=RETURNS_SCHEMA,
            )
        )
    return pa.concat_tables(tables)


@pytest.fixture(name="arms_world")
def _arms_world() -> Callable[..., dict[str, np.ndarray]]:
    return arms_world


@pytest.fixture(name="returns_table")
def _returns_table() -> Callable[..., pa.Table]:
    return returns_table


@pytest.fixture
def judge_one(returns_table: Any) -> Callable[..., dict[str, Any]]:
    """Judge one ticker's arms and return its report."""
    from transfergate.evaluation.gate import judge
    from transfergate.settings import GateParams

    def run(arms: Mapping[str, np.ndarray], **options: Any) -> dict[str, Any]:
        params = GateParams(**{"evidence": "ticker"} | options.pop("params", {}))
        fold_sessions = options.pop("fold_sessions", 63)
        table = returns_table(arms, fold_sessions=fold_sessions)
        return judge(table, params, **options)["tickers"]["TGT"]

    return run
