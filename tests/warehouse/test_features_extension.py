"""Adding a feature is adding a file and one line of settings; a wrong file is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from transfergate.errors import SnapshotError
from transfergate.warehouse.feature_safety import check_safe
from transfergate.warehouse.feature_sql import read_feature_sql

FeaturesOf = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
MakeBars = Callable[..., pd.DataFrame]

INTRADAY_RANGE = """
-- High less low as a fraction of the close.
-- Known after that session's close.
-- warm_up: 0
select
    ticker,
    session_date,
    (high - low) / close as intraday_range
from int_bars
"""


def test_a_file_and_a_name_add_a_feature(
    make_bars: MakeBars, features_of: FeaturesOf, own_sql: Path
) -> None:
    (own_sql / "marts/features/intraday_range.sql").write_text(INTRADAY_RANGE)
    bars = make_bars(("AAA",), n_sessions=90)
    raw, scored = features_of(bars, ["return_1", "intraday_range"], sql_dir=own_sql)
    assert list(scored) == ["return_1", "intraday_range"]
    expected = ((bars["high"] - bars["low"]) / bars["close"]).to_numpy()
    np.testing.assert_allclose(raw["intraday_range"], expected, atol=1e-12)
    assert scored["intraday_range"].notna().sum() == 90 - 59


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select ticker, session_date from int_bars", "at least one feature"),
        ("select ticker, close as price from int_bars", "expected the columns ticker"),
        ("select ticker, session_date, 1 as return_1 from int_bars", "taken by return_1"),
        ("select ticker, session_date, 1 as open from int_bars", "taken by the prices"),
        ("select ticker, session_date, no_such as x from int_bars", r"does not run.*no_such"),
    ],
)
def test_a_feature_file_that_breaks_the_contract_is_refused(
    make_bars: MakeBars, features_of: FeaturesOf, own_sql: Path, text: str, message: str
) -> None:
    (own_sql / "marts/features/broken.sql").write_text(f"-- warm_up: 0\n{text}")
    with pytest.raises(SnapshotError, match=rf"broken(?s:.*){message}"):
        features_of(make_bars(n_sessions=30), ["return_1", "broken"], sql_dir=own_sql)


@pytest.mark.parametrize("name", ["no_such", "../../../etc/passwd", "a; drop table x"])
def test_an_unknown_feature_is_refused_with_those_there_are(
    make_bars: MakeBars, features_of: FeaturesOf, name: str
) -> None:
    with pytest.raises(SnapshotError, match=r"features\.names.*rsi_14"):
        features_of(make_bars(n_sessions=30), [name])


def test_a_folder_of_ones_own_holds_features_too(own_sql: Path, tmp_path: Path) -> None:
    own = tmp_path / "alphas"
    own.mkdir()
    (own / "intraday_range.sql").write_text(INTRADAY_RANGE)
    sql = read_feature_sql(own_sql, ["return_1", "intraday_range"], own)
    assert sql.names == ("return_1", "intraday_range")
    assert sql.warm_ups["intraday_range"] == 0
    (own / "return_1.sql").write_text(INTRADAY_RANGE)
    with pytest.raises(SnapshotError, match=r"'return_1' is twice in .*rename one"):
        read_feature_sql(own_sql, ["return_1"], own)


@pytest.mark.parametrize("header", ["", "-- warm_up: some", "-- warm_up: 1\n-- warm_up: 2"])
def test_a_file_without_one_warm_up_is_refused(own_sql: Path, header: str) -> None:
    (own_sql / "marts/features/mine.sql").write_text(f"{header}\nselect 1")
    with pytest.raises(SnapshotError, match=r"mine.sql: found [02] comment lines '-- warm_up"):
        read_feature_sql(own_sql, ["mine"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("select 1; select 2", "2 statements"),
        ("create table x as select 1", "a statement of type create"),
        ("copy (select 1) to '/tmp/x.csv'", "a statement of type copy"),
        ("attach '/tmp/other.duckdb'", "a statement of type attach"),
        ("select * from '/etc/passwd'", "table or file '/etc/passwd'"),
        ("select * from read_csv('/etc/passwd')", r"table function read_csv\(\)"),
        ("select * from query('drop table bar_revisions')", r"table function query\(\)"),
        ("select (select max(close) from bar_revisions) as x from int_bars", "bar_revisions"),
        ("with b as (from batches) select * from b", "batches"),
        ("select ticker, session_date, random() as x from int_bars", r"function random\(\)"),
        ("select ticker, session_date, getenv('HOME') as x from int_bars", r"function getenv\(\)"),
        ("select ticker, session_date, current_date as x from int_bars", "current_date"),
        ("select ticker, session_date, now() as x from int_bars", r"function now\(\)"),
        ("this is no SQL", "cannot parse"),
    ],
)
def test_unsafe_sql_is_refused_before_it_runs(own_sql: Path, text: str, found: str) -> None:
    (own_sql / "marts/features/mine.sql").write_text(f"-- warm_up: 0\n{text}")
    sql = read_feature_sql(own_sql, ["mine"])
    with (
        duckdb.connect() as conn,
        pytest.raises(SnapshotError, match=rf"mine\.sql: .*{found}"),
    ):
        check_safe(conn, sql)


def test_a_feature_with_two_rows_for_a_bar_is_refused(
    make_bars: MakeBars, features_of: FeaturesOf, own_sql: Path
) -> None:
    (own_sql / "marts/features/twice.sql").write_text(
        "-- warm_up: 0\nselect ticker, session_date, close as twice from int_bars "
        "union all select ticker, session_date, close from int_bars"
    )
    with pytest.raises(SnapshotError, match=r"twice.sql: gives 60 rows for 30 bars"):
        features_of(make_bars(("AAA",), n_sessions=30), ["twice"], sql_dir=own_sql)


def test_rows_in_another_order_or_missing_find_their_bars(
    make_bars: MakeBars, features_of: FeaturesOf, own_sql: Path
) -> None:
    (own_sql / "marts/features/backwards.sql").write_text(
        "-- warm_up: 0\nselect ticker, session_date, close as backwards from int_bars "
        "where bar_number <> 7 order by session_date desc, ticker"
    )
    bars = make_bars(("AAA", "BBB"), n_sessions=30)
    raw, _ = features_of(bars, ["backwards"], sql_dir=own_sql)
    expected = bars["close"].to_numpy().copy()
    expected[[7, 37]] = np.nan
    np.testing.assert_allclose(raw["backwards"], expected, atol=1e-11)
