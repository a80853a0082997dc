"""Worlds of returns with several arms, judged, as reports get them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from transfergate.evaluation.gate import finite, judge
from transfergate.evaluation.gate.columns import check_columns
from transfergate.reporting import Charts, chart_data, describe
from transfergate.settings import GateParams

Judged = tuple[dict[str, Any], dict[str, Charts]]


def returns_of(ticker: str, edge: float, seed: int, n: int = 300, n_seeds: int = 3) -> pa.Table:
    """One ticker whose fine-tuned arm is better by about ``edge`` in annualised Sharpe ratio."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.009, n)
    parts = []
    arms = {"finetuned": edge, "scratch": 0.0, "zero_shot": 0.0, "buy_hold": -0.5, "ridge": 0.0}
    for arm, sharpe in arms.items():
        k = n_seeds if arm in ("finetuned", "scratch") else 1
        own = common + rng.normal(0, 0.002, n)
        values = own - own.mean() + 0.01 * sharpe / np.sqrt(252) + rng.normal(0, 0.001, (k, n))
        days = np.busday_offset("2015-01-01", np.arange(n), roll="forward")
        parts.append(
            pa.table(
                {
                    "ticker": [ticker] * (k * n),
                    "session_date": pa.array(np.tile(days, k).astype("datetime64[D]")),
                    "fold": np.tile(np.arange(n) // 63, k),
                    "arm": [arm] * (k * n),
                    "seed": np.repeat(np.arange(k), n),
                    "net_return": values.ravel(),
                }
            )
        )
    return pa.concat_tables(parts)


@pytest.fixture
def judged() -> Callable[..., Judged]:
    """``judged({ticker: edge})``: an evaluation as commands make it, with its charts."""

    def make(edges: dict[str, float], **params: Any) -> Judged:
        tables = [returns_of(name, edge, i) for i, (name, edge) in enumerate(edges.items())]
        returns = pa.concat_tables(tables)
        result = judge(check_columns(returns), GateParams(**params), keep_going=True)
        series, descriptions = describe(returns)
        for ticker, report in result["tickers"].items():
            report |= finite(descriptions[ticker])
        return result, {ticker: chart_data(arms) for ticker, arms in series.items()}

    return make
