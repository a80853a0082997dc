"""No feature row knows a later bar; and the check that guards this can refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams
from transfergate.warehouse import feature_checks
from transfergate.warehouse.batch_bars import FeatureRun
from transfergate.warehouse.feature_checks import check_features, check_sql
from transfergate.warehouse.feature_sql import read_feature_sql

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
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
    "centred": "1e12 * close / nullif(sum(close_e12) over (partition by ticker "
    "order by session_date "
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


def _run(sql_dir: Path, names: tuple[str, ...]) -> FeatureRun:
    sql = read_feature_sql(sql_dir, names)
    return FeatureRun(sql, FeatureParams(names=names), "files", datetime(2021, 1, 1, tzinfo=UTC))


def _write(sql_dir: Path, name: str, select: str, warm_up: int = 2) -> None:
    (sql_dir / f"marts/features/{name}.sql").write_text(f"-- warm_up: {warm_up}\n{select}")


def _column(name: str, expression: str) -> str:
    return f"select ticker, session_date, {expression} as {name} from int_bars"


@pytest.mark.parametrize("name", list(LOOK_AHEAD))
def test_the_check_refuses_a_feature_that_looks_ahead(
    warehouse: Any, make_bars: MakeBars, own_sql: Path, name: str
) -> None:
    _write(own_sql, name, _column(name, LOOK_AHEAD[name]))
    with (
        warehouse(make_bars(n_sessions=30)) as conn,
        pytest.raises(SnapshotError, match=rf"{name} \(\d+ rows\).*look ahead"),
    ):
        check_sql(conn, _run(own_sql, ("return_1", name)))


def test_a_look_ahead_that_only_real_bars_show_is_refused(
    warehouse: Any, make_bars: MakeBars, own_sql: Path
) -> None:
    later = "lead(close) over (partition by ticker order by session_date)"
    _write(own_sql, "later", _column("later", f"case when ticker < 'M' then {later} end"))
    run = _run(own_sql, ("later",))
    with warehouse(make_bars(n_sessions=190)) as conn:
        check_sql(conn, run)
        with pytest.raises(SnapshotError, match=r"later \(\d+ rows\).*look ahead"):
            check_features(conn, run, ["AAA", "BBB", "CCC"])


ORDERED = "(partition by ticker order by session_date"
RARE = {
    "lead": f"lead(close) over {ORDERED})",
    "lag() by anything": f"lag(close, -1) over {ORDERED})",
    "rows that follow": f"max(close) over {ORDERED} rows between 1 following and 2 following)",
    "the latest to the earliest": f"lag(close) over {ORDERED} desc)",
}


JOINED = {
    "a join without": "select a.ticker, a.session_date, b.close as rare from int_bars as a "
    "left join int_bars as b on a.ticker = b.ticker and b.bar_number = a.bar_number + 1 "
    "and a.bar_number = 70",
    "a query within": "select ticker, session_date, (select max(later.close) "
    "from int_bars as later where later.ticker = int_bars.ticker and int_bars.bar_number = 70) "
    "as rare from int_bars",
}


@pytest.mark.parametrize("found", list(JOINED))
def test_a_join_that_could_reach_later_bars_is_refused(
    warehouse: Any, make_bars: MakeBars, own_sql: Path, found: str
) -> None:
    _write(own_sql, "rare", JOINED[found], warm_up=1)
    with (
        warehouse(make_bars(n_sessions=190)) as conn,
        pytest.raises(SnapshotError, match=rf"{found}.*looks ahead|rare \(\d+ rows\).*look ahead"),
    ):
        check_features(conn, _run(own_sql, ("return_1", "rare")), ["AAA", "BBB"])


def test_relations_joined_by_ticker_and_session_are_fine(
    warehouse: Any, make_bars: MakeBars, own_sql: Path
) -> None:
    _write(
        own_sql,
        "beside",
        "select ticker, session_date, return_e12 * average_gain as beside "
        "from int_bars join int_smoothers using (ticker, session_date)",
        warm_up=0,
    )
    with warehouse(make_bars(n_sessions=190)) as conn:
        check_features(conn, _run(own_sql, ("return_1", "beside")), ["AAA", "BBB"])


@pytest.mark.parametrize("found", list(RARE))
def test_a_look_ahead_of_a_single_row_is_refused_by_its_text(
    warehouse: Any, make_bars: MakeBars, own_sql: Path, found: str
) -> None:
    rare = f"case when ticker = 'AAA' and bar_number = 70 then {RARE[found]} else 0 end"
    _write(own_sql, "rare", _column("rare", rare))
    with (
        warehouse(make_bars(n_sessions=190)) as conn,
        pytest.raises(SnapshotError, match=rf"rare\.sql: found .*{re.escape(found)}.*looks ahead"),
    ):
        check_features(conn, _run(own_sql, ("rare",)), ["AAA", "BBB", "CCC"])


SO_FAR = "over (partition by ticker order by session_date)"
WINDOW_21 = (
    "avg(close_e12) over (partition by ticker order by session_date "
    "rows between 20 preceding and current row) / 1e12"
)
SHORT_MEMORY = {
    "of_21_bars": (WINDOW_21, 18),
    "since_the_start": (f"close / first(close) {SO_FAR}", 90),
    "counted": (f"row_number() {SO_FAR} / 1e3", 5),
    "summed": (f"sum(close_e12) {SO_FAR}::double / 1e18", 200),
}


@pytest.mark.parametrize("name", list(SHORT_MEMORY))
def test_the_check_refuses_a_warm_up_that_is_too_short(
    warehouse: Any, make_bars: MakeBars, own_sql: Path, name: str
) -> None:
    expression, warm_up = SHORT_MEMORY[name]
    _write(own_sql, name, _column(name, expression), warm_up)
    with (
        warehouse(make_bars(n_sessions=30)) as conn,
        pytest.raises(SnapshotError, match=rf"{name} \(\d+ rows\).*warm_up"),
    ):
        check_sql(conn, _run(own_sql, ("index_relation_60", name)))


def test_the_check_passes_a_warm_up_that_is_enough(
    warehouse: Any, make_bars: MakeBars, own_sql: Path
) -> None:
    _write(own_sql, "window_21", _column("window_21", WINDOW_21), 20)
    with warehouse(make_bars(n_sessions=30)) as conn:
        check_sql(conn, _run(own_sql, ("window_21",)))


def test_the_check_refuses_a_feature_that_reads_other_tickers(
    warehouse: Any, make_bars: MakeBars, own_sql: Path
) -> None:
    rank = "rank() over (partition by session_date order by close)"
    _write(own_sql, "ranked", _column("ranked", rank), 0)
    with (
        warehouse(make_bars(n_sessions=30)) as conn,
        pytest.raises(SnapshotError, match=r"ranked \(\d+ rows\).*share a batch"),
    ):
        check_sql(conn, _run(own_sql, ("ranked",)))


def test_the_shipped_features_pass_and_are_checked_once(
    warehouse: Any, make_bars: MakeBars, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(SQL_DIR, FeatureParams().names)
    with warehouse(make_bars(n_sessions=190)) as conn:
        check_features(conn, run, ["AAA", "BBB", "CCC"])
        monkeypatch.setattr(feature_checks, "check_sql", lambda *_: pytest.fail("checked again"))
        check_features(conn, run, ["AAA", "BBB", "CCC"])
        other = replace(run, params=FeatureParams(names=run.sql.names, z_window=50))
        with pytest.raises(pytest.fail.Exception, match="checked again"):
            check_features(conn, other, ["AAA"])
