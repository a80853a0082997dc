"""QuantConnect's LEAN daily files: zips by the ticker of the day, with map and factor files.

``daily/<symbol>.zip`` holds ``yyyymmdd HH:MM, open, high, low, close, volume`` with prices times
10,000, as traded. ``map_files/<ticker>.csv`` says which symbol a ticker had up to and including a
date, its first line when it was listed. ``factor_files/<ticker>.csv`` has ``date, price factor,
split factor, reference close``, each valid up to and including its date; what changes from one line
to the next takes effect on the ticker's next session::

    split    = split factor after / split factor before            (new shares per old share)
    dividend = reference close * (1 - price factor before / price factor after)   (cash per share)

Source: the LEAN repository, Data/equity/readme.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pyarrow as pa

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams
from transfergate.sources.folder import Folder
from transfergate.sources.reading import BarFile
from transfergate.sources.sheets import SheetReader
from transfergate.storage.bars import SYMBOL_SCHEMA

_BARS = FileFormatParams(
    kind="delimited",
    header=False,
    columns={"session_date": 1, "open": 2, "high": 3, "low": 4, "close": 5, "volume": 6},
    date_format="%Y%m%d %H:%M",
    price_unit=1e-4,
    ticker_from="filename",
    ticker_case="upper",
)
_OPEN_END = date(2050, 12, 31)
_ROUNDING = 2e-5


@dataclass(frozen=True)
class _Use:
    """A ticker had a symbol from ``first`` to ``last``; None is open."""

    symbol: str
    ticker: str
    first: date
    last: date | None


@dataclass(frozen=True)
class _Factors:
    """One line of a factor file; valid up to and including ``last``."""

    last: date
    price: float
    split: float
    close: float


class LeanMaps:
    """Map and factor files beside the folder of zips.

    Args:
        folder: Where all of them are.
        base: The folder in it that holds theirs; see :func:`base_of`.
        names: All files of the folder.
        map_lines: Gives the cells of a map file, as :func:`read_map_file` does.
    """

    def __init__(
        self,
        folder: Folder,
        base: str,
        names: Sequence[str],
        map_lines: Callable[[str], list[list[str]]],
    ) -> None:
        self._folder = folder
        self._factor_files = _by_ticker(names, f"{base}factor_files/")
        self.uses = [
            use
            for ticker, name in _by_ticker(names, f"{base}map_files/").items()
            for use in _uses(ticker, map_lines(name))
        ]
        self._of_symbol: dict[str, list[_Use]] = {}
        for use in self.uses:
            self._of_symbol.setdefault(use.symbol, []).append(use)

    def of_symbol(self, symbol: str) -> list[_Use]:
        """Tickers that had this symbol, in order of time.

        Raises:
            SourceError: If two had it on one day.
        """
        uses = sorted(self._of_symbol.get(symbol, ()), key=lambda use: use.first)
        for one, other in pairwise(uses):
            if one.last is None or one.last >= other.first:
                raise SourceError(
                    f"{self._folder.root}: map files give symbol {symbol} to {one.ticker} and to "
                    f"{other.ticker} on {other.first}: correct one of the two"
                )
        return uses

    def actions(self, ticker: str, sessions: Sequence[date]) -> list[dict[str, object]]:
        """Splits and dividends that took effect within a ticker's sessions (sorted)."""
        name = self._factor_files.get(ticker)
        if name is None:
            return []
        lines = [_Factors(day, *numbers) for day, *numbers in _factor_rows(self._folder, name)]
        found: list[dict[str, object]] = []
        for before, after in pairwise(lines):
            place = bisect_right(sessions, before.last)
            if place in (0, len(sessions)):
                continue  # before the first bar, or not in effect yet
            effect = {"ticker": ticker, "effect_date": sessions[place], "where": name}
            if after.split != before.split:
                ratio = _simple(after.split / before.split)
                found.append({**effect, "kind": "split", "value": ratio})
            if after.price != before.price:
                cash = round(before.close * (1 - before.price / after.price), 6)
                found.append({**effect, "kind": "dividend", "value": cash})
        return found

    def symbols(self, tickers: Collection[str]) -> pa.Table:
        """Uses of symbols by these tickers, in ``SYMBOL_SCHEMA``."""
        rows = [
            {"symbol": u.symbol, "ticker": u.ticker, "first_date": u.first, "last_date": u.last}
            for u in sorted(self.uses, key=lambda use: (use.ticker, use.first))
            if u.ticker in tickers
        ]
        return pa.Table.from_pylist(rows, schema=SYMBOL_SCHEMA)


class LeanFile(BarFile):
    """One zip, whose rows belong to the ticker that had its symbol on that day.

    A row from before the first listing is another company's that nobody here knows: it has the
    symbol and no ticker. A symbol without any map file is its own ticker.
    """

    def __init__(self, folder: Folder, name: str, shape: FileFormatParams, maps: LeanMaps) -> None:
        given = {"pattern": shape.pattern, "unreadable": shape.unreadable}
        super().__init__(
            folder, name, _BARS.model_copy(update={**given, "currency": shape.currency})
        )
        self.maps = maps
        self.uses = maps.of_symbol(self._constant_ticker())

    def tickers(self) -> set[str | None]:
        """Tickers that had the symbol; None stands for rows of nobody known."""
        return {None, *(use.ticker for use in self.uses)} if self.uses else super().tickers()

    def read(self, wanted: Collection[str], *, strays: bool) -> pa.Table:
        """Rows of some tickers; see :meth:`BarFile.read`."""
        symbol = self._constant_ticker()
        if not self.uses:
            return super().read(wanted, strays=strays)
        rows = super().read({symbol}, strays=False)
        owners = [self._owner(day) for day in rows["session_date"].to_pylist()]
        for name, values in (("ticker", owners), ("symbol", [symbol] * len(owners))):
            place = rows.column_names.index(name)
            rows = rows.set_column(place, rows.schema.field(name), pa.array(values, pa.string()))
        return rows.filter(
            pa.array([owner in wanted or (owner is None and strays) for owner in owners])
        )

    def _owner(self, day: date | None) -> str | None:
        if day is None:
            return None
        for use in self.uses:
            if use.first <= day and (use.last is None or day <= use.last):
                return use.ticker
        return None


def base_of(name: str) -> str:
    """The folder, with a slash, that holds ``daily/``, ``map_files/`` and ``factor_files/``."""
    above = name.rpartition("/")[0].rpartition("/")[0]
    return f"{above}/" if above else ""


def beside(name: str) -> bool:
    """Whether a path is a map or factor file."""
    return f"/{name}".rpartition("/")[0].endswith(("/map_files", "/factor_files"))


def read_map_file(folder: Folder, name: str) -> list[list[str]]:
    """Date and symbol of each line of a map file."""
    return _rows(folder, name, 2)


def _by_ticker(names: Sequence[str], base: str) -> dict[str, str]:
    return {
        name[len(base) :].removesuffix(".csv").upper(): name
        for name in names
        if name.startswith(base) and name.endswith(".csv") and "/" not in name[len(base) :]
    }


def _rows(folder: Folder, name: str, width: int) -> list[list[str]]:
    shape = FileFormatParams(header=False)
    reader = SheetReader(folder.url(name), folder.read(name), shape)
    if reader.width < width:
        raise SourceError(
            f"{folder.url(name)}: {reader.width} columns, expected {width} or more as LEAN writes "
            f"them: replace the file"
        )
    sheet = reader.read(range(width))
    return [list(cells) for cells in zip(*(sheet.columns[i].to_pylist() for i in range(width)),
                                         strict=True)]  # fmt: skip


def _uses(ticker: str, rows: list[list[str]]) -> list[_Use]:
    days = [_day(ticker, "map", row[0]) for row in rows]
    if len(rows) == 1:
        return [_Use(rows[0][1].upper(), ticker, days[0], None)]
    return [
        _Use(
            rows[i][1].upper(),
            ticker,
            days[0] if i == 1 else days[i - 1] + timedelta(days=1),
            None if days[i] >= _OPEN_END else days[i],
        )
        for i in range(1, len(rows))
    ]


def _factor_rows(folder: Folder, name: str) -> list[tuple[date, float, float, float]]:
    found = []
    for row in _rows(folder, name, 4):
        try:
            price, split, close = (float(cell) for cell in row[1:4])
        except ValueError as error:
            raise SourceError(
                f"{folder.url(name)}: {row} has no three numbers behind the date: replace the file"
            ) from error
        if not (0 < price < 10 and 0 < split < 1e6 and 0 <= close < 1e9):
            raise SourceError(f"{folder.url(name)}: {row} has factors out of bounds, expected "
                              f"positive ones: replace the file")  # fmt: skip
        found.append((_day(folder.url(name), "factor", row[0]), price, split, close))
    return sorted(found)


def _day(where: str, kind: str, text: str) -> date:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError as error:
        raise SourceError(
            f"{where}: {text!r} in its {kind} file is no date, expected yyyymmdd: replace the file"
        ) from error


def _simple(ratio: float) -> float:
    # Factor files have seven digits: 6.9999972 is 7 for 1.
    near = float(Fraction(ratio).limit_denominator(20))
    return near if near > 0 and abs(near / ratio - 1) < _ROUNDING else ratio
