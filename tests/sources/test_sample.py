from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from transfergate.errors import SourceError
from transfergate.settings import SourceParams
from transfergate.sources import open_source
from transfergate.storage.bars import BAR_SCHEMA, parquet_bytes


def test_sample_has_the_real_bars_of_both_packages():
    source = open_source(SourceParams(kind="sample"))
    bars = source.fetch(source.tickers(), None, None)
    assert bars.schema == BAR_SCHEMA
    counts = bars.to_pandas().groupby("ticker").size().to_dict()
    assert counts == {
        "AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270,
        "^GSPC": 5031, "^IXIC": 5031,
    }  # fmt: skip


def test_sample_keeps_prices_as_traded_beside_the_adjusted_close():
    source = open_source(SourceParams(kind="sample"))
    row = source.fetch(["AAPL"], date(2000, 3, 1), date(2000, 3, 1)).to_pylist()[0]
    assert (row["open"], row["close"], row["volume"]) == (118.56, 130.31, 9_616_100.0)
    assert row["adj_close"] == pytest.approx(4.186662803811)
    assert row["currency"] == "USD"


def test_a_fetch_is_the_same_bytes_every_time_and_honours_its_range():
    first, again = (open_source(SourceParams(kind="sample")) for _ in range(2))
    asked = (["IBM", "^IXIC"], date(2005, 1, 3), date(2005, 1, 5))
    bars = first.fetch(*asked)
    assert bars.num_rows == 6
    assert parquet_bytes(bars) == parquet_bytes(again.fetch(*reversed_tickers(asked)))


def reversed_tickers(asked):
    return asked[0][::-1], *asked[1:]


def test_unknown_tickers_are_named_with_what_there_is():
    with pytest.raises(SourceError, match=r"no bars for NOPE.*AAPL, FB, GOOG"):
        open_source(SourceParams(kind="sample")).fetch(["AAPL", "NOPE"], None, None)


def test_reading_the_sample_imports_neither_package():
    code = (
        "import sys; from transfergate.settings import SourceParams; "
        "from transfergate.sources import open_source; "
        "s = open_source(SourceParams(kind='sample')); s.fetch(s.tickers(), None, None); "
        "sys.exit(any(n.split('.')[0] in ('bokeh', 'bokeh_sampledata', 'arch') "
        "for n in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
