from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import pyarrow as pa

from transfergate.calendars import exchange_sessions
from transfergate.settings import PROJECT_ROOT, SyntheticParams
from transfergate.sources import SyntheticSource
from transfergate.sources.base import bars_table
from transfergate.warehouse import checks, derive_checks


def test_checks_in_portions_of_tickers_say_what_checks_of_the_whole_batch_say(monkeypatch):
    source = SyntheticSource(SyntheticParams(n_sessions=120, n_sources=9))
    frame = source.fetch(source.tickers(), None, None).to_pandas()
    frame.loc[5, "ticker"] = None
    frame.loc[700, ["open", "high", "low", "close"]] *= 3
    # A ticker that ends early is behind the last session of all, whatever portion it is in.
    bars = bars_table(frame.drop(index=range(470, 480)))
    sessions = exchange_sessions("XNYS", date(2015, 1, 1), date(2020, 12, 31))
    whole = derive_checks(bars, sessions, PROJECT_ROOT / "sql")
    assert whole["sessions_behind"].max() == 10
    monkeypatch.setattr(checks, "_PORTION_ROWS", 200)
    portions = derive_checks(bars, sessions, PROJECT_ROOT / "sql")
    pd.testing.assert_frame_equal(portions, whole)


def test_bars_of_some_tickers_are_found_wherever_they_lie():
    names = ["B", "A", "B", "C", "A"]
    prices = {name: [1.0, 2.0, 3.0, 4.0, 5.0] for name in ("open", "close", "adj_close")}
    days = pa.array([date(2020, 1, 2)] * 5, pa.date32())
    columns = {"ticker": names, "session_date": days, **prices, "held": [False] * 5}
    history = checks.History(pa.table(columns))
    for table in (history, replace(history, bars=history.bars.sort_by("ticker"))):
        found = table.bars_of(["A", None, "D", "C"])
        assert sorted(found["close"].to_pylist()) == [2.0, 4.0, 5.0]
        assert found.schema == history.bars.schema
    assert checks.History().bars_of(["A"]).num_rows == 0
