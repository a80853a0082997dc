"""The recursive averages are, to the bit, those that the SQL that defines them gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from transfergate.settings import FeatureParams
from transfergate.warehouse.batch_bars import STATES, FeatureRun, TickerPlan, begin, set_batch
from transfergate.warehouse.feature_sql import read_feature_sql
from transfergate.warehouse.smoothers import smoothers

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
RUN = FeatureRun(
    read_feature_sql(SQL_DIR, ("rsi_14",)),
    FeatureParams(),
    "files",
    datetime(2020, 1, 1, tzinfo=UTC),
)
LENGTHS = {"AAA": 300, "BBB": 20, "CCC": 300, "DDD": 1, "EEE": 170}
NO_RANGE = ("CCC", 150)  # neither high nor low


def _bars() -> pa.Table:
    rng = np.random.default_rng(3)
    parts = []
    for ticker, n in LENGTHS.items():
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
        close[n // 2] = close[n // 2 - 1]  # neither gain nor loss
        high, low = close * 1.01, close * 0.99
        rows = np.arange(n)
        no_high, no_low = (rows % 97 == 50, rows % 89 == 60)
        if ticker == NO_RANGE[0]:
            no_high = no_low = rows == NO_RANGE[1]
        high[rows == 77] = np.nan
        parts.append(
            pa.table(
                {
                    "ticker": [ticker] * n,
                    "session_date": [date(2015, 1, 1) + timedelta(int(row)) for row in rows],
                    "bar_number": pa.array(rows, pa.int64()),
                    "close": close,
                    "previous_close": pa.array([None, *close[:-1]], pa.float64()),
                    "high": pa.array(high, mask=no_high),
                    "low": pa.array(low, mask=no_low),
                }
            )
        )
    return pa.concat_tables(parts)


def _by_sql(bars: pa.Table, plans: Sequence[TickerPlan]) -> pa.Table:
    with duckdb.connect() as conn:
        begin(conn, RUN)
        set_batch(conn, RUN, plans)
        conn.execute("set threads = 1")
        conn.register("int_bars", bars)
        return conn.sql(RUN.sql.text("int_smoothers")).to_arrow_table()


def _assert_same_bits(found: pa.Table, wanted: pa.Table) -> None:
    assert found.column_names == wanted.column_names
    for name in found.column_names:
        left, right = found[name].combine_chunks(), wanted[name].combine_chunks()
        assert left.is_null().equals(right.is_null()), name
        if name in STATES:
            bits = [np.asarray(side.fill_null(0.0)) for side in (left, right)]
            assert np.array_equal(*bits, equal_nan=True), name
            bits = [np.nan_to_num(side).tobytes() for side in bits]
            assert bits[0] == bits[1], name
        else:
            assert left.equals(right), name


def test_averages_are_the_bits_that_the_sql_gives() -> None:
    bars, plans = _bars(), [TickerPlan(ticker) for ticker in LENGTHS]
    found = smoothers(bars, plans)
    _assert_same_bits(found, _by_sql(bars, plans))
    lost = found["average_true_range"].is_null().to_numpy().sum()
    assert lost == LENGTHS[NO_RANGE[0]] - NO_RANGE[1]


def test_averages_go_on_from_the_states_of_a_later_bar() -> None:
    bars = _bars()
    whole = smoothers(bars, [TickerPlan(ticker) for ticker in LENGTHS])
    starts = {"AAA": 64, "BBB": 0, "CCC": 192, "DDD": 0, "EEE": 128}
    rows = whole.to_pylist()
    points = {(row["ticker"], row["bar_number"]): row for row in rows}
    plans = [
        replace(
            TickerPlan(ticker, first_bar_number=start),
            states=tuple(points[ticker, start][name] for name in STATES) if start else (None,) * 6,
        )
        for ticker, start in starts.items()
    ]
    mask = pa.array([row["bar_number"] >= starts[row["ticker"]] for row in rows])
    part = bars.filter(mask)
    found = smoothers(part, plans)
    _assert_same_bits(found, whole.filter(mask))
    _assert_same_bits(found, _by_sql(part, plans))
