"""Declared CSVs beside the bars: actions, instruments, symbols; every row is checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams
from transfergate.sources.events import LARGEST_SPLIT
from transfergate.sources.folder import Folder
from transfergate.sources.sheets import SheetReader
from transfergate.storage.bars import ACTION_SCHEMA, INSTRUMENT_SCHEMA, SYMBOL_SCHEMA

_FIRST, _LAST = date(1800, 1, 1), date(2200, 1, 1)


@dataclass(frozen=True)
class _Row:
    """One line of a declared table, as text."""

    where: str
    cells: dict[str, str]

    def refuse(self, column: str, expected: str) -> SourceError:
        found = repr(self.cells[column]) if self.cells.get(column) else "nothing"
        return SourceError(
            f"{self.where}: column {column!r} has {found}, expected {expected}: correct that line"
        )

    def text(self, column: str) -> str:
        if not self.cells.get(column):
            raise self.refuse(column, "a text")
        return self.cells[column]

    def day(self, column: str, *, needed: bool = True) -> date | None:
        if not needed and not self.cells.get(column):
            return None
        try:
            day = date.fromisoformat(self.cells.get(column, ""))
        except ValueError as error:
            raise self.refuse(column, "an ISO date such as 2014-06-09") from error
        if not _FIRST <= day <= _LAST:
            raise self.refuse(column, f"a date from {_FIRST} to {_LAST}")
        return day

    def number(self, column: str, low: float, high: float, what: str) -> float | None:
        if not self.cells.get(column):
            return None
        try:
            number = float(self.cells[column])
        except ValueError as error:
            raise self.refuse(column, what) from error
        if not (math.isfinite(number) and low < number <= high):
            raise self.refuse(column, what)
        return number


def read_actions(folder: Folder, name: str) -> pa.Table:
    """Splits and dividends: columns ``ticker, effect_date, kind, value``.

    An empty value retracts the action.

    Raises:
        SourceError: If a line cannot be used, or two contradict each other; names it.
    """
    seen: dict[tuple[Any, ...], Any] = {}
    for row in _rows(folder, name, ACTION_SCHEMA, ("ticker", "effect_date", "kind", "value")):
        kind = row.text("kind")
        if kind not in ("split", "dividend"):
            raise row.refuse("kind", "'split' or 'dividend'")
        if kind == "split":
            what = f"new shares per old share, above 0 and up to {LARGEST_SPLIT:g}"
            value = row.number("value", 0.0, LARGEST_SPLIT, what)
        else:
            value = row.number("value", 0.0, math.inf, "cash per share, above 0")
        key = (row.text("ticker"), row.day("effect_date"), kind)
        if seen.setdefault(key, value) != value:
            raise row.refuse("value", f"{seen[key]}, as in an earlier line for the same action")
    return _table(ACTION_SCHEMA, [(*key, value) for key, value in seen.items()])


def read_instruments(folder: Folder, name: str) -> pa.Table:
    """What is traded: column ``ticker``, and any others of ``INSTRUMENT_SCHEMA``.

    Raises:
        SourceError: If a line cannot be used, or a ticker is there twice; names it.
    """
    found: dict[str, tuple[Any, ...]] = {}
    texts = [name for name in INSTRUMENT_SCHEMA.names if name not in ("ticker", "cost_bps")]
    for row in _rows(folder, name, INSTRUMENT_SCHEMA, ("ticker",)):
        ticker = row.text("ticker")
        if ticker in found:
            raise row.refuse("ticker", "each ticker once")
        what = "basis points of turnover, 0 to 10000"
        cost = row.number("cost_bps", -1e-12, 10_000.0, what)
        found[ticker] = (ticker, *(row.cells.get(text) or None for text in texts), cost)
    return _table(INSTRUMENT_SCHEMA, list(found.values()))


def read_symbols(folder: Folder, name: str) -> pa.Table:
    """Symbols over time: columns ``symbol, ticker``, and ``first_date, last_date`` or empty.

    An empty ticker takes the entry with this symbol and first_date back.

    Raises:
        SourceError: If a line cannot be used, or a symbol stood for two tickers on one day.
    """
    found: list[tuple[Any, ...]] = []
    for row in _rows(folder, name, SYMBOL_SCHEMA, ("symbol", "ticker")):
        first, last = row.day("first_date", needed=False), row.day("last_date", needed=False)
        if first and last and first > last:
            raise row.refuse("last_date", f"a date not before first_date {first}")
        symbol, ticker = row.text("symbol"), row.cells.get("ticker") or None
        for other, owner, begin, end in found:
            meets = (begin or _FIRST) <= (last or _LAST) and (first or _FIRST) <= (end or _LAST)
            if other == symbol and owner != ticker and owner and ticker and meets:
                raise row.refuse("symbol", f"dates apart from those at which it was {owner}")
        found.append((symbol, ticker, first, last))
    return _table(SYMBOL_SCHEMA, found)


def read_declared(
    folder: Folder, name: str | None, read: Callable[[Folder, str], pa.Table]
) -> pa.Table | None:
    """A declared table; its path is relative to the root, or absolute."""
    if name is None:
        return None
    if Path(name).is_absolute():
        return read(Folder(Path(name).parent), Path(name).name)
    return read(folder, name)


def _rows(folder: Folder, name: str, schema: pa.Schema, needed: tuple[str, ...]) -> list[_Row]:
    url = folder.url(name)
    reader = SheetReader(url, folder.read(name), FileFormatParams(kind="delimited"))
    unknown = sorted(set(reader.names) - set(schema.names))
    missing = [column for column in needed if column not in reader.names]
    if unknown or missing or len(set(reader.names)) < len(reader.names):
        raise SourceError(
            f"{url}: columns {', '.join(reader.names)}; expected each once, {', '.join(needed)} "
            f"and no others than {', '.join(schema.names)}: correct its header"
        )
    sheet = reader.read(range(reader.width))
    columns = [[cell.strip() for cell in sheet.columns[i].to_pylist()] for i in range(sheet.width)]
    return [
        _Row(f"{url}: line {line}", dict(zip(reader.names, cells, strict=True)))
        for line, *cells in zip(sheet.lines.tolist(), *columns, strict=True)
    ]


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
