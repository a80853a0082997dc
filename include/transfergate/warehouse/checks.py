"""Relational checks of a batch, in SQL over an in-memory DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from transfergate.storage.bars import BAR_SCHEMA


def derive_checks(bars: pa.Table, sessions: Sequence[date], sql_dir: Path) -> pd.DataFrame:
    """Describe each row of a batch by what it is next to the others and the calendar.

    Args:
        bars: A batch in the bars' schema; row ``i`` gets ``row_id`` ``i``.
        sessions: The exchange's sessions, at least over the batch's dates.
        sql_dir: Its ``checks/bar_checks.sql`` holds the query and defines the columns.

    Returns:
        One row per row of ``bars``, in their order: ``row_id``, the bar's columns, then
        ``off_calendar, copy_number, high_defect, low_defect, adjusted_return,
        missing_sessions, sessions_behind, split_ratio``.
    """
    numbered = bars.append_column("row_id", pa.array(range(bars.num_rows), pa.int64()))
    calendar = pa.table({"session_date": pa.array(list(sessions), pa.date32())})
    query = (sql_dir / "checks" / "bar_checks.sql").read_text(encoding="utf-8")
    with duckdb.connect(":memory:") as conn:
        conn.execute("set threads = 1")
        conn.register("received", numbered.select(["row_id", *BAR_SCHEMA.names]))
        conn.register("sessions", calendar)
        frame: pd.DataFrame = conn.sql(query).df()
    return frame
