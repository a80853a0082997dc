"""The scores are, to the bit, those that the SQL that defines them gives."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from transfergate.warehouse.zscores import z_scores

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
N = 1200


def _columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    scales = (1e-12, 1e-10, 1e-6, 0.01, 1, 100, 3000, 1e4, 3e4)
    columns = {f"scale_{number}": rng.normal(0, scale, N) for number, scale in enumerate(scales)}
    columns |= {
        "constant": np.full(N, 42.0),
        "offset": 50 + rng.normal(0, 15, N),
        "nearly_constant": 1 + rng.normal(0, 1e-9, N),
        "extremes": np.where(rng.random(N) < 0.5, 1e4, -1e4),
        "upper_bound": np.full(N, 1e4),
        "lower_bound": np.full(N, -3e4),
        "halting": np.where(np.arange(N) % 300 < 200, 7.0, rng.normal(0, 1, N)),
    }
    for values in columns.values():
        values[rng.integers(0, N, 2)] = np.nan
    columns["scale_2"][5] = np.inf
    return columns


@pytest.mark.parametrize(("window", "clip"), [(60, 5.0), (20, 3.3), (252, 5.0), (900, 1.0)])
def test_scores_are_the_bits_that_the_sql_gives(window: int, clip: float) -> None:
    columns = _columns()
    table = pa.table(
        {
            "ticker": ["AAA"] * N,
            "session_date": np.arange(N).astype("datetime64[D]"),
            **{name: pa.array(values, from_pandas=True) for name, values in columns.items()},
        }
    )
    with duckdb.connect() as conn:
        conn.execute((SQL_DIR / "intermediate/macros.sql").read_text())
        conn.register("raw_features", table)
        conn.execute(f"set variable z_window = {window}; set variable z_clip = {clip}::double")
        expected = conn.sql(
            (SQL_DIR / "marts/feature_z_scores.sql").read_text() + " order by session_date"
        ).to_arrow_table()
        fixed = conn.sql(
            "select to_e12(columns(* exclude (ticker, session_date))) from raw_features"
        ).to_arrow_table()
    arrays = [column.combine_chunks() for column in fixed.columns]
    values = np.stack([column.fill_null(0).to_numpy() for column in arrays])
    valid = np.stack([column.is_valid().to_numpy(zero_copy_only=False) for column in arrays])
    found = z_scores(values, valid, window, clip)
    for name, scores in zip(columns, found, strict=True):
        wanted = expected[name].to_numpy()
        assert np.array_equal(np.isnan(wanted), np.isnan(scores)), name
        there = ~np.isnan(wanted)
        assert wanted[there].tobytes() == scores[there].tobytes(), name
    assert np.isfinite(found).sum() > 200


def test_a_window_longer_than_the_history_scores_nothing() -> None:
    values = np.ones((2, 30), np.int64)
    assert np.isnan(z_scores(values, np.ones((2, 30), bool), 31, 5.0)).all()
