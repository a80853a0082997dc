"""No feature row knows a later bar; and the check that guards this can refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams
from transfergate.warehouse.features import check_no_look_ahead, read_bars, read_feature_sql

FeaturesOf = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
MakeBars = Callable[..., pd.DataFrame]

FEW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking costs minutes and says nothing more here
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PRICES = ["open", "high", "low", "close", "adj_close"]
LOOK_AHEAD = {
    "tomorrow": "lead(close) over (partition by ticker order by session_date) / close - 1",
    "whole_sample": "close / max(close) over (partition by ticker) - 1",
    "number_of_bars": "bar_number / count(*) over (partition by ticker)",
    "centred": "close / nullif(sum(close_e12) over (partition by ticker order by session_date "
    "rows between 2 preceding and 2 following), 0)::double",
}


def _identical(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    """Equal index, and every number equal bit for bit; nulls where there are nulls."""
    assert left.index.equals(right.index)
    return left.to_numpy().tobytes() == right.to_numpy().tobytes()


def _until(frame: pd.DataFrame, cut: Any) -> pd.DataFrame:
    return frame[frame.index.get_level_values("session_date") <= pd.Timestamp(cut)]


@FEW
@given(seed=st.integers(0, 999), cut=st.integers(61, 170), shock=st.floats(0.3, 3.0))
def test_features_ignore_what_later_bars_become(
    make_bars: MakeBars, features_of: FeaturesOf, seed: int, cut: int, shock: float
) -> None:
    bars = make_bars(n_sessions=190, seed=seed)
    day = sorted(bars["session_date"].unique())[cut]
    shocked = bars.copy()
    later = shocked["session_date"] > day
    noise = np.exp(np.random.default_rng(seed).normal(np.log(shock), 0.2, later.sum()))
    shocked.loc[later, PRICES] = shocked.loc[later, PRICES].mul(noise, axis=0)
    shocked.loc[later, "volume"] *= shock + 1
    for calm, stormy in zip(features_of(bars), features_of(shocked), strict=True):
        assert _identical(_until(calm, day), _until(stormy, day))
        assert not _identical(calm, stormy)


@FEW
@given(seed=st.integers(0, 999), cut=st.integers(61, 170))
def test_appending_bars_changes_no_earlier_row(
    make_bars: MakeBars, features_of: FeaturesOf, seed: int, cut: int
) -> None:
    bars = make_bars(n_sessions=190, seed=seed)
    day = sorted(bars["session_date"].unique())[cut]
    short = bars[bars["session_date"] <= day]
    for part, whole in zip(features_of(short), features_of(bars), strict=True):
        assert _identical(part, _until(whole, day))


def test_old_rows_keep_their_bits_when_a_large_table_grows(
    make_bars: MakeBars, features_of: FeaturesOf
) -> None:
    # Float sums pass on small tables: they change once windows are summed by a tree.
    bars = make_bars([f"T{number:02d}" for number in range(12)], n_sessions=500)
    day = sorted(bars["session_date"].unique())[330]
    short = bars[bars["session_date"] <= day]
    for part, whole in zip(features_of(short), features_of(bars), strict=True):
        assert _identical(part, _until(whole, day))


def test_the_batch_a_ticker_is_in_does_not_matter(
    make_bars: MakeBars, features_of: FeaturesOf
) -> None:
    bars = make_bars(n_sessions=190)
    batches = [["CCC"], ["AAA", "BBB"]]
    for whole, parts in zip(features_of(bars), features_of(bars, batches=batches), strict=True):
        assert _identical(whole, parts)


def _check(conn: Any, sql_dir: Path, names: tuple[str, ...]) -> None:
    sql = read_feature_sql(sql_dir, names)
    read_bars(conn, sql, "files")
    check_no_look_ahead(conn, sql, FeatureParams(names=names), None, [])


@pytest.mark.parametrize("name", list(LOOK_AHEAD))
def test_the_check_refuses_a_feature_that_looks_ahead(
    make_bars: MakeBars, warehouse: Any, own_sql: Path, name: str
) -> None:
    (own_sql / f"marts/features/{name}.sql").write_text(
        f"select ticker, session_date, {LOOK_AHEAD[name]} as {name} from int_bars"
    )
    with (
        warehouse(make_bars(n_sessions=190)) as conn,
        pytest.raises(SnapshotError, match=rf"{name} \(\d+ rows\).*look ahead"),
    ):
        _check(conn, own_sql, ("return_1", name))


def test_the_check_refuses_a_z_score_over_the_whole_sample(
    make_bars: MakeBars, warehouse: Any, own_sql: Path
) -> None:
    mart = own_sql / "marts/feature_z_scores.sql"
    mart.write_text(mart.read_text().replace("and current row", "and unbounded following"))
    with (
        warehouse(make_bars(n_sessions=190)) as conn,
        pytest.raises(SnapshotError, match=r"feature_z_scores.*return_1.*look ahead"),
    ):
        _check(conn, own_sql, ("return_1",))


def test_the_check_passes_the_shipped_features_and_gives_the_bars_back(
    make_bars: MakeBars, warehouse: Any, own_sql: Path
) -> None:
    with warehouse(make_bars(n_sessions=190)) as conn:
        _check(conn, own_sql, FeatureParams().names)
        assert conn.execute("select count(*) from int_adjusted_bars").fetchone() == (3 * 190,)
