from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from transfergate.calendars import exchange_sessions
from transfergate.settings import PROJECT_ROOT, SyntheticParams
from transfergate.sources import SyntheticSource
from transfergate.sources.base import bars_table
from transfergate.warehouse import derive_checks

SESSIONS = exchange_sessions("XNYS", date(2015, 1, 1), date(2020, 12, 31))


@pytest.fixture
def bars() -> pd.DataFrame:
    source = SyntheticSource(SyntheticParams(n_sessions=120))
    frame = source.fetch(["SRC01", "SRC02"], None, None).to_pandas()
    return frame.assign(session_date=pd.to_datetime(frame["session_date"]))


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    return derive_checks(bars_table(frame), SESSIONS, PROJECT_ROOT / "sql")


def test_clean_bars_have_nothing_to_tell_and_keep_their_order(bars):
    found = checked(bars.iloc[::-1])
    assert found["row_id"].tolist() == list(range(len(bars)))
    assert found["close"].tolist() == bars["close"].tolist()[::-1]
    assert not found["off_calendar"].any()
    assert not found[["copy_number", "missing_sessions", "sessions_behind"]].to_numpy().any()
    assert found["high_defect"].max() <= 0 >= found["low_defect"].max()
    assert found["split_ratio"].isna().all()


def test_copies_are_numbered_from_the_first_and_conflicts_are_not_copies(bars):
    doubled = pd.concat([bars, bars.iloc[[3, 3]], bars.iloc[[4]].assign(close=99.0)])
    found = checked(doubled)
    assert found["copy_number"].iloc[-3:].tolist() == [1, 2, 0]
    assert found["copy_number"].iloc[3] == 0


def test_null_fields_do_not_hide_a_copy(bars):
    row = bars.iloc[[3]].assign(volume=None, adj_close=None)
    found = checked(pd.concat([bars.drop(index=3), row, row]))
    assert found["copy_number"].iloc[-2:].tolist() == [0, 1]


def test_gaps_and_early_ends_are_counted_in_sessions(bars):
    found = checked(bars.drop(index=[50, 51, 118, 119]))
    assert found[found["missing_sessions"] > 0]["missing_sessions"].tolist() == [2]
    behind = found[found["sessions_behind"] > 0]
    assert list(zip(behind["ticker"], behind["sessions_behind"], strict=True)) == [("SRC01", 2)]


def test_days_without_a_session_are_seen(bars):
    bars.loc[7, "session_date"] = pd.Timestamp("2020-12-25")
    bars.loc[8, "session_date"] = pd.Timestamp("2020-12-26")
    assert checked(bars)["off_calendar"].to_numpy().nonzero()[0].tolist() == [7, 8]


def test_a_hidden_split_is_suspected_and_an_adjusted_one_is_not(bars):
    prices = ["open", "high", "low", "close"]
    first = bars["ticker"].eq("SRC01") & (bars.index < 80)
    bars.loc[first, prices] *= 4  # from here on a quarter; adj_close knows of it
    assert checked(bars)["split_ratio"].notna().sum() == 0
    found = checked(bars.assign(adj_close=None))
    suspected = found[found["split_ratio"].notna()]
    assert suspected[["row_id", "split_ratio"]].to_numpy().tolist() == [[80, 4.0]]
    assert found["adjusted_return"].iloc[80] < -0.6


def test_an_impossible_price_is_no_outlier_of_its_neighbour(bars):
    bars.loc[60, "close"] = -1.0
    bars.loc[70, "close"] = float("inf")
    found = checked(bars)
    assert found["adjusted_return"].abs().max() < 0.2
    assert found["adjusted_return"].isna().sum() == 4
