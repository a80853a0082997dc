"""The sessions that a batch is judged by: each ticker's own exchange, and its special sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from transfergate import warehouse
from transfergate.calendars import early_closes, exchange_sessions
from transfergate.errors import BarsRejected, SettingsError

SHARE = 0.8
"""Of the tickers that trade around a closed day: with a bar on it, they make it a session."""
LEAST_TICKERS = 5
MOST_A_YEAR = 10
"""More such days in a year are no special sessions: the exchange's calendar is another."""
_AROUND_DAYS = 7
_OLDEST_SESSION = date(1900, 1, 1)

Days = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ExchangeSessions:
    """One exchange in a batch.

    Attributes:
        exchange: Code of its calendar.
        tickers: Its tickers in the batch; the source's own calendar has those that name none.
        sessions: Its sessions over the batch and its history, special ones included, in order.
        special: Days of the batch on which it is closed by its calendar and traded, and why.
        early_closes: Sessions of the batch with bars that closed early.
    """

    exchange: str
    tickers: frozenset[str]
    sessions: tuple[date, ...]
    special: dict[date, str]
    early_closes: tuple[date, ...]

    def to_json(self) -> dict[str, Any]:
        """For the report of the batch."""
        return {
            "exchange": self.exchange,
            "tickers": len(self.tickers),
            "special_sessions": {str(day): why for day, why in sorted(self.special.items())},
            "early_closes": [str(day) for day in self.early_closes],
        }


def batch_sessions(
    calendar: str,
    bars: pa.Table,
    history: warehouse.History,
    *,
    declared: Iterable[date] = (),
    accepted: Mapping[str, Iterable[date]] | None = None,
) -> list[ExchangeSessions]:
    """Sessions of every exchange in a batch, the source's own calendar first.

    Args:
        calendar: The source's calendar.
        bars: Columns ``ticker`` and ``session_date`` of the batch, its symbols mapped.
        history: What is known around it; its instruments say where a ticker trades.
        declared: Special sessions that the settings name; on all exchanges of the source.
        accepted: Exchange -> special sessions of earlier batches.

    Raises:
        BarsRejected: If an instrument names an exchange that there is not.
    """
    exchange_of = exchanges(history)
    batch, known_bars = _coded(bars, history.bars)
    tickers = set(batch.tickers)
    groups: dict[str, set[str]] = {calendar: set()}
    for ticker in sorted(tickers):
        groups.setdefault(exchange_of.get(ticker, calendar), set()).add(ticker)
    # A day ahead for exchanges east of Greenwich; a later bar is on no session that there was.
    today = datetime.now(UTC).date() + timedelta(days=1)
    found = []
    for exchange, members in groups.items():
        names, days = batch.of(members)
        before, days_before = known_bars.of(members)
        every_day = [days, days_before]
        if exchange == calendar:  # rows without a ticker are judged with the source's own
            every_day.append(batch.days[batch.codes < 0])
        open_days = _open_days(exchange, members, every_day, today)
        dates = {_date(day) for day in pd.unique(days).tolist()}
        # A declared day is a session to who has a bar on it; nobody misses it otherwise.
        known = {day: "declared" for day in declared if day in dates}
        known |= {
            day: "accepted before" for day in (accepted or {}).get(exchange, ()) if day in dates
        }
        special = {day: why for day, why in known.items() if day not in open_days}
        closed = [day for day in dates if day not in {*open_days, *special} and day <= today]
        special |= _nearly_all(closed, names, days, before, days_before)
        older = [day for day in (*declared, *(accepted or {}).get(exchange, ()))
                 if day in {_date(d) for d in pd.unique(days_before).tolist()}]  # fmt: skip
        sessions = tuple(sorted({*open_days, *special, *older}))
        inside = dates & open_days  # no calendar reaches as far as a wrong date may
        early = early_closes(exchange, min(inside), max(inside)) if inside else ()
        found.append(
            ExchangeSessions(
                exchange,
                frozenset(members),
                sessions,
                special,
                tuple(day for day in early if day in dates),
            )
        )
    return found


def exchanges(history: warehouse.History) -> dict[str, str]:
    """Ticker -> exchange, of the instruments that name one."""
    pairs = history.instruments.select(["ticker", "exchange"]).to_pylist()
    return {row["ticker"]: row["exchange"] for row in pairs if row["exchange"]}


@dataclass(frozen=True)
class _Coded:
    """Dated rows: the number of each one's ticker, -1 for none, and its day since 1970."""

    tickers: Sequence[str]
    codes: Days
    days: Days

    def of(self, members: set[str]) -> tuple[Days, Days]:
        """Ticker numbers and days of the rows of some tickers."""
        mine = np.array([*(name in members for name in self.tickers), False], bool)
        rows = mine[self.codes]
        return self.codes[rows], self.days[rows]


def _coded(bars: pa.Table, known: pa.Table) -> tuple[_Coded, _Coded]:
    # Tickers of the batch, and of what is known, with the same numbers.
    number_of: dict[str, int] = {}
    found = []
    for table in (bars, known):
        dated = pc.is_valid(table["session_date"])
        rows = table if pc.all(dated).as_py() is not False else table.filter(dated)
        tickers = rows["ticker"].combine_chunks()
        if not pa.types.is_dictionary(tickers.type):
            tickers = tickers.dictionary_encode()
        numbers = [number_of.setdefault(name, len(number_of)) for name in
                   tickers.dictionary.to_pylist()]  # fmt: skip
        places = tickers.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        codes = np.append(np.asarray(numbers, np.int32), np.int32(-1))[places]
        days = rows["session_date"].combine_chunks().cast(pa.int32()).to_numpy()
        found.append((tuple(number_of), codes, days))
    return _Coded(*found[0]), _Coded(*found[1])


def _open_days(exchange: str, members: set[str], days: Sequence[Days], today: date) -> set[date]:
    ends = [_date(int(end)) for part in days if len(part) for end in (part.min(), part.max())]
    ends = ends or [today]
    first, last = (max(_OLDEST_SESSION, min(day, today)) for day in (min(ends), max(ends)))
    try:
        return set(exchange_sessions(exchange, first, last))
    except SettingsError as error:
        if not members:
            raise
        raise BarsRejected(
            f"no calendar {exchange!r}, which is the exchange of {', '.join(sorted(members)[:5])}: "
            f"nothing was loaded; expected a code of exchange_calendars such as XNYS, XBOM or 24/7 "
            f"as exchange of the instrument, or as the source's calendar: correct it"
        ) from error


def _nearly_all(
    closed: list[date],
    names: Days,
    days: Days,
    before: Days,
    days_before: Days,
) -> dict[date, str]:
    # Closed days on which nearly all tickers that trade around them have a bar.
    found: dict[date, str] = {}
    if not closed:
        return found
    all_names, all_days = np.concatenate([names, before]), np.concatenate([days, days_before])
    counts = Counter(days[np.isin(days, [_number(day) for day in closed])].tolist())
    for day in sorted(closed):
        if counts[_number(day)] < LEAST_TICKERS:
            continue
        distance = np.abs(all_days - _number(day))
        around = set(pd.unique(all_names[distance <= _AROUND_DAYS]).tolist())
        present = set(names[days == _number(day)].tolist())
        if len(present) >= max(LEAST_TICKERS, SHARE * len(around)):
            found[day] = f"{len(present)} of {len(around)} tickers"
    per_year = Counter(day.year for day in found)
    return {day: why for day, why in found.items() if per_year[day.year] <= MOST_A_YEAR}


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)
