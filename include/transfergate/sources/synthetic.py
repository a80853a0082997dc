"""Markets with planted structure: the truth that the gate is tested against.

**Process.** Daily log returns of a ticker, with volatility ``v`` and strength ``c``::

    overnight_t = 0.2 v n_t                      (previous close to open; unpredictable)
    intraday_t  = v (c s_t + 0.98 e_t)           (open to close)
    r_t         = overnight_t + intraday_t

so that 96 % of the variance of a day's noise is intraday. The signal ``s_t`` is known at the close
of session t-1 and is earned by whoever trades at the open of t and holds to the open of t+1:

- ``ar``: ``s_t = r_{t-1} / v``, clipped to ±4: a first-order autoregression (Box & Jenkins 1970).
- ``regime``: the same with a sign that follows a hidden two-state chain (staying probability
  0.99): +1 in calm times, -1 in turbulent ones, where noise is 1.6 times as large (0.8 in calm
  times); Hamilton 1989.
- ``volume``: ``s_t = clip(r_{t-1} / v) · (0.35 + tanh(2 u_{t-1}))``, where ``u`` is the standard
  normal surprise in log volume: moves on high volume continue, moves on low volume revert
  (Llorente, Michaely, Saar & Wang 2002, doi:10.1093/rfs/15.4.1005). A linear policy earns part of
  it, and one ticker's history teaches the rest badly: where transfer matters, so the default.
- ``trend``: ``s_t = tanh(sum of the last 10 returns / (v √10))``: time-series momentum
  (Moskowitz, Ooi & Pedersen 2012), bounded.

``e`` and ``n`` are standard normal; 30 % of the variance of ``e`` is the market's, common to all
tickers. With ``c = 0.30`` the one-session policy ``sign(s)`` earns a gross Sharpe ratio of about
``0.30 · √(2/π) · √252 ≈ 3.8`` in the ``ar`` market.

**Tickers.** ``SRC01`` … are the sources; the target ``SHARED`` has the same ``c``, ``OPPOSED`` has
``-c``; ``^SYN`` is the market itself, without structure. Each stream derives from (seed, ticker)
alone, so a subset fetches the same bars. Sessions are those of the NYSE that end on 2020-12-31.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from transfergate.calendars import exchange_sessions
from transfergate.settings import SyntheticParams
from transfergate.sources.base import BarsOnly, bars_table, require_known, within

LAST_SESSION = date(2020, 12, 31)
INDEX = "^SYN"
_BURN_IN = 100
_OVERNIGHT, _INTRADAY = 0.2, 0.98
_COMMON = 0.3
_STAY = 0.99
_SURGE = 0.6
_BASE = 0.35

Array = npt.NDArray[np.float64]


class SyntheticSource(BarsOnly):
    """Planted markets; see the module's description of the process."""

    name = "synthetic"

    def __init__(self, params: SyntheticParams) -> None:
        self.params = params

    def tickers(self) -> tuple[str, ...]:
        """``OPPOSED``, ``SHARED``, the sources and the index, sorted."""
        n = self.params.n_sources
        width = max(2, len(str(n)))
        sources = (f"SRC{number:0{width}d}" for number in range(1, n + 1))
        return tuple(sorted(("OPPOSED", "SHARED", INDEX, *sources)))

    def fetch(self, tickers: Sequence[str], start: date | None, end: date | None) -> pa.Table:
        """Bars of the planted markets, by ticker, then by session."""
        require_known(self.name, tickers, self.tickers())
        # 366 days hold at least 250 sessions.
        first = LAST_SESSION - pd.Timedelta(days=366 * (self.params.n_sessions // 250 + 1))
        sessions = exchange_sessions("XNYS", first, LAST_SESSION)[-self.params.n_sessions :]
        days = pd.to_datetime(list(sessions))
        frames = [self._bars(ticker, days) for ticker in sorted(set(tickers))]
        return bars_table(within(pd.concat(frames, ignore_index=True), start, end))

    def _bars(self, ticker: str, days: pd.DatetimeIndex) -> pd.DataFrame:
        n = _BURN_IN + len(days)
        v = self.params.daily_volatility
        market = _stream(self.params.seed, INDEX).standard_normal(n)
        stream = _stream(self.params.seed, ticker)
        overnight = v * _OVERNIGHT * stream.standard_normal(n)
        own = stream.standard_normal(n)
        noise = market if ticker == INDEX else _COMMON**0.5 * market + (1 - _COMMON) ** 0.5 * own
        sign = {INDEX: 0.0, "OPPOSED": -1.0}.get(ticker, 1.0)
        surge = _stream(self.params.seed, f"{ticker} volume").standard_normal(n)
        intraday = planted_intraday(self.params, sign, overnight, noise, surge, stream)
        prices = _prices(overnight[_BURN_IN:], intraday[_BURN_IN:], v, stream)
        if self.params.kind == "volume":
            prices["volume"] = np.round(1e6 * np.exp(_SURGE * surge[_BURN_IN:])) + 1.0
        return prices.assign(ticker=ticker, session_date=days, currency="USD")


def planted_intraday(
    params: SyntheticParams,
    sign: float,
    overnight: Array,
    noise: Array,
    surge: Array,
    stream: np.random.Generator,
) -> Array:
    """Open-to-close log returns, shape (sessions,), of one ticker.

    Args:
        params: Kind, strength and volatility.
        sign: 1 for the sources' structure, -1 for its opposite, 0 for none.
        overnight: Close-to-open log returns, shape (sessions,).
        noise: Standard normal, shape (sessions,).
        surge: Standard normal surprise in log volume, shape (sessions,).
        stream: Draws the hidden regime, where there is one.
    """
    v, c = params.daily_volatility, sign * params.strength
    turbulent = np.zeros(len(noise), dtype=bool)
    if params.kind == "regime":
        turbulent = np.cumsum(stream.random(len(noise)) > _STAY) % 2 == 1
        noise = noise * np.where(turbulent, 1.6, 0.8)
    total = np.zeros(len(noise))
    intraday = np.zeros(len(noise))
    for t in range(len(noise)):
        if params.kind == "trend":
            signal = np.tanh(total[max(t - 10, 0) : t].sum() / (v * 10**0.5))
        else:
            signal = np.clip(total[t - 1] / v if t else 0.0, -4.0, 4.0)
            if params.kind == "volume":
                signal *= _BASE + np.tanh(2.0 * surge[t - 1])
        coefficient = -c if turbulent[t] else c
        intraday[t] = v * (coefficient * signal + _INTRADAY * noise[t])
        total[t] = overnight[t] + intraday[t]
    return intraday


def _stream(seed: int, ticker: str) -> np.random.Generator:
    digest = hashlib.sha256(ticker.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def _prices(
    overnight: Array, intraday: Array, volatility: float, stream: np.random.Generator
) -> pd.DataFrame:
    log_close = np.log(100.0) + np.cumsum(overnight + intraday)
    close = np.exp(log_close)
    opening = np.exp(log_close - intraday)
    n = len(close)
    reach = 0.4 * volatility * np.abs(stream.standard_normal((2, n)))
    activity = 1.0 + np.abs(intraday) / volatility
    prices = {
        "open": opening,
        "high": np.maximum(opening, close) * np.exp(reach[0]),
        "low": np.minimum(opening, close) * np.exp(-reach[1]),
        "close": close,
    }
    # Rounding is monotone, so low <= open, close <= high survives it.
    return pd.DataFrame({name: np.round(values, 6) for name, values in prices.items()}).assign(
        volume=np.round(1e6 * activity * np.exp(0.3 * stream.standard_normal(n))) + 1.0,
        adj_close=np.round(close, 6),
    )
