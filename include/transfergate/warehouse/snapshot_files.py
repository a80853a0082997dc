"""The files of a snapshot: settled rows of each ticker, recent rows of all, restart points.

Rows of the calendar year of the last session are recent and lie in one file; all before are
settled and lie in one file for each ticker. So a new session writes one file, and the settled
ones are the same as in the snapshot before: linked, not written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transfergate.storage import ArtefactStore, content_hash
from transfergate.warehouse.batch_bars import STATES, TickerPlan, ticker_spans

# A plus sign is escaped in a ticker's file name, so these are no ticker's.
RECENT = "+recent.parquet"
MARKET = "+market.parquet"
POINTS = "+points.parquet"
_HEAD = timedelta(days=15)
_POINT_COLUMNS = {
    "ticker": pa.string(),
    "bar_number": pa.int64(),
    "session_date": pa.date32(),
    "close": pa.float64(),
    **dict.fromkeys(STATES, pa.float64()),
}


@dataclass(frozen=True)
class Rows:
    """Published rows of one ticker.

    Attributes:
        sessions: ``datetime64[D]``, shape (T,), increasing.
        prices: float64 (2, T): adjusted open and close.
        scores: float32 (F, T); NaN until warm.
    """

    sessions: npt.NDArray[np.datetime64]
    prices: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.sessions)

    def part(self, start: int, end: int | None = None) -> Rows:
        """Rows from one number to another."""
        return Rows(self.sessions[start:end], self.prices[:, start:end], self.scores[:, start:end])

    def before(self, day: date) -> int:
        """How many rows lie before a day."""
        return int(np.searchsorted(self.sessions, np.datetime64(day, "D")))

    def followed_by(self, later: Rows) -> Rows:
        """These rows and later ones."""
        return Rows.joined([self, later])

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """All rows of at least one part, in their order."""
        return cls(
            np.concatenate([part.sessions for part in parts]),
            np.concatenate([part.prices for part in parts], axis=1),
            np.concatenate([part.scores for part in parts], axis=1),
        )

    @classmethod
    def none(cls, n_features: int) -> Rows:
        """No rows."""
        scores = np.empty((n_features, 0), np.float32)
        return cls(np.empty(0, "datetime64[D]"), np.empty((2, 0)), scores)

    @property
    def content(self) -> str:
        """Hash of the values, whatever file they lie in."""
        days = np.ascontiguousarray(self.sessions.astype("datetime64[D]").astype("<i4"))
        return content_hash(
            days.tobytes(),
            np.ascontiguousarray(self.prices, "<f8").tobytes(),
            np.ascontiguousarray(self.scores, "<f4").tobytes(),
            length=32,
        )

    def table(self, features: Sequence[str]) -> pa.Table:
        """As the columns of a snapshot's file; NaN scores are null."""
        arrays = {
            "session_date": pa.array(self.sessions.astype("datetime64[D]"), pa.date32()),
            "open": pa.array(np.ascontiguousarray(self.prices[0])),
            "close": pa.array(np.ascontiguousarray(self.prices[1])),
        }
        for name, scores in zip(features, self.scores, strict=True):
            arrays[name] = pa.array(np.ascontiguousarray(scores), from_pandas=True)
        return pa.table(arrays)

    @classmethod
    def of_table(cls, table: pa.Table, features: Sequence[str]) -> Rows:
        """From a table that ``table`` made."""
        scores = [
            pc.fill_null(table[name].combine_chunks(), np.float32(np.nan)).to_numpy()
            for name in features
        ]
        n = table.num_rows
        return cls(
            table["session_date"].to_numpy().astype("datetime64[D]"),
            np.stack([table[name].to_numpy() for name in ("open", "close")]),
            np.stack(scores) if n else np.empty((len(features), 0), np.float32),
        )


def write_parquet(path: Path, table: pa.Table) -> str:
    """Write one file, the same bytes for the same table; returns its SHA-256."""
    sink = pa.BufferOutputStream()
    # Numbers that hardly repeat: a dictionary of them takes three times the time, and more space.
    pq.write_table(table.combine_chunks(), sink, compression="zstd", use_dictionary=["ticker"])
    content = sink.getvalue()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def write_settled(folder: Path, ticker: str, rows: Rows, features: Sequence[str]) -> dict[str, Any]:
    """Write the settled rows of a ticker; returns its entry in the manifest."""
    name = f"{quote(ticker, safe='')}.parquet"
    digest = write_parquet(folder / name, rows.table(features))
    return {"name": name, "sha256": digest, "rows": len(rows), "content": rows.content}


@dataclass(frozen=True)
class BaseSnapshot:
    """A published snapshot that the next one starts from; read only.

    Attributes:
        store: Where it lies.
        manifest: Its manifest.
    """

    store: ArtefactStore
    manifest: dict[str, Any]

    def path(self, name: str) -> Path:
        """One of its files, or a local copy."""
        if self._folder:
            return self._folder / name
        return self.store.local(f"snapshots/{self.manifest['id']}/{name}")

    @cached_property
    def _folder(self) -> Path | None:
        try:
            return self.store.root / "snapshots" / str(self.manifest["id"])
        except ValueError:  # an object store
            return None

    @cached_property
    def market(self) -> pa.Table:
        """Sums behind the market's return of each session."""
        return pq.ParquetFile(self.path(MARKET)).read()

    @cached_property
    def _points(self) -> tuple[pa.Table, npt.NDArray[np.int64], dict[str, tuple[int, int]]]:
        """Restart points of all tickers, their bars' numbers, and ticker -> its rows."""
        table = pq.ParquetFile(self.path(POINTS)).read().combine_chunks()
        rows = {name: (span.start, span.stop) for name, span in ticker_spans(table["ticker"])}
        return table.drop_columns(["ticker"]), table["bar_number"].to_numpy(), rows

    @cached_property
    def _point_columns(self) -> dict[str, pa.Array]:
        table = self._points[0]
        return {name: table[name].combine_chunks() for name in table.column_names}

    @cached_property
    def _planned(self) -> dict[tuple[str, date, int], TickerPlan]:
        return {}

    @cached_property
    def _recent(self) -> dict[str, Rows]:
        table = pq.ParquetFile(self.path(RECENT)).read()
        rows = Rows.of_table(table, self.manifest["features"])
        spans = ticker_spans(table["ticker"])
        return {ticker: rows.part(span.start, span.stop) for ticker, span in spans}

    @cached_property
    def recent_from(self) -> date:
        """First day whose rows are recent."""
        return date.fromisoformat(self.manifest["recent_from"])

    @staticmethod
    def no_points() -> pa.Table:
        """No restart points."""
        return pa.table({name: pa.array([], kind) for name, kind in _POINT_COLUMNS.items()})

    def points(self, ticker: str, before_bar: int | None = None) -> pa.Table:
        """Restart points of a ticker before a bar's number, without the ticker's column."""
        start, end = self._point_span(ticker, before_bar)
        return self._points[0].slice(start, end - start)

    def _point_span(self, ticker: str, before_bar: int | None) -> tuple[int, int]:
        _, numbers, rows = self._points
        start, end = rows.get(ticker, (0, 0))
        if before_bar is not None:
            end = start + int(np.searchsorted(numbers[start:end], before_bar))
        return start, end

    def recent(self, ticker: str) -> Rows:
        """Recent rows of a ticker."""
        found = self._recent.get(ticker)
        return Rows.none(len(self.manifest["features"])) if found is None else found

    def rows(self, ticker: str) -> Rows:
        """All rows of a ticker; none where it is not in the snapshot."""
        if ticker not in self.manifest["files"]:
            return self.recent(ticker)
        table = pq.read_table(self.path(self.manifest["files"][ticker]["name"]))
        return Rows.of_table(table, self.manifest["features"]).followed_by(self.recent(ticker))

    def rows_before(self, ticker: str, day: date) -> int:
        """How many rows a ticker has before a day."""
        if ticker not in self.manifest["files"]:
            return 0
        if day >= self.recent_from:
            settled = int(self.manifest["files"][ticker]["rows"])
            return settled + self.recent(ticker).before(day)
        name = self.manifest["files"][ticker]["name"]
        days = pq.read_table(self.path(name), columns=["session_date"])["session_date"]
        return int(np.searchsorted(days.to_numpy(), np.datetime64(day, "D")))

    def has_rows_from(self, ticker: str, day: date) -> bool:
        """Whether a ticker has a row on a day or later."""
        return self.rows_before(ticker, day) < int(self.manifest["rows"].get(ticker, 0))

    def plan(self, ticker: str, changed_from: date, bars_needed: int) -> TickerPlan:
        """Where to start so that all rows from a session on are those of a full computation.

        Args:
            ticker: The ticker.
            changed_from: First session to compute.
            bars_needed: Bars before a row that its scores depend on.
        """
        asked = (ticker, changed_from, bars_needed)
        if asked not in self._planned:
            self._planned[asked] = self._plan(*asked)
        return self._planned[asked]

    def _plan(self, ticker: str, changed_from: date, bars_needed: int) -> TickerPlan:
        first_row = self.rows_before(ticker, changed_from)
        start, end = self._point_span(ticker, first_row - bars_needed)
        if start == end:
            return TickerPlan(ticker, changed_from, first_row)
        point = {name: values[end - 1].as_py() for name, values in self._point_columns.items()}
        return TickerPlan(
            ticker,
            changed_from,
            first_row,
            point["session_date"],
            point["bar_number"],
            point["close"],
            date.fromisoformat(self.manifest["files"][ticker]["first_session"]) + _HEAD,
            tuple(point[name] for name in STATES),
        )
