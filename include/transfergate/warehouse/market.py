"""The returns that tickers are related to, kept as sums, so that a change costs what it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from transfergate.settings import WarehouseParams
from transfergate.warehouse.batch_bars import (
    FeatureRun,
    TickerPlan,
    feature_worker,
    keep_bars,
)
from transfergate.warehouse.batches import KeptBatch, cut_batches, in_parallel
from transfergate.warehouse.features import (
    MARKET_SCHEMA,
    market_sums,
    set_market,
)
from transfergate.warehouse.snapshot_files import BaseSnapshot

_ADDED_UP = """
select
    index_ticker,
    session_date,
    sum(bars)::bigint as bars,
    sum(return_count)::bigint as return_count,
    sum(total_e12)::decimal(38, 0) as total_e12
from market_parts
group by index_ticker, session_date
having sum(bars) > 0 or sum(return_count) > 0
order by index_ticker, session_date
"""
_FIRST_DIFFERENCES = """
select index_ticker, min(session_date)
from returns_then
full outer join int_index_returns as returns_now using (index_ticker, session_date)
where returns_then.index_return_e12 is distinct from returns_now.index_return_e12
group by index_ticker
"""


def whole_market(
    conn: DuckDBPyConnection,
    run: FeatureRun,
    resources: WarehouseParams,
    bars: Mapping[str, int],
    is_index: Callable[[str], bool],
    folder: Path,
) -> tuple[pa.Table, list[KeptBatch]]:
    """Add up the returns of all tickers, and keep the adjusted bars that this took.

    Args:
        conn: The warehouse.
        run: The run.
        resources: Threads and the size of batches.
        bars: Ticker -> about how many bars it has.
        is_index: Whether a series is no part of the mean, and not published.
        folder: Where bars are kept, a file a batch, until their features are computed.

    Returns:
        The sums in ``MARKET_SCHEMA``, and the batches of published tickers.
    """
    plans = [TickerPlan(ticker, is_index=is_index(ticker)) for ticker in sorted(bars)]
    parts, batches = _kept_sums(conn, run, resources, plans, bars, folder)
    with feature_worker(conn, run) as worker:
        return _added_up(worker, parts), batches


def changed_market(
    conn: DuckDBPyConnection,
    run: FeatureRun,
    resources: WarehouseParams,
    bars: Mapping[str, int],
    is_index: Callable[[str], bool],
    base: BaseSnapshot,
    base_as_of: datetime,
    changed: Mapping[str, date],
    bars_needed: int,
    folder: Path,
) -> tuple[pa.Table, dict[str, date], list[KeptBatch]]:
    """Add to the sums of a base what changed tickers add now, less what they added then.

    Args:
        conn: The warehouse.
        run: The run.
        resources: Threads and the size of batches.
        bars: Ticker -> about how many bars it has.
        is_index: Whether a series is no part of the mean, and not published.
        base: Where the sums start from.
        base_as_of: The moment that it stands for.
        changed: Ticker -> first session whose bars differ.
        bars_needed: Bars before a row that its scores depend on.
        folder: Where bars are kept, a file a batch, until their features are computed.

    Returns:
        The sums; index ('' for the mean) -> first session whose return differs from the base's,
        where one does; and the batches of changed published tickers.
    """
    plans = [
        replace(base.plan(ticker, day, bars_needed), is_index=is_index(ticker))
        for ticker, day in sorted(changed.items())
    ]
    now, batches = _kept_sums(conn, run, resources, plans, bars, folder)
    moved = [
        plan
        for plan in plans
        if plan.is_index or base.has_rows_from(plan.ticker, changed[plan.ticker])
    ]
    then = _sums(conn, replace(run, as_of=base_as_of), resources, moved, bars)
    with feature_worker(conn, run) as worker:
        market = _added_up(worker, [base.market, *now, *map(_negative, then)])
        set_market(worker, run, base.market)
        worker.execute("create temp table returns_then as from int_index_returns")
        set_market(worker, run, market)
        days: dict[str, date] = dict(worker.execute(_FIRST_DIFFERENCES).fetchall())
    return market, days, batches


def _kept_sums(
    conn: DuckDBPyConnection,
    run: FeatureRun,
    resources: WarehouseParams,
    plans: Sequence[TickerPlan],
    bars: Mapping[str, int],
    folder: Path,
) -> tuple[list[pa.Table], list[KeptBatch]]:
    def sums(batch: list[TickerPlan]) -> tuple[pa.Table, KeptBatch]:
        published = [plan for plan in batch if not plan.is_index]
        file = folder / f"{batch[0].ticker.encode().hex()}.arrow"
        with feature_worker(conn, run) as worker:
            found = market_sums(worker, run, batch)
            keep_bars(worker, file)
        return found, KeptBatch(published, file)

    done = in_parallel(sums, cut_batches(plans, bars, resources), resources.threads)
    return [part for part, _ in done], [batch for _, batch in done if batch.plans]


def _sums(
    conn: DuckDBPyConnection,
    run: FeatureRun,
    resources: WarehouseParams,
    plans: Sequence[TickerPlan],
    bars: Mapping[str, int],
) -> list[pa.Table]:
    def sums(batch: list[TickerPlan]) -> pa.Table:
        with feature_worker(conn, run) as worker:
            return market_sums(worker, run, batch)

    return in_parallel(sums, cut_batches(plans, bars, resources), resources.threads)


def _added_up(conn: DuckDBPyConnection, parts: Sequence[pa.Table]) -> pa.Table:
    conn.register("market_parts", pa.concat_tables(parts))
    return conn.sql(_ADDED_UP).to_arrow_table().cast(MARKET_SCHEMA)


def _negative(part: pa.Table) -> pa.Table:
    keys = ("index_ticker", "session_date")
    columns = {
        name: part[name] if name in keys else pc.negate(part[name]) for name in part.column_names
    }
    return pa.table(columns).cast(MARKET_SCHEMA)
