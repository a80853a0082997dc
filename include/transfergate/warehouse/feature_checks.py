"""Refuse feature SQL that looks ahead, depends on more than it declares, or does more than select.

The checks judge the SQL, so they run once for each SQL and settings, on made-up bars and on the
source's longest histories.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from transfergate.errors import SnapshotError
from transfergate.storage import content_hash, json_bytes
from transfergate.warehouse.batch_bars import (
    STATES,
    FeatureRun,
    TickerPlan,
    create,
    feature_worker,
    read_bars,
    replace_table,
    set_batch,
)
from transfergate.warehouse.feature_safety import check_safe, check_windows
from transfergate.warehouse.features import (
    TickerFeatures,
    features_of_bars,
    market_of_bars,
    set_market,
)
from transfergate.warehouse.made_up_bars import made_up_bars

log = logging.getLogger(__name__)

_VERSION = 3
_TICKERS = 4
_BY_TICKER = Mapping[str, TickerFeatures]

_REAL_BARS = 1500
_LAST_BARS = """
from all_bars
qualify row_number() over (partition by ticker order by session_date desc) <= {bars}
order by ticker, session_date
"""
# Three quarters into the sessions, so that slow features are warm before it.
_CUT = "select quantile_disc(session_date, 0.75) as session_date from kept_bars"
_WORLDS = {
    "changed": """
        select * exclude (shock) replace (
            open * shock as open, high * shock as high, low * shock as low,
            close * shock as close, raw_close * shock as raw_close, volume * shock as volume
        )
        from (
            select *, case
                when session_date > (select session_date from leakage_cut)
                    then 1.2 + hash(ticker, session_date) % 1000 / 1000
                else 1
            end as shock
            from kept_bars
        )
        order by ticker, session_date
    """,
    "removed": """
        from kept_bars where session_date <= (select session_date from leakage_cut)
        order by ticker, session_date
    """,
}


def check_features(conn: DuckDBPyConnection, run: FeatureRun, tickers: Sequence[str]) -> None:
    """Check the feature SQL, unless this source's bars passed it before.

    Args:
        conn: The warehouse, in no transaction; notes that the checks passed.
        run: SQL, settings and source.
        tickers: Those that are published.

    Raises:
        SnapshotError: If a feature file is unsafe, knew later bars, depends on more earlier bars
            than it declares or on other tickers; names the file or the columns.
    """
    key = content_hash(
        run.sql.hash,
        json_bytes([_VERSION, run.params.z_window, run.params.z_clip, run.index]),
    )
    noted = {"source": run.source, "key": key}
    where = "where source = $source and checks_key = $key"
    if conn.execute(f"select count(*) from feature_checks {where}", noted).fetchall() != [(0,)]:
        return
    check_sql(conn, run)
    with feature_worker(conn, run) as worker:
        plans = [TickerPlan(ticker) for ticker in _longest(worker, run, tickers)]
        related = {run.own_indices.get(plan.ticker, run.index) for plan in plans}
        for name in sorted(related - {None, *(plan.ticker for plan in plans)}, key=str):
            plans.append(TickerPlan(str(name), is_index=name not in tickers))
        read_bars(worker, run, sorted(plans, key=lambda plan: plan.ticker))
        worker.execute("alter table int_adjusted_bars rename to all_bars")
        create(worker, "int_adjusted_bars", _LAST_BARS.format(bars=_REAL_BARS))
        _check_worlds(worker, run, plans)
    check_windows(conn, run.sql)
    conn.execute("insert into feature_checks values ($source, $key)", noted)
    log.info("feature SQL %s passed its checks", run.sql.hash)


def check_sql(conn: DuckDBPyConnection, run: FeatureRun) -> None:
    """Check the feature SQL on made-up bars: the same anywhere, without a source.

    Raises:
        SnapshotError: As ``check_features``.
    """
    check_safe(conn, run.sql)
    with feature_worker(conn, replace(run, index=None, own_indices={})) as worker:
        bars = made_up_bars(3 * (run.sql.warm_up + run.params.z_window) + 200)
        plans = [TickerPlan(str(ticker)) for ticker in sorted(set(bars["ticker"].to_pylist()))]
        set_batch(worker, run, plans)
        replace_table(worker, "int_adjusted_bars", bars)
        columns, expected = _check_worlds(worker, run, plans)
        everything = "from kept_bars order by ticker, session_date"
        set_market(worker, run, _market(worker, run, plans, everything))
        for plan in plans[:2]:
            _check_alone(worker, run, plan, columns, expected)
            _check_restarts(worker, run, plan.ticker, columns, expected)


def _check_worlds(
    conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan]
) -> tuple[tuple[str, ...], dict[str, TickerFeatures]]:
    conn.execute("alter table int_adjusted_bars rename to kept_bars")
    create(conn, "leakage_cut", _CUT)
    columns, expected = _features(conn, run, plans, "from kept_bars order by ticker, session_date")
    (cut,) = conn.execute("select session_date from leakage_cut").fetchall()[0]
    for name, world in _WORLDS.items():
        _, found = _features(conn, run, plans, world)
        _compare_up_to(cut, columns, expected, found, name)
    return columns, expected


def _features(
    conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan], world: str
) -> tuple[tuple[str, ...], dict[str, TickerFeatures]]:
    set_market(conn, run, _market(conn, run, plans, world))
    columns, found = features_of_bars(conn, run, plans)
    return columns, {item.ticker: item for item in found}


def _market(
    conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan], world: str
) -> pa.Table:
    set_batch(conn, run, plans)
    create(conn, "int_adjusted_bars", world)
    return market_of_bars(conn, run)


def _compare_up_to(
    cut: Any, columns: Sequence[str], expected: _BY_TICKER, found: _BY_TICKER, world: str
) -> None:
    none = TickerFeatures.none(len(columns))
    for kind in ("values_e12", "scores"):
        different = np.zeros(len(columns), int)
        for ticker, before in expected.items():
            rows = int(np.searchsorted(before.sessions, np.datetime64(cut, "D"), "right"))
            different += _different(before, found.get(ticker, none), kind, 0, 0, rows)
        if leaking := _named(columns, different):
            raise SnapshotError(
                f"{'z-scores' if kind == 'scores' else 'features'}: with the bars after {cut} "
                f"{world}, rows up to that session differ, expected not one bit: {leaking}; these "
                f"features look ahead. Nothing was published: let their SQL read only bars up to "
                f"the current one"
            )


def _check_alone(
    conn: DuckDBPyConnection,
    run: FeatureRun,
    plan: TickerPlan,
    columns: Sequence[str],
    expected: _BY_TICKER,
) -> None:
    if plan.ticker not in expected:
        return
    found = _of_one(conn, run, TickerPlan(plan.ticker))
    before = expected[plan.ticker]
    if wrong := _named(
        columns, _different(before, found, "values_e12", 0, 0, len(before.sessions))
    ):
        raise SnapshotError(
            f"features of {plan.ticker} differ when no other ticker is computed beside it, "
            f"expected not one bit: {wrong}; these features depend on which tickers share a batch. "
            f"Nothing was published: partition their windows by ticker, and read others only by "
            f"int_bars.index_return_e12"
        )


def _check_restarts(
    conn: DuckDBPyConnection,
    run: FeatureRun,
    ticker: str,
    columns: Sequence[str],
    expected: _BY_TICKER,
) -> None:
    if ticker not in expected or not expected[ticker].restart_points.num_rows:
        return
    before = expected[ticker]
    points = before.restart_points.to_pylist()
    for point in {0, len(points) // 2}:
        start = points[point]
        states = tuple(start[name] for name in STATES)
        first = int(start["bar_number"]) + 1
        found = _of_one(
            conn,
            run,
            TickerPlan(ticker, None, first, start["session_date"], first - 1, states=states),
        )
        different = np.zeros(len(columns), int)
        for name, file in zip(columns, _file_of(conn, run, columns), strict=True):
            row, warm_up = columns.index(name), run.sql.warm_ups[file]
            rows = len(before.sessions) - first - warm_up
            if rows > 0:
                every = _different(before, found, "values_e12", first + warm_up, warm_up, rows)
                different[row] = every[row]
        if wrong := _named(columns, different):
            raise SnapshotError(
                f"features of {ticker}, computed from bar {first} on, differ from those of the "
                f"whole history after the declared warm-up, expected not one bit: {wrong}; they "
                f"depend on more earlier bars than their files declare. Nothing was published: "
                f"raise '-- warm_up: N' there (a window of 21 bars needs 20), or bound their "
                f"windows"
            )


def _of_one(conn: DuckDBPyConnection, run: FeatureRun, plan: TickerPlan) -> TickerFeatures:
    set_batch(conn, run, [plan])
    create(
        conn,
        "int_adjusted_bars",
        "select kept_bars.* from kept_bars inner join feature_batch using (ticker) "
        "where session_date >= first_session order by ticker, session_date",
    )
    return features_of_bars(conn, run, [plan])[1][0]


def _different(
    before: TickerFeatures, now: TickerFeatures, kind: str, start: int, now_start: int, rows: int
) -> Any:
    """Per feature, how many rows differ by a bit; a missing row differs."""
    left, right = getattr(before, kind), getattr(now, kind)
    right = right[:, now_start : now_start + rows]
    n = right.shape[1]
    left = left[:, start : start + n]
    if kind == "scores":
        left, right = left.view(np.int32), right.view(np.int32)
        differ = left != right
    else:
        differ = (left != right) | (
            before.valid[:, start : start + n] != now.valid[:, now_start : now_start + n]
        )
    return differ.sum(axis=1) + (rows - n)


def _named(columns: Sequence[str], different: Any) -> str:
    return ", ".join(
        f"{name} ({count} rows)" for name, count in zip(columns, different, strict=True) if count
    )


def _file_of(conn: DuckDBPyConnection, run: FeatureRun, columns: Sequence[str]) -> list[str]:
    owner = {
        str(row[0]): name
        for name in run.sql.names
        for row in conn.execute(f"describe {name}").fetchall()
    }
    return [owner[column] for column in columns]


def _longest(conn: DuckDBPyConnection, run: FeatureRun, tickers: Sequence[str]) -> list[str]:
    rows = conn.execute(
        "select ticker from bar_revisions "
        "where source = $source and list_contains($tickers, ticker) "
        "and known_at <= $as_of::timestamptz group by ticker "
        "order by count(distinct session_date) desc, ticker limit $n",
        {
            "source": run.source,
            "tickers": list(tickers),
            "as_of": run.as_of.isoformat(),
            "n": _TICKERS,
        },
    ).fetchall()
    return [str(ticker) for (ticker,) in rows]
