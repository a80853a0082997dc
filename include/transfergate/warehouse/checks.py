"""Relational checks of a batch against itself and against the warehouse, in SQL in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.storage.bars import ACTION_SCHEMA, INSTRUMENT_SCHEMA, SYMBOL_SCHEMA
from transfergate.storage.landing import Reference
from transfergate.warehouse.batch_bars import ticker_spans
from transfergate.warehouse.instruments import read_instruments

_HISTORY_SCHEMA = pa.schema(
    [
        ("ticker", pa.string()),
        ("session_date", pa.date32()),
        *((name, pa.float64()) for name in ("open", "close", "adj_close")),
        ("held", pa.bool_()),
    ]
)
_BARS_BEFORE = 64  # as many as the noise of a ticker is measured on, and one
_BARS_AFTER = 2
_PORTION_ROWS = 250_000
_TICKERS_AT_ONCE = 100
_RELATIONS = ("bars_described", "bar_lines", "bars_compared", "bar_jumps", "suspected_splits")
# Each is built by the file of its name in sql/checks, from those before it.


@dataclass(frozen=True)
class History:
    """What the warehouse knows around a batch.

    Attributes:
        bars: ``ticker, session_date, open, close, adj_close`` of current bars, and ``held``: true
            for a bar that waits in quarantine as a suspected split.
        actions: Current splits and dividends, those of the batch included.
        instruments: Current instruments, those of the batch included.
        symbols: The map that gave the batch's tickers.
        retracted: Splits on file that the batch takes back, where bars stand on both sides:
            ticker, effect date, new shares per old.
    """

    bars: pa.Table = field(default_factory=_HISTORY_SCHEMA.empty_table)
    actions: pa.Table = field(default_factory=ACTION_SCHEMA.empty_table)
    instruments: pa.Table = field(default_factory=INSTRUMENT_SCHEMA.empty_table)
    symbols: pa.Table = field(default_factory=SYMBOL_SCHEMA.empty_table)
    retracted: tuple[tuple[str, date, float], ...] = ()

    @property
    def days(self) -> tuple[date, ...]:
        """First and last session of its bars; empty without bars."""
        ends = pc.min_max(self.bars["session_date"]).as_py()
        return (ends["min"], ends["max"]) if self.bars.num_rows else ()

    def bars_of(self, tickers: Iterable[str | None]) -> pa.Table:
        """Bars of some tickers, without a look at those of the others."""
        parts = [self._spans[ticker] for ticker in tickers if ticker in self._spans]
        slices = [self._sorted.slice(part.start, part.stop - part.start) for part in parts]
        return pa.concat_tables([self.bars.schema.empty_table(), *slices])

    @cached_property
    def _sorted(self) -> pa.Table:
        names = self.bars["ticker"]
        together = sum(1 for _ in ticker_spans(names)) == len(pc.unique(names))
        return self.bars if together else self.bars.sort_by("ticker")

    @cached_property
    def _spans(self) -> dict[str | None, slice]:
        return dict(ticker_spans(self._sorted["ticker"]))


def read_history(
    conn: duckdb.DuckDBPyConnection, source: str, bars: pa.Table, reference: Reference
) -> History:
    """Read what a batch is to be compared with: bars around it, and actions on file.

    Args:
        conn: The warehouse; only read.
        source: Of the batch.
        bars: The batch; ``ticker`` and ``session_date`` are read.
        reference: What came with it; its actions and instruments go over those on file.

    Returns:
        Of each ticker of the batch the bars from 64 before its first session to 2 after its last.
    """
    conn.register("batch_rows", bars.select(["ticker", "session_date"]))
    conn.register("batch_actions", reference.actions.select(ACTION_SCHEMA.names))
    try:
        around = _around(conn, source)
        actions = conn.sql(_ACTIONS, params={"source": source}).to_arrow_table()
        retracted = conn.execute(_RETRACTED, {"source": source}).fetchall()
    finally:
        conn.unregister("batch_rows")
        conn.unregister("batch_actions")
    instruments = read_instruments(conn, source, reference)
    history = History(around, actions.cast(ACTION_SCHEMA), instruments)
    return replace(history, retracted=tuple(tuple(row) for row in retracted))


def _around(conn: duckdb.DuckDBPyConnection, source: str) -> pa.Table:
    # A range of tickers at a time, so that memory does not grow with what is on file.
    conn.execute(f"create or replace temp table batch_spans as {_SPANS}")
    names = [str(row[0]) for row in conn.execute("select ticker from batch_spans").fetchall()]
    found = [_HISTORY_SCHEMA.empty_table()]
    for start in range(0, len(names), _TICKERS_AT_ONCE):
        part = names[start : start + _TICKERS_AT_ONCE]
        asked = {"source": source, "from": part[0], "to": part[-1]}
        counts = {"before": _BARS_BEFORE, "after": _BARS_AFTER}
        rows = conn.sql(_AROUND, params={**asked, **counts}).to_arrow_table()
        found.append(rows.cast(_HISTORY_SCHEMA))
    conn.execute("drop table batch_spans")
    return pa.concat_tables(found)


def derive_checks(
    bars: pa.Table,
    sessions: Sequence[date],
    sql_dir: Path,
    history: History | None = None,
    last_session: date | None = None,
) -> pd.DataFrame:
    """Describe each row of a batch by what it is next to the others, the warehouse, the calendar.

    Args:
        bars: A batch with the bars' columns and perhaps more; row ``i`` gets ``row_id`` ``i``.
        sessions: The exchange's sessions, at least over the dates of the batch and its history.
        sql_dir: Its ``checks/bar_checks.sql`` defines the columns, after the files that it names.
        history: What ``read_history`` returned; None for nothing known.
        last_session: The last of the whole batch, of which ``bars`` is a portion; None for that
            of ``bars``.

    Returns:
        One row per row of ``bars``, in their order: ``row_id``, the columns of ``bars``, then
        ``off_calendar, copy_number, high_defect, low_defect, adjusted_return`` and
        ``missing_sessions`` (to the bar before, the last loaded one included), ``sessions_behind``,
        ``vanished`` (bars on file just before this one that the batch lacks), ``split_ratio`` (new
        shares per old, at a jump that no action explains), ``suspected_split`` (the row is at or
        after such a jump, or after one that waits in quarantine) and ``spike`` (far off for one bar
        only).
    """
    known = history or History()
    numbered = bars.append_column("row_id", pa.array(range(bars.num_rows), pa.int64()))
    numbered = numbered.select(["row_id", *bars.column_names])
    days = sorted(sessions)
    calendar = pa.table(
        {
            "session_date": pa.array(days, pa.date32()),
            "session_number": pa.array(range(1, len(days) + 1), pa.int64()),
        }
    )
    queries = {
        name: (sql_dir / "checks" / f"{name}.sql").read_text(encoding="utf-8")
        for name in (*_RELATIONS, "bar_checks")
    }
    frames = []
    with duckdb.connect(":memory:") as conn:
        conn.execute("set threads = 1")
        conn.execute((sql_dir / "staging" / "43_action_factor.sql").read_text(encoding="utf-8"))
        conn.register("sessions", calendar)
        for tickers in _portions(bars["ticker"]):
            conn.register("received", _of(numbered, tickers))
            names = bars["ticker"].unique() if tickers is None else tickers
            conn.register("loaded", known.bars_of(names.to_pylist()))
            conn.register("actions", _of(known.actions, tickers))
            for name in _RELATIONS:
                conn.execute(f"create or replace temp table {name} as\n{queries[name]}")
            frames.append(conn.sql(queries["bar_checks"]).df())
    frame = pd.concat(frames).sort_values("row_id", ignore_index=True)
    last = frame.pop("last_number")
    end = last.max() if last_session is None else bisect_right(days, last_session)
    described: pd.DataFrame = frame.assign(sessions_behind=(end - last).fillna(0).astype("int64"))
    return described


def _portions(tickers: pa.ChunkedArray) -> list[pa.Array | None]:
    # Tickers of about _PORTION_ROWS rows together, so that memory does not grow with the batch;
    # None for all of them. Rows without a ticker go with the first.
    if len(tickers) <= _PORTION_ROWS:
        return [None]
    counts = sorted((str(i["values"]), i["values"], i["counts"])
                    for i in pc.value_counts(tickers).to_pylist())  # fmt: skip
    portions: list[list[str | None]] = [[None]]
    rows = 0
    for _, ticker, count in counts:
        if rows + count > _PORTION_ROWS and rows:
            portions.append([])
            rows = 0
        if ticker is not None:
            portions[-1].append(ticker)
        rows += count
    return [pa.array(portion, pa.string()) for portion in portions]


def _of(rows: pa.Table, tickers: pa.Array | None) -> pa.Table:
    return rows if tickers is None else rows.filter(pc.is_in(rows["ticker"], tickers))


_SPANS = """
select ticker::varchar as ticker, min(session_date) as first, max(session_date) as last
from batch_rows where ticker is not null and session_date is not null group by all order by all
"""
_AROUND = """
with spans as (from batch_spans where ticker between $from and $to),
current_bars as (
    select bar.ticker, bar.session_date, bar.open, bar.close, bar.adj_close, first, last,
        row_number() over (partition by bar.ticker order by bar.session_date) as bar_number
    from bars_as_of($source, 'infinity'::timestamptz) as bar inner join spans using (ticker)
    where bar.ticker between $from and $to
),
bounds as (
    select ticker, count(*) filter (session_date < first) as before,
        count(*) filter (session_date <= last) as until
    from current_bars group by ticker
),
held as (
    select row.ticker, row.session_date, row.open, row.close, row.adj_close
    from quarantine as row
    inner join batches using (batch_id)
    inner join spans on row.ticker = spans.ticker
    where row.source = $source and row.ticker between $from and $to
        and list_contains(row.reasons, 'suspected_split') and row.session_date <= last
    qualify row_number() over (
        partition by row.ticker, row.session_date order by batches.known_at desc
    ) = 1
)
select ticker, session_date, open, close, adj_close, false as held
from current_bars inner join bounds using (ticker)
where bar_number between before - $before + 1 and until + $after
union all
select ticker, session_date, open, close, adj_close, true
from held anti join current_bars using (ticker, session_date)
order by ticker, session_date
"""
_ACTIONS = """
select ticker, effect_date, kind, value
from (
    select ticker, effect_date, kind, value, 1 as priority from batch_actions
    union all
    select ticker, effect_date, kind, value, 0
    from actions_as_of($source, 'infinity'::timestamptz)
)
where ticker in (select ticker::varchar from batch_rows)
qualify row_number() over (partition by ticker, effect_date, kind order by priority desc) = 1
    and value is not null
order by all
"""
_RETRACTED = """
select gone.ticker, gone.effect_date, stored.value
from batch_actions as gone
inner join actions_as_of($source, 'infinity'::timestamptz) as stored
    using (ticker, effect_date, kind)
where gone.kind = 'split' and gone.value is null and stored.value <> 1
    and exists (
        from bar_revisions as bar where bar.source = $source and bar.ticker = gone.ticker
        and bar.session_date < gone.effect_date
    )
    and exists (
        from bar_revisions as bar where bar.source = $source and bar.ticker = gone.ticker
        and bar.session_date >= gone.effect_date
    )
order by all
"""
