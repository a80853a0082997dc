"""From a long table of returns to aligned arrays per ticker, with every defect named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transfergate.errors import GateInputError
from transfergate.evaluation.ledger import ARMS, REQUIRED_ARMS

FloatArray = NDArray[np.float64]
Dates = NDArray[np.datetime64]

COLUMN_TYPES = {
    "ticker": pa.string(),
    "session_date": pa.date32(),
    "fold": pa.int64(),
    "arm": pa.string(),
    "seed": pa.int64(),
    "net_return": pa.float64(),
}
PARTIAL_ARMS = ("champion",)
"""Arms that may lack whole folds and begin within one: a champion counts on unseen sessions."""


@dataclass(frozen=True)
class ArmRecord:
    """One arm of one ticker: ``returns`` has shape (K, T), ``dates`` (T,) ascending."""

    dates: Dates
    fold: NDArray[np.int64]
    returns: FloatArray


@dataclass(frozen=True)
class Reference:
    """A reference's net returns, shape (R,), on ``sessions`` (indices into the record), (R,)."""

    sessions: NDArray[np.int64]
    returns: FloatArray


@dataclass(frozen=True)
class TickerRecord:
    """One ticker's stitched out-of-sample record, aligned.

    Attributes:
        ticker: The target.
        dates: Sessions, ascending, shape (T,).
        folds: Indices of each fold's sessions, in order of time.
        finetuned: Net returns, shape (K, T).
        scratch: Net returns of the paired seeds, shape (K, T).
        references: The other arms.
    """

    ticker: str
    dates: Dates
    folds: tuple[NDArray[np.int64], ...]
    finetuned: FloatArray
    scratch: FloatArray
    references: Mapping[str, Reference]


_SEEDS = {
    True: "0 to K-1, each paired between finetuned and scratch",
    False: "null or 0: a reference has one series",
}


def check_columns(table: pa.Table) -> pa.Table:
    """Select the six columns and cast them.

    Raises:
        GateInputError: If a column is missing, of a type that does not cast, or all is empty.
    """
    missing = [name for name in COLUMN_TYPES if name not in table.column_names]
    if missing:
        raise GateInputError(
            f"returns: columns {missing} are missing, found {table.column_names}; expected "
            f"{', '.join(COLUMN_TYPES)}; rename or add them"
        )
    columns = {}
    for name, wanted in COLUMN_TYPES.items():
        columns[name] = _cast(table[name], name, wanted)
    if table.num_rows == 0:
        raise GateInputError(
            "returns: no rows, expected at least the arms finetuned and scratch of one ticker; "
            "check what wrote this file"
        )
    result = pa.table(columns)
    for name in ("ticker", "arm", "session_date", "fold"):
        if result[name].null_count:
            raise GateInputError(
                f"returns: {result[name].null_count} rows have no {name}, first in row "
                f"{pc.index(pc.is_null(result[name]), True).as_py() + 1}; fill it in"
            )
    return result


def _cast(column: pa.ChunkedArray, name: str, wanted: pa.DataType) -> pa.ChunkedArray:
    found = column.type
    textual = pa.types.is_string(found) or pa.types.is_large_string(found)
    if pa.types.is_dictionary(found):
        return _cast(column.cast(found.value_type), name, wanted)
    numeric = pa.types.is_integer(found) or pa.types.is_floating(found)
    fits = {
        pa.string(): textual,
        pa.date32(): textual or pa.types.is_temporal(found),
        pa.int64(): numeric or pa.types.is_null(found),
        pa.float64(): numeric or pa.types.is_decimal(found),
    }
    message = f"returns: column {name} has type {found}, expected {wanted}"
    if not (fits[wanted] or column.null_count == len(column)):
        raise GateInputError(f"{message}; convert it in what wrote this file")
    try:
        if pa.types.is_timestamp(found) and found.tz is not None:
            column = pc.local_timestamp(column)
        if wanted == pa.int64() and pa.types.is_floating(found):
            column = pc.if_else(pc.is_nan(column), None, column)
        return column.cast(pa.string() if textual else column.type).cast(wanted)
    except pa.ArrowInvalid as error:
        raise GateInputError(f"{message}, and does not convert: {error}") from error


def ticker_tables(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Split a checked table by ticker, sorted; rows by arm, seed and session."""
    table = table.set_column(
        table.column_names.index("seed"), "seed", pc.fill_null(table["seed"], 0)
    )
    order = [(name, "ascending") for name in ("ticker", "arm", "seed", "session_date")]
    table = table.sort_by(order).combine_chunks()
    for start, stop in _runs(table["ticker"]):
        yield table["ticker"][start].as_py(), table.slice(start, stop - start)


def ticker_record(ticker: str, table: pa.Table) -> TickerRecord:
    """Align one ticker's arms.

    Raises:
        GateInputError: Naming ticker, arm and dates, if a required arm is missing, an arm is
            unknown, a key stands twice, a return is not finite, seeds are not paired, or dates
            or folds differ between arms.
    """
    arms = {
        table["arm"][start].as_py(): _arm_record(
            ticker, table["arm"][start].as_py(), table.slice(start, stop - start)
        )
        for start, stop in _runs(table["arm"])
    }
    for arm in REQUIRED_ARMS:
        if arm not in arms:
            raise GateInputError(
                f"{ticker}: arm {arm} is missing, found {', '.join(sorted(arms))}; write its "
                f"returns on the same sessions, or leave the ticker out"
            )
    finetuned, scratch = arms["finetuned"], arms["scratch"]
    sessions = {arm: _sessions(ticker, arm, finetuned, record) for arm, record in arms.items()}
    if len(finetuned.returns) != len(scratch.returns):
        raise GateInputError(
            f"{ticker}: seeds are not paired: finetuned has {len(finetuned.returns)}, scratch "
            f"{len(scratch.returns)}; every seed needs both arms"
        )
    numbers = finetuned.fold
    first = {number: int(np.argmax(numbers == number)) for number in np.unique(numbers)}
    return TickerRecord(
        ticker,
        finetuned.dates,
        tuple(np.flatnonzero(numbers == number) for number in sorted(first, key=first.__getitem__)),
        finetuned.returns,
        scratch.returns,
        {
            arm: Reference(sessions[arm], record.returns[0])
            for arm, record in arms.items()
            if arm not in REQUIRED_ARMS
        },
    )


def _arm_record(ticker: str, arm: str, rows: pa.Table) -> ArmRecord:
    """Check one arm by itself; ``rows`` are sorted by seed and session."""
    where = f"{ticker} {arm}"
    if arm not in ARMS:
        raise GateInputError(f"{where}: unknown arm, expected one of {', '.join(ARMS)}; rename it")
    seed = rows["seed"].to_numpy()
    dates = rows["session_date"].to_numpy().astype("datetime64[D]")
    values = rows["net_return"].cast(pa.float64()).to_numpy()
    bad = ~np.isfinite(values)
    if bad.any():
        raise GateInputError(
            f"{where}: net_return is not finite on {_some(dates[bad])}; expected a number on every "
            f"session, 0 where nothing was held; repair the record or leave the ticker out"
        )
    twice = (seed[1:] == seed[:-1]) & (dates[1:] == dates[:-1])
    if twice.any():
        raise GateInputError(
            f"{where}: {_some(dates[1:][twice])} stand more than once for one seed; a session is "
            f"scored once: remove the duplicates"
        )
    seeds, counts = np.unique(seed, return_counts=True)
    expected = np.arange(len(seeds)) if arm in REQUIRED_ARMS else np.zeros(1, dtype=np.int64)
    if not np.array_equal(seeds, expected):
        raise GateInputError(
            f"{where}: seeds are {seeds.tolist()}, expected "
            f"{_SEEDS[arm in REQUIRED_ARMS]}; number them anew or write what is missing"
        )
    if len(set(counts.tolist())) != 1:
        raise GateInputError(
            f"{where}: seeds have {counts.tolist()} sessions, expected equally many; "
            f"{_odd_dates(seed, dates)}; score every seed on every session"
        )
    shape = (len(seeds), int(counts[0]))
    by_seed, fold = dates.reshape(shape), rows["fold"].to_numpy().reshape(shape)
    for k in range(1, shape[0]):
        if not np.array_equal(by_seed[k], by_seed[0]) or not np.array_equal(fold[k], fold[0]):
            odd = (by_seed[k] != by_seed[0]) | (fold[k] != fold[0])
            raise GateInputError(
                f"{where}: seed {k} has other sessions or folds than seed 0, first on "
                f"{_some(by_seed[k][odd])}; score every seed on the same sessions and folds"
            )
    return ArmRecord(by_seed[0], fold[0], values.reshape(shape))


def _sessions(ticker: str, arm: str, base: ArmRecord, other: ArmRecord) -> NDArray[np.int64]:
    """Indices into ``base`` of the sessions of ``other``, checked."""
    due = _due_sessions(base, other) if arm in PARTIAL_ARMS else np.arange(len(base.dates))
    dates = base.dates[due]
    if not np.array_equal(dates, other.dates):
        raise GateInputError(
            f"{ticker} {arm}: unequal dates: {len(base.dates)} sessions of finetuned, "
            f"{len(other.dates)} of {arm}; missing: {_some(np.setdiff1d(dates, other.dates))}; "
            f"too many: {_some(np.setdiff1d(other.dates, dates))}; every arm needs the same "
            f"sessions"
        )
    if not np.array_equal(base.fold[due], other.fold):
        odd = base.fold[due] != other.fold
        raise GateInputError(
            f"{ticker} {arm}: other folds than finetuned on {_some(dates[odd])}; a session "
            f"belongs to one fold in all arms"
        )
    return due


def _due_sessions(base: ArmRecord, other: ArmRecord) -> NDArray[np.int64]:
    """Sessions that a partial arm must have: all of its folds, from its first session on."""
    covered = np.unique(base.fold[np.isin(base.dates, other.dates)])
    due = np.isin(base.fold, covered) & (base.dates >= other.dates[0])
    return np.flatnonzero(due)


def _odd_dates(seed: NDArray[np.int64], dates: Dates) -> str:
    days, counts = np.unique(dates, return_counts=True)
    return f"not in every seed: {_some(days[counts < len(np.unique(seed))])}"


def _some(dates: Dates, limit: int = 3) -> str:
    """A few dates in words."""
    if len(dates) == 0:
        return "none"
    head = ", ".join(str(day) for day in dates[:limit])
    return head if len(dates) <= limit else f"{head} and {len(dates) - limit} more"


def _runs(column: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """Half-open ranges of equal values in a sorted column."""
    codes = pc.dictionary_encode(column).combine_chunks().indices.to_numpy()
    edges = np.flatnonzero(np.diff(codes)) + 1
    bounds = [0, *edges.tolist(), len(codes)]
    yield from pairwise(bounds)
