"""The bars of a batch of tickers: which tickers, from which session on, known at which moment."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection, Error

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams
from transfergate.warehouse.feature_sql import FeatureSql

log = logging.getLogger(__name__)

STATES = (
    *("average_gain", "average_loss", "average_true_range"),
    *("ema_12", "ema_26", "macd_signal"),
)
"""Columns of ``int_smoothers`` from which the recursion starts again."""
_FIRST_DAY = date(1, 1, 1)
_BATCH_SCHEMA = pa.schema(
    [
        ("ticker", pa.string()),
        ("is_index", pa.bool_()),
        ("index_ticker", pa.string()),
        ("changed_from", pa.date32()),
        ("first_session", pa.date32()),
        ("first_bar_number", pa.int64()),
        ("first_close", pa.float64()),
        ("head_until", pa.date32()),
        *((name, pa.float64()) for name in STATES),
    ]
)
# bars_adjusted may read a ticker's whole history to adjust its last bar. Of a ticker that starts
# at a later bar it is shown what decides about that: its first days (the vendor's first factor),
# the days around each action, and the bars from the restart point on. Whether that was enough is
# seen there, see _NOT_THE_SAME.
_PART_OF_HISTORY = """
select bars.* replace (null::varchar as currency, null::varchar as batch_id)
from "{database}".main.bar_revisions as bars
inner join feature_batch as batch on bars.ticker = batch.ticker
where
    bars.ticker between getvariable('first_ticker') and getvariable('last_ticker')
    and bars.source = getvariable('source_name')
    -- Of most bars their day alone says that nothing asks for them.
    and (
        {any_action}
        or bars.session_date >= date '{first}'
        or bars.session_date < date '{head}'
    )
    and (
        bars.session_date >= batch.first_session
        or bars.session_date < batch.head_until
        or (bars.ticker, bars.session_date) in (select ticker, session_date from action_days)
    )
"""
_ACTION_DAYS = """
select distinct actions.ticker, (actions.effect_date + days.number::integer)::date as session_date
from "{database}".main.corporate_actions as actions
inner join feature_batch as batch on actions.ticker = batch.ticker
cross join range(-{days}, {days} + 1) as days (number)
where batch.first_session > date '0001-01-01' and actions.source = getvariable('source_name')
"""
_NEAR_DAYS = 10
_NOT_THE_SAME = """
select ticker
from feature_batch as batch
where first_session > date '0001-01-01' and (
    not exists (
        from int_adjusted_bars as bars
        where bars.ticker = batch.ticker
            and bars.session_date = batch.first_session and bars.close = batch.first_close
    )
    or ticker in (
        select ticker from batch_revisions
        group by ticker
        having count(*) filter (isfinite(adj_close / close)) not in (0, count(*))
    )
)
order by ticker
"""
_WHOLE_HISTORY = """
select bars.*
from "{database}".main.{table} as bars
inner join feature_batch as batch on bars.ticker = batch.ticker
where bars.ticker between getvariable('first_ticker') and getvariable('last_ticker')
"""


@dataclass(frozen=True)
class FeatureRun:
    """Which bars go through which SQL.

    Attributes:
        sql: The statements.
        params: ``z_window`` in sessions, ``z_clip`` in standard deviations.
        source: Bars of this source only; sources never mix.
        as_of: Bars known at that moment.
        index: The series to relate to; None for the mean of the day's tickers.
        own_indices: Ticker -> the series to relate it to, where its instrument names one.
    """

    sql: FeatureSql
    params: FeatureParams
    source: str
    as_of: datetime
    index: str | None = None
    own_indices: Mapping[str, str] = field(default_factory=dict)

    @property
    def index_tickers(self) -> list[str]:
        """Every series that a ticker may be related to, sorted."""
        return sorted({*self.own_indices.values(), *([self.index] if self.index else [])})


@dataclass(frozen=True)
class TickerPlan:
    """From where on a ticker is computed.

    Attributes:
        ticker: The ticker.
        changed_from: Session of the first row that is wanted; None for all.
        first_row: Bar number of that row.
        first_session: Session of the restart point; None to start with the first bar.
        first_bar_number: Bar number of the restart point.
        first_close: Adjusted close there, from which the adjustment is seen to be the same.
        head_until: End of the ticker's first days, which fix the adjustment of all others.
        states: Values of ``STATES`` at the restart point.
        is_index: Not part of the market's mean.
    """

    ticker: str
    changed_from: date | None = None
    first_row: int = 0
    first_session: date | None = None
    first_bar_number: int = 0
    first_close: float | None = None
    head_until: date | None = None
    states: tuple[float | None, ...] = (None,) * len(STATES)
    is_index: bool = False


@contextmanager
def feature_worker(conn: DuckDBPyConnection, run: FeatureRun) -> Iterator[DuckDBPyConnection]:
    """Open a further connection to the warehouse with the macros and variables of a run.

    Its temporary relations are its own: workers may run at the same time, and what they build is
    gone when they close.
    """
    worker = conn.cursor()
    try:
        begin(worker, run)
        yield worker
    finally:
        worker.close()


def begin(conn: DuckDBPyConnection, run: FeatureRun) -> None:
    """Set the macros and session variables of a run."""
    conn.execute(run.sql.text("macros"))
    conn.execute("set variable source_name = $source", {"source": run.source})
    conn.execute("set variable as_of = $moment::timestamptz", {"moment": run.as_of.isoformat()})
    conn.execute("set variable z_clip = $clip::double", {"clip": run.params.z_clip})
    conn.execute("set variable index_tickers = $names::varchar[]", {"names": run.index_tickers})


def set_batch(conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan]) -> None:
    """Build ``feature_batch``: what is wanted of which ticker, and what it is related to."""
    columns: list[Sequence[object]] = [
        [plan.ticker for plan in plans],
        [plan.is_index for plan in plans],
        [run.own_indices.get(plan.ticker, run.index or "") for plan in plans],
        [plan.changed_from or _FIRST_DAY for plan in plans],
        [plan.first_session or _FIRST_DAY for plan in plans],
        [plan.first_bar_number for plan in plans],
        [plan.first_close for plan in plans],
        [plan.head_until or _FIRST_DAY for plan in plans],
        *zip(*(plan.states for plan in plans), strict=True),
    ]
    arrays = map(pa.array, columns, _BATCH_SCHEMA.types)
    replace_table(conn, "feature_batch", pa.table(list(arrays), schema=_BATCH_SCHEMA))
    bounds = {"first_ticker": plans[0].ticker, "last_ticker": plans[-1].ticker}
    for name, value in bounds.items():
        conn.execute(f"set variable {name} = $value::varchar", {"value": value})


def read_bars(conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan]) -> None:
    """Fill ``feature_batch`` and ``int_adjusted_bars`` with the bars that the plans need.

    Temporary views stand before the warehouse's tables in this connection, so that
    ``bars_adjusted`` sees the batch only, and costs what the batch is.

    Args:
        conn: A worker's connection.
        run: The run.
        plans: The batch, sorted by ticker.
    """
    set_batch(conn, run, plans)
    (database,) = conn.execute("select current_database()").fetchall()[0]
    whole = {
        table: _WHOLE_HISTORY.format(database=database, table=table)
        for table in ("bar_revisions", "corporate_actions")
    }
    view = "create or replace temp view"
    conn.execute(f"{view} corporate_actions as {whole['corporate_actions']}")
    if all(plan.first_session is None for plan in plans):
        conn.execute(f"{view} bar_revisions as {whole['bar_revisions']}")
        create(conn, "int_adjusted_bars", run.sql.text("int_adjusted_bars"))
        return
    create(conn, "action_days", _ACTION_DAYS.format(database=database, days=_NEAR_DAYS))
    asked = {
        "any_action": bool(conn.execute("select 1 from action_days limit 1").fetchall()),
        "first": min(plan.first_session or _FIRST_DAY for plan in plans),
        "head": max(plan.head_until or _FIRST_DAY for plan in plans),
    }
    create(conn, "batch_revisions", _PART_OF_HISTORY.format(database=database, **asked))
    conn.execute(f"{view} bar_revisions as from batch_revisions")
    create(conn, "int_adjusted_bars", run.sql.text("int_adjusted_bars"))
    other = [str(row[0]) for row in conn.execute(_NOT_THE_SAME).fetchall()]
    if other:
        log.info("%d tickers need their whole history, such as %s", len(other), other[0])
        chosen = {"tickers": other}
        conn.execute("delete from batch_revisions where list_contains($tickers, ticker)", chosen)
        conn.execute(
            f"insert into batch_revisions {whole['bar_revisions']} "
            f"and list_contains($tickers, bars.ticker)",
            chosen,
        )
        create(conn, "int_adjusted_bars", run.sql.text("int_adjusted_bars"))


def keep_bars(conn: DuckDBPyConnection, file: Path) -> None:
    """Write ``int_adjusted_bars`` to a file that ``take_bars`` maps into memory."""
    bars = conn.sql("from int_adjusted_bars").to_arrow_table()
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, bars.schema) as writer:
        writer.write_table(bars)


def take_bars(
    conn: DuckDBPyConnection, run: FeatureRun, plans: Sequence[TickerPlan], file: Path
) -> None:
    """Fill ``feature_batch`` and ``int_adjusted_bars`` from what ``keep_bars`` wrote."""
    set_batch(conn, run, plans)
    with pa.memory_map(str(file)) as source:
        conn.register("int_adjusted_bars", pa.ipc.open_file(source).read_all())


def ticker_spans(tickers: pa.ChunkedArray) -> Iterator[tuple[str, slice]]:
    """Where each ticker lies in a sorted column of tickers."""
    if not len(tickers):
        return
    runs = pc.run_end_encode(tickers.combine_chunks())
    start = 0
    for ticker, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield ticker, slice(start, end)
        start = end


def ticker_slices(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Cut a table that is sorted by its column ``ticker`` into one slice for each."""
    for ticker, span in ticker_spans(table["ticker"]):
        yield ticker, table.slice(span.start, span.stop - span.start)


def create(conn: DuckDBPyConnection, relation: str, select: str, kind: str = "table") -> None:
    """Build a temporary relation (table or view) from a select; a failure names it."""
    with named_failure(relation):
        conn.execute(f"create or replace temp {kind} {relation} as\n{select}")


def replace_table(conn: DuckDBPyConnection, relation: str, table: pa.Table) -> None:
    """Build a temporary relation from an Arrow table."""
    conn.register("incoming_rows", table)
    conn.execute(f"create or replace temp table {relation} as from incoming_rows")
    conn.unregister("incoming_rows")


@contextmanager
def named_failure(relation: str) -> Iterator[None]:
    """Turn a failure of DuckDB into one that names the relation."""
    try:
        yield
    except Error as error:
        raise SnapshotError(
            f"relation {relation}: its SQL does not run on these bars: {error}; correct "
            f"{relation}.sql, or look for prices beyond 1e25 where a value is out of range"
        ) from error
