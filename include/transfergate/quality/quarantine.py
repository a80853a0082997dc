"""Quarantined rows of a batch, read in parts from its published Parquet file: pages and CSV.

Memory does not grow with the file: rows are read by groups, and only a page of them is kept.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transfergate.quality.browse import COLUMNS, rule_of

NO_TICKER = "(none)"
"""Asks for rows without a ticker."""

_ROWS_AT_ONCE = 50_000
# The last four are the full-width forms of the first.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Filter:
    """Which rows are wanted: of one ticker, with one rule among their reasons; empty for any."""

    ticker: str = ""
    rule: str = ""


@dataclass(frozen=True)
class Part:
    """Some rows, how many there are in all, and how many fit the filter."""

    rows: list[dict[str, Any]]
    total: int
    matching: int


def quarantine_part(file: Path, wanted: Filter, first: int, count: int) -> Part:
    """Rows ``first`` to ``first + count - 1`` of those that fit, in the batch's order.

    Args:
        file: ``quarantine.parquet`` of a batch.
        wanted: The filter.
        first: Number of the first row among those that fit, from 0.
        count: How many rows at most.

    Returns:
        Rows as plain values under the names of ``COLUMNS``; ``reasons`` is a tuple of rules.
    """
    rows: list[dict[str, Any]] = []
    with pq.ParquetFile(file) as parquet:
        total = parquet.metadata.num_rows
        if wanted == Filter():
            for batch in _groups_from(parquet, first, count):
                rows += _plain(batch)
            return Part(rows, total, total)
        matching = 0
        for batch in parquet.iter_batches(_ROWS_AT_ONCE):
            found = batch.filter(_fits(batch, wanted))
            start = max(first - matching, 0)
            if len(rows) < count and start < found.num_rows:
                rows += _plain(found.slice(start, count - len(rows)))
            matching += found.num_rows
    return Part(rows, total, matching)


def quarantine_csv(file: Path, wanted: Filter) -> Iterator[bytes]:
    """Rows that fit as CSV, with a header, piece by piece.

    Text that a spreadsheet would run as a formula gets an apostrophe before it; numbers do not.
    """
    yield csv_lines([COLUMNS])
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(_ROWS_AT_ONCE):
            rows = _plain(batch.filter(_fits(batch, wanted)))
            cells = ([harmless(_said(row[name])) for name in COLUMNS] for row in rows)
            if text := csv_lines(cells):
                yield text


def harmless(value: Any) -> Any:
    """A cell of a CSV that no spreadsheet takes for a formula; a number stays one."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return "'" + value if value.lstrip(" ").startswith(_FORMULA) else value


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Lines of a CSV; nothing where there are no rows."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows(rows)
    return sink.getvalue().encode()


def _groups_from(parquet: pq.ParquetFile, first: int, count: int) -> Iterator[pa.RecordBatch]:
    # Row groups before the first row are not read.
    passed = 0
    for number in range(parquet.num_row_groups):
        size = parquet.metadata.row_group(number).num_rows
        start, stop = max(first - passed, 0), min(first + count - passed, size)
        passed += size
        if start >= stop:
            continue
        for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=[number]):
            here = batch.slice(start, max(stop - start, 0)) if start < batch.num_rows else None
            if here is not None and here.num_rows:
                yield here
            start, stop = max(start - batch.num_rows, 0), stop - batch.num_rows
            if stop <= 0:
                break


def _fits(batch: pa.RecordBatch, wanted: Filter) -> pa.Array:
    keep = pa.array([True] * batch.num_rows, pa.bool_())
    if wanted.ticker:
        names = batch.schema.names
        ticker = batch["ticker"] if "ticker" in names else pa.nulls(batch.num_rows, pa.string())
        ticker = pc.fill_null(ticker.cast(pa.string()), NO_TICKER)
        keep = pc.and_(keep, pc.equal(ticker, wanted.ticker))
    if wanted.rule:
        reasons = batch["reasons"]
        rules = pc.list_element(pc.split_pattern(reasons.flatten(), ":", max_splits=1), 0)
        hit = pc.filter(pc.list_parent_indices(reasons), pc.equal(rules, wanted.rule))
        rows = pa.array(range(batch.num_rows), pa.int64())
        keep = pc.and_(keep, pc.is_in(rows, value_set=pc.unique(hit).cast(pa.int64())))
    return keep


def _plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    found = []
    for row in batch.to_pylist():
        reasons = tuple(dict.fromkeys(map(rule_of, row["reasons"])))
        found.append({**{name: row.get(name) for name in COLUMNS}, "reasons": reasons})
    return found


def _said(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, tuple) else value
