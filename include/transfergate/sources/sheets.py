"""One file as columns of text, or typed ones: header, rows and their lines, ragged rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams
from transfergate.sources import row_groups
from transfergate.sources.content import as_utf8, broken, kind_of, unpacked


@dataclass(frozen=True)
class Sheet:
    """Columns of one file.

    Attributes:
        names: What the header calls them, without blanks around; empty where there is no header.
        columns: Arrays by position from 0, each of shape (rows,); only those that were asked for.
        width: How many columns the file has.
        lines: Line of each row in the file, from 1 (for Parquet the row), shape (rows,).
        ragged: Row -> its text, for rows with more or fewer cells than the file has columns.
    """

    names: list[str]
    columns: dict[int, pa.Array]
    width: int
    lines: npt.NDArray[np.int64]
    ragged: dict[int, str]


class SheetReader:
    """A file's content with what its format says of it; the header is read once."""

    def __init__(self, url: str, content: pa.Buffer, shape: FileFormatParams) -> None:
        self.url = url
        self.shape = shape
        self.parquet = kind_of(url, shape) == "parquet"
        if self.parquet:
            self._content = content
            self.names, self.width = self._schema()
        else:
            self._text = as_utf8(url, unpacked(url, content), shape.encoding)
            self.names, self.width, self._first = self._header()

    def read(self, wanted: Sequence[int], parts: Sequence[int] | None = None) -> Sheet:
        """Columns by position from 0.

        Args:
            wanted: Positions.
            parts: Row groups, as :meth:`parts_with` gives them; None for all rows.

        Raises:
            SourceError: If rows are ragged and the format does not set them apart, or the file is
                broken; names line and text.
        """
        indices = sorted(set(wanted))
        if self.parquet:
            table = self._typed(indices, parts)
            columns = {i: _one(table.column(k)) for k, i in enumerate(indices)}
            lines = (
                np.arange(1, table.num_rows + 1)
                if parts is None
                else row_groups.rows_of(self._content, parts)
            )
            return Sheet(self.names, columns, self.width, lines, {})
        parsed = self._parsed(indices)
        if parsed is None:
            return self._row_by_row(indices)
        lines = self._lines(parsed.num_rows)
        columns = {i: _one(parsed[f"f{i}"]) for i in indices}
        return Sheet(self.names, columns, self.width, lines, {})

    def _schema(self) -> tuple[list[str], int]:
        try:
            names = list(pq.read_schema(pa.BufferReader(self._content)).names)
        except (pa.ArrowException, OSError) as error:
            raise broken(self.url, "Parquet", error) from error
        return names, len(names)

    def parts_with(self, column: int, texts: Collection[str], *, empty: bool) -> list[int] | None:
        """Row groups that may hold one of some texts in a column; see :mod:`row_groups`.

        Args:
            column: Position from 0.
            texts: Texts looked for, blanks around them aside.
            empty: Whether cells without a text are looked for too.

        Returns:
            Their numbers; None for all, as of a file that has no row groups.
        """
        if not self.parquet:
            return None
        return row_groups.groups_with(self._content, self.names[column], texts, empty=empty)

    def _typed(self, indices: list[int], parts: Sequence[int] | None) -> pa.Table:
        try:
            names = [self.names[i] for i in indices]
            if parts is not None:
                return row_groups.read_groups(self._content, parts, names)
            return pq.read_table(pa.BufferReader(self._content), columns=names)
        except (pa.ArrowException, OSError) as error:
            raise broken(self.url, "Parquet", error) from error

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        # Line of the record's beginning and its cells; blank lines are no records.
        stream = io.TextIOWrapper(io.BytesIO(self._text), encoding="utf-8", newline="")
        for _ in range(self.shape.skip_lines):
            stream.readline()
        quote = self.shape.quote
        reader = csv.reader(
            stream,
            delimiter=self.shape.delimiter,
            quotechar=quote,
            quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
        )
        begin = self.shape.skip_lines + 1
        try:
            for cells in reader:
                end = self.shape.skip_lines + reader.line_num
                if end > begin:
                    self._refuse_open_quote(begin, end)
                if cells:
                    yield begin, cells
                begin = end + 1
        except csv.Error as error:
            self._refuse_open_quote(begin, None)
            raise broken(self.url, f"CSV in line {begin}", error) from error

    def _refuse_open_quote(self, begin: int, end: int | None) -> None:
        # What follows such a quote would be one row, however many there are.
        quote = self.shape.quote
        if quote and self._odd_quotes:
            until = f"goes on to line {end}" if end else "is not closed"
            raise SourceError(
                f"{self.url}: line {begin}: a cell begins with {quote} and {until}, and the file "
                f"has an odd number of {quote}: one is missing or too many; correct that line"
            )

    @cached_property
    def _odd_quotes(self) -> bool:
        return self._text.count((self.shape.quote or "").encode()) % 2 == 1

    def _header(self) -> tuple[list[str], int, int]:
        # Names, number of columns, and the line at which the rows begin.
        records = self._records()
        line, cells = next(records, (0, []))
        if not cells:
            raise SourceError(
                f"{self.url}: the file has no row, expected "
                f"{'a header and ' if self.shape.header else ''}bars: replace it or take it away"
            )
        if not self.shape.header:
            return [], len(cells), line
        following, _ = next(records, (line + 1, []))
        return [cell.strip() for cell in cells], len(cells), following

    def _parsed(self, indices: list[int]) -> pa.Table | None:
        # The fast way; None where a row is ragged.
        names = [f"f{i}" for i in range(self.width)]
        quote: str | bool = self.shape.quote or False
        try:
            return pv.read_csv(
                pa.BufferReader(self._text),
                read_options=pv.ReadOptions(column_names=names, skip_rows=self._first - 1),
                parse_options=pv.ParseOptions(
                    delimiter=self.shape.delimiter, quote_char=quote, newlines_in_values=True
                ),
                convert_options=pv.ConvertOptions(
                    include_columns=[f"f{i}" for i in indices],
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _row_by_row(self, indices: list[int]) -> Sheet:
        rows: list[list[str | None]] = []
        lines, ragged = [], {}
        for line, cells in self._records():
            if line < self._first:
                continue
            if len(cells) != self.width:
                ragged[len(rows)] = self.shape.delimiter.join(cells)
                cells = [None] * self.width  # type: ignore[list-item]
            rows.append([cells[i] for i in indices])
            lines.append(line)
        if ragged and self.shape.unreadable == "refuse":
            row, text = next(iter(ragged.items()))
            raise SourceError(
                f"{self.url}: line {lines[row]}: {text[:120]!r} has "
                f"{len(text.split(self.shape.delimiter))} cells, expected {self.width} as in the "
                f"{'header' if self.shape.header else 'first row'} ({len(ragged)} such rows of "
                f"{len(rows)}): correct the file, or its delimiter, quote or decimal in the "
                f"format, or say unreadable = 'quarantine'"
            )
        columns = {
            i: pa.array([row[k] for row in rows], pa.string()) for k, i in enumerate(indices)
        }
        return Sheet(self.names, columns, self.width, np.array(lines, dtype=np.int64), ragged)

    def _lines(self, n_rows: int) -> npt.NDArray[np.int64]:
        # Without blank lines and line breaks in cells, rows and lines keep step.
        ends = self._text.count(b"\n") + (not self._text.endswith(b"\n"))
        if ends - (self._first - 1) == n_rows:
            return np.arange(self._first, self._first + n_rows)
        found = [line for line, _ in self._records() if line >= self._first]
        return np.array(found, dtype=np.int64)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
