"""A folder of Parquet or CSV files, read by one column mapping that the settings declare."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams
from transfergate.sources.base import BarsOnly, bars_table, require_known, within
from transfergate.storage.bars import BAR_SCHEMA, PRICES

_SUFFIXES = (".parquet", ".csv", ".csv.gz")
_REQUIRED = ("ticker", "session_date", *PRICES)
_ALIASES = {"ticker": "symbol", "session_date": "date"}


class FilesSource(BarsOnly):
    """Every ``*.parquet``, ``*.csv`` and ``*.csv.gz`` of a folder that fits the pattern.

    A column that the mapping does not name has the contract's name in the file; besides,
    ``symbol`` stands for ``ticker`` and ``date`` for ``session_date``. Nothing else is guessed.
    Rows without a ticker travel with the folder's first ticker, so that they reach quarantine.
    """

    name = "files"

    def __init__(self, root: Path, file_format: FileFormatParams) -> None:
        self.root = root.expanduser().resolve()
        self.format = file_format

    def tickers(self) -> tuple[str, ...]:
        """Every ticker that a file holds, sorted."""
        return tuple(sorted(ticker for ticker in self._files_of if ticker is not None))

    def fetch(self, tickers: Sequence[str], start: date | None, end: date | None) -> pa.Table:
        """Rows of these tickers, file by file in order of their names."""
        known = self.tickers()
        require_known(f"files {self.root}", tickers, known)
        wanted = sorted(set(tickers))
        strays: list[None] = [None] if known[0] in wanted else []
        keep = {*wanted, *strays}
        paths = {path for ticker in keep for path in self._files_of.get(ticker, ())}
        frames = []
        for path in sorted(paths):
            frame = self._frame(path)
            mine = frame["ticker"].isin(wanted) | (frame["ticker"].isna() & bool(strays))
            frames.append(within(frame[mine], start, end))
        # One file at a time: an all-null column of one must not change the type of another.
        return pa.concat_tables([bars_table(frame) for frame in frames])

    @cached_property
    def _paths(self) -> list[Path]:
        if not self.root.is_dir():
            raise SourceError(
                f"source 'files': {self.root} is not a folder: give a folder that holds bars as "
                f"{', '.join(_SUFFIXES)}"
            )
        paths = sorted(
            path
            for path in self.root.glob(self.format.pattern)
            if path.is_file() and path.name.endswith(_SUFFIXES)
        )
        if not paths:
            raise SourceError(
                f"source 'files': no file of {self.root} fits pattern {self.format.pattern!r} and "
                f"ends in {', '.join(_SUFFIXES)}: correct the source's formats.pattern or folder"
            )
        return paths

    @cached_property
    def _files_of(self) -> dict[str | None, set[Path]]:
        # None: files with rows that name no ticker.
        holders: dict[str | None, set[Path]] = {}
        for path in self._paths:
            for ticker in self._tickers_in(path):
                holders.setdefault(ticker, set()).add(path)
        if not holders.keys() - {None}:
            raise SourceError(
                f"source 'files': {len(self._paths)} files in {self.root} hold no ticker: expected "
                f"at least one row with one; look at the column that stands for the ticker"
            )
        return holders

    def _tickers_in(self, path: Path) -> list[str | None]:
        if self.format.ticker_from == "filename":
            return [_stem(path)]
        column = self._mapping(path, _column_names(path))["ticker"]
        values = _text(_read(path, [column], text=[column])[column])
        return [value.as_py() for value in pc.unique(values)]

    def _mapping(self, path: Path, present: Sequence[str]) -> dict[str, str]:
        # Contract column -> column in the file, for those that the file has.
        declared = self.format.columns
        unknown = sorted(set(declared) - set(BAR_SCHEMA.names))
        mapping, missing = {}, []
        for name in BAR_SCHEMA.names:
            if name == "ticker" and self.format.ticker_from == "filename":
                continue
            wanted = [declared[name]] if name in declared else [name]
            if name not in declared and name in _ALIASES:
                wanted.append(_ALIASES[name])
            found = [column for column in wanted if column in present]
            if len(found) == 1:
                mapping[name] = found[0]
            elif len(found) > 1:
                missing.append(f"{name} (one of {' and '.join(found)}; both are there)")
            elif name in declared or name in _REQUIRED:
                missing.append(f"{name} (expected as {' or '.join(map(repr, wanted))})")
        if missing or unknown:
            raise _unmapped(path, missing, unknown, present)
        return mapping

    def _frame(self, path: Path) -> pd.DataFrame:
        # Columns of the contract that the file has; ticker str, session_date datetime64.
        mapping = self._mapping(path, _column_names(path))
        text = [mapping[name] for name in ("ticker", "currency") if name in mapping]
        table = _read(path, list(mapping.values()), text)
        columns: dict[str, Any] = {}
        for name, column in mapping.items():
            values = table[column]
            if name in ("ticker", "currency"):
                columns[name] = _text(values).to_pandas()
            elif name == "session_date":
                columns[name] = _dates(path, column, values, self.format.date_format)
            else:
                columns[name] = _numbers(path, column, values)
        frame = pd.DataFrame(columns)
        if self.format.ticker_from == "filename":
            frame = frame.assign(ticker=_stem(path))
        return frame


def _unmapped(
    path: Path, missing: list[str], unknown: list[str], present: Sequence[str]
) -> SourceError:
    lines = [f"missing {', '.join(missing)}"] if missing else []
    if unknown:
        lines.append(
            f"sources.<name>.formats.columns names {', '.join(unknown)}, "
            f"expected names among {', '.join(BAR_SCHEMA.names)}"
        )
    return SourceError(
        f"{path}: {'; '.join(lines)}; columns found: {', '.join(present)}: say which column is "
        f"which with sources.<name>.formats.columns (contract column = column in the file), for "
        f'example columns = {{ ticker = "symbol", session_date = "date" }}'
    )


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(end) for end in _SUFFIXES[::-1] if path.name.endswith(end))


def _column_names(path: Path) -> list[str]:
    try:
        if path.suffix == ".parquet":
            return list(pq.read_schema(path).names)
        with pa.input_stream(path, compression="detect") as stream:
            return list(pv.open_csv(stream).schema.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _read(path: Path, columns: list[str], text: list[str]) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path, columns=columns)
        # A ticker may look like a number, a null ("NA") or a truth value: read it as text.
        options = pv.ConvertOptions(
            include_columns=columns, column_types=dict.fromkeys(text, pa.string())
        )
        return pv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"{path}: cannot be read as {'Parquet' if path.suffix == '.parquet' else 'CSV'} "
        f"({str(error).splitlines()[0]}): replace the file, or leave it out with "
        f"sources.<name>.formats.pattern"
    )


def _text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    text = values.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _numbers(path: Path, column: str, values: pa.ChunkedArray) -> pd.Series[Any]:
    try:
        numbers: pd.Series[Any] = values.cast(pa.float64()).to_pandas()
        return numbers
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(
            f"{path}: column {column!r} is {values.type}, expected numbers "
            f"({str(error).splitlines()[0]}): correct the file, or the column's mapping in "
            f"sources.<name>.formats.columns"
        ) from error


def _dates(
    path: Path, column: str, values: pa.ChunkedArray, date_format: str | None
) -> pd.Series[Any]:
    # A session is the wall-clock day of its own time zone; what cannot be read becomes null.
    if pa.types.is_temporal(values.type):
        series: pd.Series[Any] = values.to_pandas(date_as_object=False)
        if series.dt.tz is not None:
            series = series.dt.tz_localize(None)
        return _midnights(series)
    text = values.cast(pa.string()).to_pandas()
    series = pd.to_datetime(text, format=date_format or "%Y-%m-%d", errors="coerce", exact=True)
    if len(series) and series.isna().all() and text.notna().any():
        raise SourceError(
            f"{path}: no value of column {column!r} is a date (first {text.dropna().iloc[0]!r}, "
            f"expected {date_format or 'ISO, such as 2018-02-07'}): set "
            f"sources.<name>.formats.date_format, for example %d/%m/%Y"
        )
    return _midnights(series)


def _midnights(series: pd.Series[Any]) -> pd.Series[Any]:
    days: pd.Series[Any] = series.dt.normalize().astype("datetime64[us]")
    return days
