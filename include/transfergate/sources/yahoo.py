"""Daily bars from Yahoo Finance, through the ``yfinance`` library, for people with internet.

Yahoo's prices are adjusted for splits already, its adjusted close for dividends too; a later split
or dividend rewrites all of them, which arrives here as new revisions of every earlier bar.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transfergate.errors import SourceError, SourceUnavailable
from transfergate.progress import Progress
from transfergate.settings import YahooParams
from transfergate.sources.base import BarsOnly, bars_table
from transfergate.storage import ArtefactStore, content_hash
from transfergate.storage.bars import parquet_bytes

log = logging.getLogger(__name__)

_EARLIEST = date(1900, 1, 1)
_COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
}


class Clock(Protocol):
    """What pacing needs of ``time``."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Wait."""
        ...


class YahooSource(BarsOnly):
    """The tickers that the settings name, one request each, no faster than allowed.

    Each ticker's answer is kept in ``kept`` until the day ends, so that a fetch that was
    interrupted, or refused half-way, goes on where it stopped. A ticker that Yahoo does not have
    contributes no row and is named in the log.
    """

    name = "yahoo"
    lists_all = False

    def __init__(
        self,
        names: Sequence[str],
        params: YahooParams,
        kept: Path,
        session: Any = None,
        clock: Clock = time,
    ) -> None:
        self.names = tuple(sorted(set(names)))
        self.params = params
        self.kept = ArtefactStore(kept)
        self.session = session
        self.clock = clock
        self._next_request = clock.monotonic()

    def tickers(self) -> tuple[str, ...]:
        """The tickers of the universe; Yahoo itself has no list."""
        if not self.names:
            raise SourceError(
                "source 'yahoo': its universe names no ticker, expected at least one, since Yahoo "
                "has no list of all: name tickers, or set sources.yahoo.universe.sources and "
                '.targets, for example ["AAPL", "MSFT"] and ["GOOG"]'
            )
        return self.names

    def fetch(self, tickers: Sequence[str], start: date | None, end: date | None) -> pa.Table:
        """One block of rows per ticker, in order of their names."""
        wanted = sorted(set(tickers))
        tables = [bars_table(pd.DataFrame({"session_date": pd.to_datetime([])}))]
        progress = Progress("fetched from Yahoo", len(wanted), "tickers")
        for done, ticker in enumerate(progress.over(wanted)):
            key = self._key(ticker, start, end)
            if not self.kept.exists(key):
                with _explained(ticker, done, len(wanted)):
                    frame = self._ask(ticker, start, end)
                self.kept.replace(key, parquet_bytes(bars_table(frame)))
            tables.append(pq.read_table(io.BytesIO(self.kept.read(key))))
        self._forget_older_days()
        return pa.concat_tables(tables)

    def _key(self, ticker: str, start: date | None, end: date | None) -> str:
        # Asked again on another day, the same question has another answer.
        return f"{_today()}/{content_hash(ticker, str(start), str(end))}.parquet"

    def _forget_older_days(self) -> None:
        for key in list(self.kept.keys("")):
            if not key.startswith(f"{_today()}/"):
                self.kept.discard(key)

    def _ask(self, ticker: str, start: date | None, end: date | None) -> pd.DataFrame:
        from yfinance.exceptions import YFPricesMissingError, YFTzMissingError

        wait = self.params.first_wait_seconds
        for attempt in range(1, self.params.max_attempts + 1):
            self._pace()
            try:
                return _frame(ticker, self._history(ticker, start, end))
            except (YFPricesMissingError, YFTzMissingError) as error:
                log.warning("yahoo has no bars of %s: %s", ticker, error)
                return pd.DataFrame({"session_date": pd.to_datetime([])})
            except _passing() as error:
                if attempt == self.params.max_attempts:
                    raise
                log.warning(
                    "%s: attempt %d failed (%s); again in %g s", ticker, attempt, error, wait
                )
                self.clock.sleep(wait)
                wait *= 2
        raise AssertionError("max_attempts is at least 1")

    def _pace(self) -> None:
        now = self.clock.monotonic()
        if now < self._next_request:
            self.clock.sleep(self._next_request - now)
        self._next_request = max(now, self._next_request) + 60.0 / self.params.requests_per_minute

    def _history(self, ticker: str, start: date | None, end: date | None) -> pd.DataFrame:
        import yfinance
        from yfinance.config import YfConfig

        yfinance.set_tz_cache_location(str(self.kept.path("time_zones")))
        YfConfig.debug.hide_exceptions = False
        asked: dict[str, Any] = {"period": "max"}
        if start is not None or end is not None:
            asked = {"start": start or _EARLIEST}
            if end is not None:
                asked["end"] = end + timedelta(days=1)  # Yahoo leaves the end out
        history: pd.DataFrame = yfinance.Ticker(ticker, session=self.session).history(
            interval="1d", auto_adjust=False, actions=False, keepna=True, timeout=30, **asked
        )
        return history


def _frame(ticker: str, history: pd.DataFrame) -> pd.DataFrame:
    frame = history.rename(columns=_COLUMNS)[[*_COLUMNS.values()]].astype("float64")
    # The index is midnight in the exchange's own time zone.
    days = pd.DatetimeIndex(history.index).tz_localize(None).normalize()
    return frame.assign(ticker=ticker, session_date=days.astype("datetime64[us]"))


def _passing() -> tuple[type[Exception], ...]:
    """What may be over later; a ValueError is an answer that is no JSON, a page of excuses."""
    from yfinance.exceptions import YFRateLimitError

    return YFRateLimitError, OSError, ValueError


@contextmanager
def _explained(ticker: str, done: int, wanted: int) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SourceError(
            "source 'yahoo' needs the yfinance library, which is not installed: "
            "pip install 'transfergate[yahoo]'"
        ) from error
    except Exception as error:
        raise (SourceUnavailable if isinstance(error, _passing()) else SourceError)(
            f"source 'yahoo': {ticker} could not be had ({error}); {done} of {wanted} tickers are "
            f"kept: run the same again to go on from there"
        ) from error


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
