"""The rows of a batch in the landing zone, read by portions of tickers.

Of all rows only ticker and session are held, nine bytes a row; their values are read portion by
portion, so that memory does not grow with the batch but by these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfergate import warehouse
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import LANDING_SCHEMA
from transfergate.storage.landing import (
    landed_bars_are_sound,
    read_landed_bars,
    read_landed_columns,
)

PORTION_ROWS = 500_000
"""Rows that are judged at once, about: whole tickers."""
NO_DAY = np.iinfo(np.int32).min
_LOOKED_AT = (
    *("ticker", "symbol", "session_date", "open", "close", "adj_close", "unreadable"),
)  # fmt: skip


@dataclass(frozen=True)
class BatchRows:
    """What is held of every row of a batch, in an order that does not depend on the fetches'.

    Attributes:
        keys: Landing keys, by their first ticker.
        starts: Number of each one's first row, and at the end the number of rows.
        names: Tickers after symbols were mapped, sorted.
        codes: int32 (N,): number of each row's ticker in ``names``; -1 for none.
        days: int32 (N,): sessions in days since 1970; ``NO_DAY`` for none.
        priced: bool (N,): open and close are finite and above 0.
        vendor_adjusted: Tickers with an adjusted close.
        unreadable: Whether a cell of the batch could not be read.
        symbols: The map that gave the tickers.
        stood_for: Symbol as received -> tickers that it stood for; None among them for none.
    """

    keys: tuple[str, ...]
    starts: tuple[int, ...]
    names: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    days: npt.NDArray[np.int32]
    priced: npt.NDArray[np.bool_]
    vendor_adjusted: frozenset[str]
    unreadable: bool
    symbols: pa.Table
    stood_for: Mapping[str, frozenset[str | None]]

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def keyed(self) -> pa.Table:
        """Columns ``ticker`` (a dictionary) and ``session_date`` of all rows."""
        tickers = pa.DictionaryArray.from_arrays(
            pa.array(self.codes, mask=self.codes < 0), pa.array(self.names, pa.string())
        )
        days = pa.array(self.days, mask=self.days == NO_DAY).cast(pa.date32())
        return pa.table({"ticker": tickers, "session_date": days})

    @property
    def unknown_symbols(self) -> bool:
        """Whether a row's symbol stood for no ticker."""
        return any(None in tickers for tickers in self.stood_for.values())

    def tables(self, store: ArtefactStore) -> Iterator[tuple[int, pa.Table]]:
        """Number of the first row and the rows of each fetch, in their order."""
        for key, start in zip(self.keys, self.starts[:-1], strict=True):
            yield start, warehouse.map_symbols(read_landed_bars(store, key), self.symbols)

    def portions(
        self, store: ArtefactStore, rows_each: int | None = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], pa.Table]]:
        """Row numbers and rows of some tickers after the others, each ticker in one portion.

        Rows without a ticker are part of the first.
        """
        portion_of = self._portion_of(rows_each or PORTION_ROWS)
        of_row = portion_of[self.codes]  # -1, no ticker, takes the last entry
        last: tuple[int, pa.Table] | None = None
        for number in range(max(int(portion_of.max()) + 1, 1)):
            found, tables = [np.empty(0, np.int64)], [LANDING_SCHEMA.empty_table()]
            for place, (start, end) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
                mine = np.flatnonzero(of_row[start:end] == number)
                if not len(mine):
                    continue
                if last is None or last[0] != place:
                    landed = read_landed_bars(store, self.keys[place])
                    last = place, warehouse.map_symbols(landed, self.symbols)
                whole = len(mine) == end - start
                tables.append(last[1] if whole else last[1].take(pa.array(mine)))
                found.append(mine + start)
            yield np.concatenate(found), pa.concat_tables(tables)

    def _portion_of(self, rows_each: int) -> npt.NDArray[np.int64]:
        # Of each ticker, in the order of names; last of all that of rows without one.
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))
        portion, filled = 0, 0
        found = np.zeros(len(self.names) + 1, np.int64)
        for code, count in enumerate(counts.tolist()):
            if filled and filled + count > rows_each:
                portion, filled = portion + 1, 0
            found[code] = portion
            filled += count
        return found


def ordered_keys(store: ArtefactStore, landing: Sequence[str]) -> list[str]:
    """Landing keys in the order of their first tickers."""

    def first(key: str) -> str:
        tickers = read_landed_columns(store, key, ["ticker"])["ticker"]
        return str(tickers[0]) if len(tickers) else ""

    return sorted(sorted(set(landing)), key=first)


def are_sound(store: ArtefactStore, keys: Sequence[str]) -> bool:
    """Whether every fetch has the landing zone's columns."""
    return all(landed_bars_are_sound(store, key) for key in keys)


def received_symbols(store: ArtefactStore, keys: Sequence[str]) -> pa.Table:
    """Column ``symbol``: every symbol that was received; a ticker where there is none."""
    found = [pa.array([], pa.string())]
    for key in keys:
        landed = read_landed_columns(store, key, ["symbol", "ticker"])
        found.append(pc.unique(pc.coalesce(landed["symbol"], landed["ticker"])))
    return pa.table({"symbol": pc.unique(pa.concat_arrays(found))})


def read_rows(store: ArtefactStore, keys: Sequence[str], symbols: pa.Table) -> BatchRows:
    """Look at every row of a batch once.

    Args:
        store: Where it landed.
        keys: From ``ordered_keys``.
        symbols: The map of its symbols.
    """
    number_of: dict[str, int] = {}
    columns: list[list[npt.NDArray[Any]]] = [[], [], []]
    starts, adjusted, unreadable = [0], set[str](), False
    stood_for: dict[str, set[str | None]] = {}
    for key in keys:
        landed = _mapped(read_landed_columns(store, key, _LOOKED_AT), symbols)
        tickers = landed["ticker"].combine_chunks().dictionary_encode()
        numbers = [number_of.setdefault(name, len(number_of)) for name in
                   tickers.dictionary.to_pylist()]  # fmt: skip
        codes = np.append(np.asarray(numbers, np.int32), np.int32(-1))
        places = tickers.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        days = landed["session_date"].cast(pa.int32()).fill_null(NO_DAY)
        priced = np.logical_and.reduce([_positive(landed[name]) for name in ("open", "close")])
        for column, part in zip(columns, (codes[places], days.to_numpy(), priced), strict=True):
            column.append(part)
        starts.append(starts[-1] + landed.num_rows)
        given = landed["ticker"].filter(pc.invert(pc.is_nan(landed["adj_close"].fill_null(np.nan))))
        adjusted |= set(given.drop_null().unique().to_pylist())
        unreadable |= landed["unreadable"].null_count < landed.num_rows
        pairs = landed.select(["symbol", "ticker"]).filter(pc.is_valid(landed["symbol"]))
        for pair in pairs.group_by(["symbol", "ticker"]).aggregate([]).to_pylist():
            stood_for.setdefault(pair["symbol"], set()).add(pair["ticker"])
    names = sorted(number_of)
    place_of = np.full(len(names) + 1, -1, np.int32)
    place_of[[number_of[name] for name in names]] = np.arange(len(names), dtype=np.int32)
    codes, days, priced = (
        np.concatenate([np.empty(0, kind), *parts])
        for kind, parts in zip((np.int32, np.int32, np.bool_), columns, strict=True)
    )
    return BatchRows(
        *(tuple(keys), tuple(starts), tuple(names), place_of[codes], days, priced),
        frozenset(adjusted),
        unreadable,
        symbols,
        {symbol: frozenset(tickers) for symbol, tickers in stood_for.items()},
    )


def _mapped(landed: pa.Table, symbols: pa.Table) -> pa.Table:
    if not symbols.num_rows:
        return landed
    columns = {
        field.name: landed[field.name]
        if field.name in landed.column_names
        else pa.nulls(landed.num_rows, field.type)
        for field in LANDING_SCHEMA
    }
    return warehouse.map_symbols(pa.table(columns, schema=LANDING_SCHEMA), symbols)


def _positive(prices: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    values = prices.fill_null(np.nan).to_numpy()
    return np.asarray(np.isfinite(values) & (values > 0), bool)
