"""One file of bars, read by its declared format into the landing columns."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams
from transfergate.settings.formats import BAR_COLUMNS, EXTRA_COLUMNS, PRICE_COLUMNS
from transfergate.sources.dates import read_dates, read_typed_dates
from transfergate.sources.events import event_cells, split_ratios
from transfergate.sources.folder import Folder
from transfergate.sources.numbers import Cells, read_numbers, read_typed_numbers
from transfergate.sources.refusals import refuse_header, unreadable_cells
from transfergate.sources.sheets import Sheet, SheetReader
from transfergate.storage.bars import LANDING_SCHEMA

_REQUIRED = ("ticker", "session_date", *PRICE_COLUMNS)
_ALIASES = {"ticker": "symbol", "session_date": "date"}
_ENDINGS = re.compile(r"(\.(csv|txt|tsv|dat|asc|psv|parquet|pq))?(\.(gz|zip))?$", re.IGNORECASE)
_TEXT = ("ticker", "currency", "symbol")
_ACTIONS = ("split_ratio", "dividend")

READ_SCHEMA = pa.schema(
    [
        *LANDING_SCHEMA,
        *((name, pa.float64()) for name in _ACTIONS),
    ]
)
"""Bars with their provenance, and what their rows say of actions."""
Mask = npt.NDArray[np.bool_]


class BarFile:
    """One file below the root."""

    def __init__(self, folder: Folder, name: str, shape: FileFormatParams) -> None:
        self.folder = folder
        self.name = name
        self.shape = shape
        self.url = folder.url(name)

    def tickers(self) -> set[str | None]:
        """Every ticker that it holds; None where rows name none."""
        if self.shape.ticker_from != "column":
            return {self._constant_ticker()}
        reader = self._reader()
        index = self._positions(reader)["ticker"]
        column = reader.read([index]).columns[index]
        return set(pc.unique(self._cells("ticker", column).values).to_pylist())

    def read(self, wanted: Collection[str], *, strays: bool) -> pa.Table:
        """Rows of some tickers, in the file's order, in ``READ_SCHEMA``.

        Args:
            wanted: Tickers.
            strays: Whether rows that name no ticker belong to the answer.

        Raises:
            SourceError: If a cell cannot be read and the format does not set it apart; names line,
                column, value and what was expected.
        """
        reader = self._reader()
        positions = self._positions(reader)
        parts = None
        if "ticker" in positions and self.shape.ticker_case == "keep":
            parts = reader.parts_with(positions["ticker"], wanted, empty=strays)
        sheet = reader.read(list(positions.values()), parts)
        tickers = self._tickers_of(sheet, positions)
        mine = pc.is_in(tickers, value_set=pa.array(sorted(wanted), pa.string()))
        if strays:
            mine = pc.or_(mine, pc.is_null(tickers))
        rows = np.flatnonzero(np.asarray(mine))
        if len(rows) < len(sheet.lines):
            sheet = _part(sheet, rows)
            tickers = tickers.take(rows)
        return self._table(sheet, positions, tickers)

    def _reader(self) -> SheetReader:
        return SheetReader(self.url, self.folder.read(self.name), self.shape)

    def _table(self, sheet: Sheet, positions: dict[str, int], tickers: pa.Array) -> pa.Table:
        n_rows = len(sheet.lines)
        values: dict[str, pa.Array] = {"ticker": tickers}
        bad: dict[str, Cells] = {}
        for name, index in positions.items():
            if name == "ticker":
                continue
            cells = self._cells(name, sheet.columns[index])
            values[name] = cells.values
            if sheet.ragged:
                cells.bad[list(sheet.ragged)] = False
            if cells.bad.any():
                bad[name] = cells
        if self.shape.date_from == "path":
            values["session_date"] = self._path_date(n_rows)
        if self.shape.currency and "currency" not in positions:
            values["currency"] = _repeated(self.shape.currency, n_rows)
        if bad and self.shape.unreadable == "refuse":
            raise unreadable_cells(self.url, sheet, positions, bad)
        self._check_order(values, sheet)
        values["origin"] = _repeated(self.name, n_rows)
        values["line"] = pa.array(sheet.lines)
        if bad or sheet.ragged:
            values["unreadable"] = self._texts(sheet, positions, bad)
        return pa.table(
            {
                field.name: values.get(field.name, pa.nulls(n_rows, field.type))
                for field in READ_SCHEMA
            },
            schema=READ_SCHEMA,
        )

    def _cells(self, name: str, column: pa.Array) -> Cells:
        typed = not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type)
        column = column if typed else column.cast(pa.string())
        wanted = "text" if name in _TEXT else "dates" if name == "session_date" else "numbers"
        try:
            if pa.types.is_boolean(column.type):
                raise pa.ArrowInvalid("true and false are none")
            if name in _TEXT:
                text = self._plain_text(column)
                return Cells(text, np.zeros(len(text), dtype=bool), "text")
            if name == "session_date":
                read = read_typed_dates if typed else read_dates
                return read(column, self.shape)
            unit = self.shape.price_unit if name in (*PRICE_COLUMNS, "adj_close") else 1.0
            unit = self.shape.volume_unit if name == "volume" else unit
            if typed:
                cells = read_typed_numbers(column, unit)
            else:
                column = split_ratios(column) if name == "split_ratio" else column
                cells = read_numbers(column, self.shape, unit)
            return event_cells(name, cells) if name in _ACTIONS else cells
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SourceError(
                f"{self.url}: column for {name} is {column.type}, expected {wanted} "
                f"({str(error).splitlines()[0]}): correct the file, or the column's name in "
                f"sources.<name>.formats.columns"
            ) from error

    def _plain_text(self, column: pa.Array) -> pa.Array:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
        if self.shape.ticker_case == "upper":
            text = pc.utf8_upper(text)
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)

    def _tickers_of(self, sheet: Sheet, positions: dict[str, int]) -> pa.Array:
        if "ticker" in positions:
            return self._cells("ticker", sheet.columns[positions["ticker"]]).values
        return _repeated(self._constant_ticker(), len(sheet.lines))

    def _constant_ticker(self) -> str:
        if self.shape.ticker_from == "constant":
            return str(self.shape.ticker)
        stem = _ENDINGS.sub("", self.name.rpartition("/")[2])
        found = self._on_path["ticker"] if self.shape.ticker_from == "path" else stem
        found = found.strip()
        if not found:
            raise SourceError(
                f"{self.url}: its path gives no ticker, expected a name: correct path_pattern or "
                f"ticker_from, or name the file in the source's ignore"
            )
        return found.upper() if self.shape.ticker_case == "upper" else found

    @cached_property
    def _on_path(self) -> dict[str, str]:
        found = re.search(str(self.shape.path_pattern), self.name)
        if found is None or None in found.groupdict().values():
            raise SourceError(
                f"{self.url}: its path {self.name!r} does not fit path_pattern "
                f"{self.shape.path_pattern!r}: correct the expression, or name the file in the "
                f"source's ignore"
            )
        return found.groupdict()

    def _path_date(self, n_rows: int) -> pa.Array:
        cells = read_dates(pa.array([self._on_path["date"]]), self.shape)
        if cells.bad[0]:
            raise SourceError(
                f"{self.url}: {self._on_path['date']!r} in its path is not {cells.expected}: "
                f"correct path_pattern or date_format"
            )
        return pa.array(np.repeat(np.asarray(cells.values), n_rows), pa.date32())

    def _positions(self, reader: SheetReader) -> dict[str, int]:
        # Contract column -> position from 0, for those that the file has.
        declared = self.shape.columns
        found, missing = {}, []
        for name in (*BAR_COLUMNS, *EXTRA_COLUMNS):
            if (name == "ticker" and self.shape.ticker_from != "column") or (
                name == "session_date" and self.shape.date_from == "path"
            ):
                continue
            wanted: list[str | int] = [declared[name]] if name in declared else [name]
            if name in EXTRA_COLUMNS and name not in declared:
                continue
            if name not in declared and name in _ALIASES:
                wanted.append(_ALIASES[name])
            here = [i for column in wanted for i in _places(column, reader)]
            if len(here) == 1:
                found[name] = here[0]
            elif here:
                missing.append(
                    f"{name} ({' or '.join(map(repr, wanted))} stands {len(here)} times in the "
                    f"header; give its position)"
                )
            elif name in declared or name in _REQUIRED:
                missing.append(f"{name} (expected as {' or '.join(map(repr, wanted))})")
        refuse_header(self.url, reader, self.shape, missing)
        return found

    def _check_order(self, values: dict[str, pa.Array], sheet: Sheet) -> None:
        if self.shape.order is None:
            return
        days = np.asarray(values["session_date"].cast(pa.int32()).fill_null(-(10**6)))
        codes = np.asarray(values["ticker"].dictionary_encode().indices.fill_null(-1))
        rows = np.flatnonzero(days > -(10**6))
        rows = rows[np.argsort(codes[rows], kind="stable")]
        step = np.diff(days[rows]) * (1 if self.shape.order == "oldest_first" else -1)
        wrong = rows[1:][(step < 0) & (np.diff(codes[rows]) == 0)]
        if len(wrong):
            row = int(wrong.min())
            raise SourceError(
                f"{self.url}: line {sheet.lines[row]}: session {values['session_date'][row]} of "
                f"{values['ticker'][row]} is out of order, expected {self.shape.order} "
                f"({len(wrong)} such rows): correct the file, or leave order out of its format"
            )

    def _texts(self, sheet: Sheet, positions: dict[str, int], bad: dict[str, Cells]) -> pa.Array:
        found: dict[int, dict[str, str]] = {row: {"line": t} for row, t in sheet.ragged.items()}
        for name, cells in bad.items():
            column = sheet.columns[positions[name]]
            for row in np.flatnonzero(cells.bad).tolist():
                found.setdefault(row, {})[name] = str(column[row].as_py() or "")
        texts: list[str | None] = [None] * len(sheet.lines)
        for row, cells_of in found.items():
            texts[row] = json.dumps(cells_of, ensure_ascii=False, sort_keys=True)
        return pa.array(texts, pa.string())


def _places(column: str | int, reader: SheetReader) -> list[int]:
    if isinstance(column, int):
        return [column - 1] if column <= reader.width else []
    return [i for i, name in enumerate(reader.names) if name == column.strip()]


def _part(sheet: Sheet, rows: npt.NDArray[np.int64]) -> Sheet:
    place = {int(row): k for k, row in enumerate(rows)} if sheet.ragged else {}
    return Sheet(
        sheet.names,
        {i: column.take(rows) for i, column in sheet.columns.items()},
        sheet.width,
        sheet.lines[rows],
        {place[row]: text for row, text in sheet.ragged.items() if row in place},
    )


def _repeated(text: str, n_rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(n_rows, dtype=np.int32)), pa.array([text])
    ).cast(pa.string())
