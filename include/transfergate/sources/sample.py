"""Real daily bars that come with two pip packages: no key, no network.

``bokeh_sampledata`` (BSD-3-Clause): AAPL, IBM, MSFT 2000-03-01 to 2013-03-01, GOOG from 2004-08-19,
FB from 2012-05-18; prices as traded, with an adjusted close. ``arch`` (NCSA): the S&P 500
(``^GSPC``) and the NASDAQ composite (``^IXIC``), 1999 to 2018. The packages' files are read; the
packages are not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa

from transfergate.errors import SourceError
from transfergate.sources.base import BarsOnly, bars_table, require_known, within

_RENAMED = {
    "Ticker": "ticker",
    "Date": "session_date",
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Volume": "volume",
    "Adj Close": "adj_close",
}
_INDICES = {"^GSPC": "sp500", "^IXIC": "nasdaq"}
_TICKERS = ("AAPL", "FB", "GOOG", "IBM", "MSFT", "^GSPC", "^IXIC")


class SampleSource(BarsOnly):
    """Five shares and two indices, all in US dollars."""

    name = "sample"

    def tickers(self) -> tuple[str, ...]:
        """The seven series, sorted."""
        return _TICKERS

    def fetch(self, tickers: Sequence[str], start: date | None, end: date | None) -> pa.Table:
        """Bars as the packages have them, by ticker, then in the file's order."""
        require_known(self.name, tickers, _TICKERS)
        frames = [
            self._index(ticker) if ticker in _INDICES else self._share(ticker)
            for ticker in sorted(set(tickers))
        ]
        frame = pd.concat(frames, ignore_index=True).assign(currency="USD")
        return bars_table(within(frame, start, end))

    @cached_property
    def _shares(self) -> pd.DataFrame:
        path = _packaged("bokeh_sampledata", "2026.1", "_data/stocks.csv.gz")
        return _read(path, "%Y-%m-%d")

    def _share(self, ticker: str) -> pd.DataFrame:
        return self._shares[self._shares["ticker"] == ticker]

    @staticmethod
    def _index(ticker: str) -> pd.DataFrame:
        name = _INDICES[ticker]
        path = _packaged("arch", "8.0.0", f"data/{name}/{name}.csv.gz")
        return _read(path, "%m/%d/%Y").assign(ticker=ticker)


def _packaged(package: str, version: str, name: str) -> Path:
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / name
        if path.is_file():
            return path
    raise SourceError(
        f"source 'sample': {package}/{name} is not installed; expected the package's data file: "
        f"pip install {package}=={version}, or name another source"
    )


def _read(path: Path, date_format: str) -> pd.DataFrame:
    frame = pd.read_csv(path).rename(columns=_RENAMED)
    return frame.assign(session_date=pd.to_datetime(frame["session_date"], format=date_format))
