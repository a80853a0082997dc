"""The sessions that a batch is judged by: each ticker's own exchange, and its special sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfergate import warehouse
from transfergate.calendars import early_closes, exchange_sessions
from transfergate.errors import BarsRejected, SettingsError
from transfergate.storage.bars import LANDING_SCHEMA

SHARE = 0.8
"""Of the tickers that trade around a closed day: with a bar on it, they make it a session."""
LEAST_TICKERS = 5
MOST_A_YEAR = 10
"""More such days in a year are no special sessions: the exchange's calendar is another."""
_AROUND_DAYS = 7
_OLDEST_SESSION = date(1900, 1, 1)

Days = npt.NDArray[np.int64]


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
        bars: The batch, its symbols mapped.
        history: What is known around it; its instruments say where a ticker trades.
        declared: Special sessions that the settings name; on all exchanges of the source.
        accepted: Exchange -> special sessions of earlier batches.

    Raises:
        BarsRejected: If an instrument names an exchange that there is not.
    """
    if not bars.schema.remove_metadata().equals(LANDING_SCHEMA):
        bars = LANDING_SCHEMA.empty_table()
    exchange_of = exchanges(history)
    tickers = set(bars["ticker"].drop_null().unique().to_pylist())
    groups: dict[str, set[str]] = {calendar: set()}
    for ticker in sorted(tickers):
        groups.setdefault(exchange_of.get(ticker, calendar), set()).add(ticker)
    # A day ahead for exchanges east of Greenwich; a later bar is on no session that there was.
    today = datetime.now(UTC).date() + timedelta(days=1)
    found = []
    for exchange, members in groups.items():
        names, days = _traded(bars, members)
        before, days_before = _traded(history.bars, members)
        every_day = np.concatenate([days, days_before])
        if exchange == calendar:  # rows without a ticker are judged with the source's own
            nobodys = bars["session_date"].filter(pc.is_null(bars["ticker"])).drop_null()
            every_day = np.concatenate([every_day, nobodys.cast(pa.int32()).to_numpy()])
        open_days = _open_days(exchange, members, every_day, today)
        dates = {_date(day) for day in set(days.tolist())}
        # A declared day is a session to who has a bar on it; nobody misses it otherwise.
        known = {day: "declared" for day in declared if day in dates}
        known |= {
            day: "accepted before" for day in (accepted or {}).get(exchange, ()) if day in dates
        }
        special = {day: why for day, why in known.items() if day not in open_days}
        closed = [day for day in dates if day not in {*open_days, *special} and day <= today]
        special |= _nearly_all(closed, names, days, before, days_before)
        older = [day for day in (*declared, *(accepted or {}).get(exchange, ()))
                 if day in {_date(d) for d in set(days_before.tolist())}]  # fmt: skip
        sessions = tuple(sorted({*open_days, *special, *older}))
        early = early_closes(exchange, min(dates), max(dates)) if dates else ()
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


def _traded(table: pa.Table, members: set[str]) -> tuple[npt.NDArray[Any], Days]:
    # Tickers and days since 1970 of the dated rows of some tickers.
    mine = pc.is_in(table["ticker"], value_set=pa.array(sorted(members), pa.string()))
    rows = table.select(["ticker", "session_date"]).filter(
        pc.and_(mine, pc.is_valid(table["session_date"]))
    )
    names = rows["ticker"].to_numpy()
    days = rows["session_date"].cast(pa.int32()).to_numpy().astype(np.int64)
    return names, days


def _open_days(exchange: str, members: set[str], days: Days, today: date) -> set[date]:
    ends = [_date(int(days.min())), _date(int(days.max()))] if len(days) else [today, today]
    first, last = (max(_OLDEST_SESSION, min(day, today)) for day in ends)
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
    names: npt.NDArray[Any],
    days: Days,
    before: npt.NDArray[Any],
    days_before: Days,
) -> dict[date, str]:
    # Closed days on which nearly all tickers that trade around them have a bar.
    found: dict[date, str] = {}
    all_names, all_days = np.concatenate([names, before]), np.concatenate([days, days_before])
    counts = Counter(days[np.isin(days, [_number(day) for day in closed])].tolist())
    for day in sorted(closed):
        if counts[_number(day)] < LEAST_TICKERS:
            continue
        distance = np.abs(all_days - _number(day))
        around = set(all_names[distance <= _AROUND_DAYS].tolist())
        present = set(names[days == _number(day)].tolist())
        if len(present) >= max(LEAST_TICKERS, SHARE * len(around)):
            found[day] = f"{len(present)} of {len(around)} tickers"
    per_year = Counter(day.year for day in found)
    return {day: why for day, why in found.items() if per_year[day.year] <= MOST_A_YEAR}


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _date(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)
