"""Bars -> features, as a file that only ``make golden`` rewrites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BARS, FEATURES = GOLDEN / "feature_bars.csv", GOLDEN / "feature_rows.csv"


def _rows(features_of: Callable[..., tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    bars = pd.read_csv(BARS, parse_dates=["session_date"])
    raw, scored = features_of(bars, index="^IDX")
    rows = raw.join(scored.astype(float).add_suffix("_z")).reset_index()
    # Around the warm-up of each feature, then one row in ten: small, but every column is seen.
    number = rows.groupby("ticker").cumcount()
    rows = rows[number.isin([19, 20, 33, 34, 60, 93, 119, 120]) | (number % 10 == 0)]
    rows["session_date"] = rows["session_date"].dt.strftime("%Y-%m-%d")
    return rows.reset_index(drop=True)


@pytest.mark.golden
def test_features_are_the_golden_ones(
    request: pytest.FixtureRequest,
    features_of: Callable[..., tuple[pd.DataFrame, pd.DataFrame]],
) -> None:
    found = _rows(features_of)
    if request.config.getoption("--rewrite-golden"):
        found.to_csv(FEATURES, index=False, float_format="%.9g")
    expected = pd.read_csv(FEATURES)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-6, atol=1e-9)
