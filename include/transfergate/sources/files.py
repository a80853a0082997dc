"""A folder or object store of bar files, each read by the one declared format that it fits."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from transfergate.errors import SourceError
from transfergate.progress import Progress
from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources.base import require_known
from transfergate.sources.description import NAME as DESCRIPTION
from transfergate.sources.events import actions_of_rows, merged_actions, symbols_of_rows
from transfergate.sources.folder import Folder, Stamp, matches
from transfergate.sources.holdings import Holdings
from transfergate.sources.lean import LeanFile, LeanMaps, base_of, beside, read_map_file
from transfergate.sources.reading import READ_SCHEMA, BarFile
from transfergate.sources.tables import (
    read_actions,
    read_declared,
    read_instruments,
    read_symbols,
)
from transfergate.storage.bars import LANDING_SCHEMA, SYMBOL_SCHEMA
from transfergate.storage.landing import Reference

log = logging.getLogger(__name__)
_SHOWN = 5


class FilesSource:
    """Every file below the root, by the formats of the settings.

    A column that a format does not name has the contract's name in the file; besides, ``symbol``
    stands for ``ticker`` and ``date`` for ``session_date``. Nothing else is guessed. Rows without
    a ticker travel with the folder's first ticker, so that they reach quarantine.

    Args:
        root: Folder or object-store URL.
        params: Formats, files to ignore, declared tables.
        kept: Folder for notes of which file holds which tickers, so that the next fetch need not
            read all files for that; None: no notes.
    """

    name = "files"
    lists_all = True

    def __init__(self, root: str, params: SourceParams, kept: Path | None = None) -> None:
        self.folder = Folder(root)
        self.params = params
        self._kept = kept
        self._read_last: tuple[frozenset[str], pa.Table] | None = None

    def tickers(self) -> tuple[str, ...]:
        """Every ticker that a file holds, sorted."""
        return tuple(sorted(ticker for ticker in self._files_of if ticker is not None))

    def fetch(self, tickers: Sequence[str], start: date | None, end: date | None) -> pa.Table:
        """Rows of these tickers, file by file in order of their names; see :class:`Source`.

        Raises:
            SourceError: If a file cannot be read as its format says; names line, column, value.
        """
        require_known(f"files {self.folder.root}", tickers, self.tickers())
        rows = self._rows(tickers).select(LANDING_SCHEMA.names)
        dates, keep = rows["session_date"], pa.scalar(True)
        if start is not None:
            keep = pc.and_(keep, pc.fill_null(pc.greater_equal(dates, start), True))
        if end is not None:
            keep = pc.and_(keep, pc.fill_null(pc.less_equal(dates, end), True))
        return rows.filter(keep) if start or end else rows

    def reference(self, tickers: Sequence[str]) -> Reference:
        """What declared tables and the files themselves say; a declared table goes over a file.

        Raises:
            SourceError: If a line of a table cannot be used, or files contradict each other.
        """
        wanted = set(tickers)
        found = [actions_of_rows(self._rows(tickers))] if self._rows_say("split_ratio") else []
        symbols = [symbols_of_rows(self._rows(tickers))] if self._rows_say("symbol") else []
        more: list[dict[str, object]] = []
        for maps in self._maps.values():
            symbols.append(maps.symbols(wanted))
            more += self._lean_actions(maps, tickers)
        params, folder = self.params, self.folder
        declared = read_declared(folder, params.actions, read_actions)
        instruments = read_declared(folder, params.instruments, read_instruments)
        if (listed := read_declared(folder, params.symbols, read_symbols)) is not None:
            symbols.append(listed)
        uses = pa.concat_tables([SYMBOL_SCHEMA.empty_table(), *symbols])
        uses = uses.filter(pc.or_(_in(uses["ticker"], wanted), _in(uses["symbol"], wanted)))
        # A declared table names tickers, where what is wanted may be symbols.
        wanted |= set(uses["ticker"].drop_null().to_pylist())
        actions = merged_actions(found, declared, more)
        parts = {"actions": actions.filter(_in(actions["ticker"], wanted)), "symbols": uses}
        if instruments is not None:
            parts["instruments"] = instruments.filter(_in(instruments["ticker"], wanted))
        return Reference(**parts)

    def _rows(self, tickers: Collection[str]) -> pa.Table:
        # What was read last is kept: the same tickers are asked for bars and then for actions.
        wanted = frozenset(tickers)
        if self._read_last is None or self._read_last[0] != wanted:
            known = self.tickers()
            strays = known[0] in wanted
            keep: set[str | None] = {*wanted, *([None] if strays else [])}
            holding = {file.name for t in keep for file in self._files_of.get(t, ())}
            files = [file for file in self._files if file.name in holding]
            progress = Progress(f"read from {self.folder.root}", len(files), "files")
            tables = [file.read(wanted, strays=strays) for file in progress.over(files)]
            rows = pa.concat_tables([READ_SCHEMA.empty_table(), *tables]).combine_chunks()
            self._read_last = (wanted, rows)
        return self._read_last[1]

    def _rows_say(self, what: str) -> bool:
        # Whether a format in use names columns of actions, or that of symbols.
        names = {"symbol"} if what == "symbol" else {"split_ratio", "dividend"}
        return any(names & set(file.shape.columns) for file in self._files)

    def _lean_actions(self, maps: LeanMaps, tickers: Sequence[str]) -> list[dict[str, object]]:
        rows = self._rows(tickers)
        found: list[dict[str, object]] = []
        for ticker in sorted(set(tickers)):
            mine = rows.filter(pc.equal(rows["ticker"], ticker))["session_date"].drop_null()
            found += maps.actions(ticker, sorted(set(mine.to_pylist())))
        return found

    @cached_property
    def _files(self) -> list[BarFile]:
        names = sorted(self._stamps)
        params = self.params
        tables = (params.actions, params.instruments, params.symbols, params.expectations)
        declared = {DESCRIPTION, *(self.folder.below(name) for name in tables if name)}
        names = [
            name for name in names
            if name not in declared and not matches(name, *params.ignore)
        ]  # fmt: skip
        fitting = {
            name: [shape for shape in self._formats if matches(name, shape.pattern)]
            for name in names
            if not (self._has_lean and beside(name))
        }
        self._refuse_unfit(fitting)
        return [self._file(name, shapes[0], names) for name, shapes in fitting.items()]

    @cached_property
    def _formats(self) -> list[FileFormatParams]:
        own = {"currency": self.params.currency}
        formats = self.params.formats
        return [one if one.currency or not own["currency"] else one.model_copy(update=own)
                for one in formats]  # fmt: skip

    @cached_property
    def _stamps(self) -> dict[str, Stamp | None]:
        return self.folder.stamps()

    def _file(self, name: str, shape: FileFormatParams, names: list[str]) -> BarFile:
        if shape.kind == "lean":
            return LeanFile(self.folder, name, shape, self._maps_of(name, names))
        return BarFile(self.folder, name, shape)

    @property
    def _has_lean(self) -> bool:
        return any(shape.kind == "lean" for shape in self.params.formats)

    def _maps_of(self, name: str, names: list[str]) -> LeanMaps:
        base = base_of(name)
        if base not in self._maps:
            self._maps[base] = LeanMaps(self.folder, base, names, self._map_lines)
        return self._maps[base]

    def _map_lines(self, name: str) -> list[list[str]]:
        return self._holdings.lines(
            name, self._stamps[name], lambda: read_map_file(self.folder, name)
        )

    @cached_property
    def _holdings(self) -> Holdings:
        return Holdings(self._kept, self.folder.root)

    @cached_property
    def _maps(self) -> dict[str, LeanMaps]:
        return {}

    def _refuse_unfit(self, fitting: dict[str, list[FileFormatParams]]) -> None:
        patterns = ", ".join(repr(shape.pattern) for shape in self.params.formats)
        none = [name for name, shapes in fitting.items() if not shapes]
        many = {name: shapes for name, shapes in fitting.items() if len(shapes) > 1}
        if not fitting:
            raise SourceError(
                f"source 'files': {self.folder.root} holds no file of bars (patterns {patterns}): "
                f"name another folder, or look at the source's ignore"
            )
        if none:
            raise SourceError(
                f"source 'files': {_some(none)} in {self.folder.root} fit no pattern ({patterns}): "
                f"declare their format, or name them in the source's ignore"
            )
        if many:
            name, shapes = next(iter(many.items()))
            raise SourceError(
                f"source 'files': {_some(list(many))} in {self.folder.root} fit more than one "
                f"pattern ({name}: {', '.join(repr(s.pattern) for s in shapes)}): narrow the "
                f"patterns, so that each file fits one"
            )

    @cached_property
    def _files_of(self) -> dict[str | None, list[BarFile]]:
        # None: files with rows that name no ticker.
        holders: dict[str | None, list[BarFile]] = {}
        for file in self._files:
            for ticker in self._holdings.tickers(file, self._stamps[file.name]):
                holders.setdefault(ticker, []).append(file)
        self._holdings.keep()
        if not holders.keys() - {None}:
            raise SourceError(
                f"source 'files': {len(self._files)} files in {self.folder.root} hold no ticker: "
                f"expected at least one row with one; look at the column that stands for the ticker"
            )
        log.info("%s: %d files, %d tickers", self.folder.root, len(self._files), len(holders))
        return holders


def _in(column: pa.ChunkedArray, names: set[str]) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(sorted(names), pa.string()))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f", … ({len(names)} files)" if len(names) > _SHOWN else "")
