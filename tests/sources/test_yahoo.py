"""Hand-made answers in the shape of Yahoo's chart API, served on loopback to the real library."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
import requests
from requests.adapters import HTTPAdapter

from transfergate.errors import SourceError, SourceUnavailable
from transfergate.settings import SourceParams, YahooParams
from transfergate.sources import YahooSource, open_source
from transfergate.storage.bars import BAR_SCHEMA

NEW_YORK = ZoneInfo("America/New_York")
DAYS = [date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11), date(2024, 3, 12)]  # DST on the 10th
CLOSES = {"AAPL": [169.0, 170.73, 172.75, 173.23], "^GSPC": [5157.36, None, 5117.94, 5175.27]}


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Yahoo:
    """What the server answers, and what it was asked."""

    def __init__(self):
        self.asked = Counter()
        self.failures = {}

    def answer(self, ticker, query):
        self.asked[ticker] += 1
        failures = self.failures.get(ticker, [])
        if failures:
            return failures.pop(0)
        if ticker not in CLOSES:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, json.dumps({"chart": {"result": None, "error": error}})
        first, last = (int(query.get(name, ["0"])[0]) for name in ("period1", "period2"))
        opens = [datetime(d.year, d.month, d.day, 9, 30, tzinfo=NEW_YORK) for d in DAYS]
        kept = [
            (int(moment.timestamp()), close)
            for moment, close in zip(opens, CLOSES[ticker], strict=True)
            if not last or first <= moment.timestamp() < last
        ]
        closes = [close for _, close in kept]
        quote = {
            "open": [close and close - 1 for close in closes],
            "high": [close and close + 1 for close in closes],
            "low": [close and close - 2 for close in closes],
            "close": closes,
            "volume": [close and 1000 for close in closes],
        }
        adjusted = [{"adjclose": [close and close * 0.99 for close in closes]}]
        meta = {
            "currency": "USD", "symbol": ticker, "exchangeTimezoneName": "America/New_York",
            "timezone": "EST", "gmtoffset": -18000, "instrumentType": "EQUITY",
            "dataGranularity": "1d",
            "firstTradeDate": 345479400, "regularMarketTime": kept[-1][0] if kept else 0,
            "regularMarketPrice": 1.0, "chartPreviousClose": 1.0, "priceHint": 2, "range": "",
            "validRanges": ["1d", "max"],
            "currentTradingPeriod": {
                name: {"timezone": "EST", "start": 0, "end": 0, "gmtoffset": -18000}
                for name in ("pre", "regular", "post")
            },
        }  # fmt: skip
        result = {
            "meta": meta,
            "timestamp": [stamp for stamp, _ in kept],
            "indicators": {"quote": [quote], "adjclose": adjusted},
        }
        return 200, json.dumps({"chart": {"result": [result], "error": None}})


@pytest.fixture
def yahoo():
    state = Yahoo()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            status, body = 200, "crumb"
            if "/v8/finance/chart/" in parts.path:
                ticker = parts.path.rsplit("/", 1)[1].replace("%5E", "^")
                query = parse_qs(parts.query)
                # The library first asks for one day, to learn the time zone.
                zone = "range" in query and query["range"] == ["1d"]
                status, body = state.answer(ticker, query) if not zone else self._zone(ticker)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def _zone(self, ticker):
            meta = {"exchangeTimezoneName": "America/New_York"}
            return 200, json.dumps({"chart": {"result": [{"meta": meta}], "error": None}})

        def log_message(self, *parts):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.port = server.server_address[1]
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


class Loopback(HTTPAdapter):
    """Sends every request to the local server, whatever host it names."""

    def __init__(self, port):
        super().__init__()
        self.port = port

    def send(self, request, **options):
        parts = urlsplit(request.url)
        request.url = parts._replace(scheme="http", netloc=f"127.0.0.1:{self.port}").geturl()
        return super().send(request, **options)


@pytest.fixture
def source(yahoo, tmp_path):
    def make(names=("AAPL", "^GSPC"), **params):
        session = requests.Session()
        session.mount("https://", Loopback(yahoo.port))
        made = YahooSource(names, YahooParams(**params), tmp_path / "kept", session, Clock())
        return made

    return make


def test_bars_come_with_the_exchange_s_dates_and_missing_prices_stay_missing(source):
    table = source().fetch(["^GSPC", "AAPL"], None, None)
    assert table.schema.equals(BAR_SCHEMA)
    frame = table.to_pandas()
    assert list(frame["ticker"]) == ["AAPL"] * 4 + ["^GSPC"] * 4
    assert list(frame["session_date"])[:4] == DAYS
    assert list(frame["close"][:4]) == CLOSES["AAPL"]
    assert frame["adj_close"][0] == pytest.approx(169.0 * 0.99)
    assert frame["close"].isna().sum() == 1


def test_both_ends_of_the_range_are_included(source):
    table = source().fetch(["AAPL"], date(2024, 3, 8), date(2024, 3, 11))
    assert table["session_date"].to_pylist() == DAYS[1:3]


def test_a_fetch_that_broke_off_goes_on_where_it_stopped(source, yahoo):
    # The library asks twice, with another kind of cookie, before it gives up.
    yahoo.failures["^GSPC"] = [(503, "no JSON")] * 4
    broken = source(max_attempts=2)
    with pytest.raises(SourceUnavailable, match=r"\^GSPC could not be had.*1 of 2 tickers are"):
        broken.fetch(["AAPL", "^GSPC"], None, None)
    assert source().fetch(["AAPL", "^GSPC"], None, None).num_rows == 8
    assert yahoo.asked == {"AAPL": 1, "^GSPC": 5}


def test_failures_are_tried_again_with_longer_waits(source, yahoo):
    yahoo.failures["AAPL"] = [(429, "Too Many Requests")] * 2 + [(503, "back soon")] * 2
    asking = source(first_wait_seconds=5, requests_per_minute=600)
    assert asking.fetch(["AAPL"], None, None).num_rows == 4
    assert [seconds for seconds in asking.clock.slept if seconds >= 1] == [5, 10]


def test_requests_keep_the_pace_that_is_allowed(source):
    asking = source(names=("AAPL", "^GSPC", "NOPE"), requests_per_minute=6)
    asking.fetch(["AAPL", "^GSPC", "NOPE"], None, None)
    assert asking.clock.slept == [10.0, 10.0]


def test_a_ticker_that_yahoo_lacks_is_named_and_stops_no_other(source, caplog):
    table = source(names=("AAPL", "NOPE")).fetch(["AAPL", "NOPE"], None, None)
    assert set(table["ticker"].to_pylist()) == {"AAPL"}
    assert "NOPE" in caplog.text


def test_yesterday_s_answers_are_forgotten(source):
    asking = source()
    old = asking.kept.path("2001-01-01/x.parquet")
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    asking.fetch(["AAPL"], None, None)
    assert not old.exists()
    today = datetime.now(UTC).date().isoformat()
    assert [key for key in asking.kept.keys("") if key.startswith(today)]


def test_its_tickers_are_those_of_the_universe(tmp_path):
    universe = {"sources": ["MSFT"], "targets": ["AAPL"], "index": "^GSPC"}
    params = SourceParams.model_validate({"kind": "yahoo", "universe": universe})
    assert open_source(params, tmp_path).tickers() == ("AAPL", "MSFT", "^GSPC")
    with pytest.raises(SourceError, match="names no ticker"):
        open_source(SourceParams(kind="yahoo"), tmp_path).tickers()
