from __future__ import annotations

from datetime import date

import pandas as pd

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
