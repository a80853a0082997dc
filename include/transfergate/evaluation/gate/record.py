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

PARTIAL_ARMS = ("champion",)
"""Arms that may lack whole folds and begin within one: a champion counts on unseen sessions."""
RUIN = -1.0
"""A simple return that loses everything; nothing can lose more."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Rows:
    """Rows of one ticker and arm, sorted by seed and session; every array has shape (R,)."""

    seed: NDArray[np.int64]
    dates: Dates
    fold: NDArray[np.int64]
    net_return: FloatArray


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

    def ruined(self) -> dict[str, str]:
        """First session on which a seed of a trained arm lost everything, per arm that did."""
        found = {}
        for arm, returns in (("finetuned", self.finetuned), ("scratch", self.scratch)):
            lost = (returns <= RUIN + ROUNDING).any(axis=0)
            if lost.any():
                found[arm] = str(self.dates[int(lost.argmax())])
        return found

    def repeated_seeds(self) -> tuple[int, ...]:
        """Seeds that traded, and in both arms returned what an earlier seed did."""
        pairs = np.concatenate((self.finetuned, self.scratch), axis=1)
        seen: set[bytes] = set()
        found = []
        for seed, pair in enumerate(pairs):
            if pair.any() and pair.tobytes() in seen:
                found.append(seed)
            seen.add(pair.tobytes())
        return tuple(found)


_SEEDS = {
    True: "0 to K-1, each paired between finetuned and scratch",
    False: "null or 0: a reference has one series",
}


def ticker_rows(table: pa.Table) -> Iterator[tuple[str, dict[str, Rows]]]:
    """Split a checked table by ticker and arm, both sorted by name.

    Rows that stand in order already (by ticker, arm, seed and session, tickers and arms in any
    order) are not sorted again.
    """
    tickers, ticker = _codes(table["ticker"])
    arms, arm = _codes(table["arm"])
    seed = pc.fill_null(table["seed"], 0).to_numpy()
    days = table["session_date"].cast(pa.int32()).to_numpy().astype(np.int64)
    columns = [seed, days, table["fold"].to_numpy(), table["net_return"].to_numpy()]
    group = ticker * max(len(arms), 1) + arm
    order = _order(group, seed, days)
    if order is not None:
        group, columns = group[order], [column[order] for column in columns]
    edges = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(group)]
    found: dict[str, dict[str, Rows]] = {name: {} for name in sorted(tickers)}
    for start, stop in pairwise(edges if len(group) else []):
        name, which = divmod(int(group[start]), len(arms))
        seed, days, fold, net_return = (column[start:stop] for column in columns)
        rows = Rows(seed, days.astype("datetime64[D]"), fold, net_return)
        found[tickers[name]][arms[which]] = rows
    yield from found.items()


def _codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct names in order of appearance, and the index of each row's name."""
    encoded = pc.dictionary_encode(column).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.DictionaryArray.from_arrays([], [])
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _order(
    group: NDArray[np.int64], seed: NDArray[np.int64], days: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """What sorts the rows by group, seed and day; None if they stand so already."""
    if len(group) == 0:
        return None
    n_seeds, n_days = (int(values.max()) - int(values.min()) + 1 for values in (seed, days))
    if (int(group.max()) + 1) * n_seeds * n_days >= 2**62:
        return np.lexsort((days, seed, group))
    key = (group * n_seeds + (seed - seed.min())) * n_days + (days - days.min())
    if bool((key[1:] >= key[:-1]).all()):
        return None
    return np.argsort(key, kind="stable")


def ticker_record(ticker: str, rows: Mapping[str, Rows]) -> TickerRecord:
    """Align one ticker's arms.

    Raises:
        GateInputError: Naming ticker, arm and dates, if a required arm is missing, an arm is
            unknown, a key stands twice, a return is not finite or below -1, seeds are not
            paired, or dates or folds differ between arms.
    """
    arms = {arm: _arm_record(ticker, arm, own) for arm, own in sorted(rows.items())}
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
    return TickerRecord(
        ticker,
        finetuned.dates,
        _folds(finetuned.fold),
        finetuned.returns,
        scratch.returns,
        {
            arm: Reference(sessions[arm], record.returns[0])
            for arm, record in arms.items()
            if arm not in REQUIRED_ARMS
        },
    )


def _folds(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Indices of each fold's sessions, folds in the order of their first session."""
    names, first = np.unique(numbers, return_index=True)
    return tuple(np.flatnonzero(numbers == names[i]) for i in np.argsort(first))


def _arm_record(ticker: str, arm: str, rows: Rows) -> ArmRecord:
    """Check one arm by itself; ``rows`` are sorted by seed and session."""
    where = f"{ticker} {arm}"
    if arm not in ARMS:
        raise GateInputError(f"{where}: unknown arm, expected one of {', '.join(ARMS)}; rename it")
    _check_values(where, rows)
    seed, dates = rows.seed, rows.dates
    twice = (seed[1:] == seed[:-1]) & (dates[1:] == dates[:-1])
    if twice.any():
        raise GateInputError(
            f"{where}: {_some(dates[1:][twice])} stand more than once for one seed, in the same "
            f"fold or in two; a session is scored once: remove the duplicates"
        )
    starts = np.concatenate(([0], np.flatnonzero(np.diff(seed)) + 1))
    seeds, counts = seed[starts], np.diff(starts, append=len(seed))
    expected = np.arange(len(seeds)) if arm in REQUIRED_ARMS else np.zeros(1, dtype=np.int64)
    if not np.array_equal(seeds, expected):
        raise GateInputError(
            f"{where}: seeds are {seeds.tolist()}, expected "
            f"{_SEEDS[arm in REQUIRED_ARMS]}; number them anew or write what is missing"
        )
    if (counts != counts[0]).any():
        raise GateInputError(
            f"{where}: seeds have {counts.tolist()} sessions, expected equally many; "
            f"{_odd_dates(seed, dates)}; score every seed on every session"
        )
    shape = (len(seeds), int(counts[0]))
    by_seed, fold = dates.reshape(shape), rows.fold.reshape(shape)
    odd = (by_seed != by_seed[0]) | (fold != fold[0])
    if odd.any():
        k = int(odd.any(axis=1).argmax())
        raise GateInputError(
            f"{where}: seed {k} has other sessions or folds than seed 0, first on "
            f"{_some(by_seed[k][odd[k]])}; score every seed on the same sessions and folds"
        )
    return ArmRecord(by_seed[0], fold[0], rows.net_return.reshape(shape))


def _check_values(where: str, rows: Rows) -> None:
    bad = ~np.isfinite(rows.net_return)
    if bad.any():
        raise GateInputError(
            f"{where}: net_return is not finite on {_some(rows.dates[bad])}; expected a number on "
            f"every session, 0 where nothing was held; repair the record or leave the ticker out"
        )
    impossible = rows.net_return < RUIN - ROUNDING
    if impossible.any():
        raise GateInputError(
            f"{where}: net_return is below -1 on {_some(rows.dates[impossible])}, lowest "
            f"{rows.net_return.min():.4g}; an account can lose everything (-1) but no more: write "
            f"simple returns as fractions (-0.02 is a loss of 2 per cent), and -1 on ruin"
        )


def _sessions(ticker: str, arm: str, base: ArmRecord, other: ArmRecord) -> NDArray[np.int64]:
    """Indices into ``base`` of the sessions of ``other``, checked."""
    due = np.arange(len(base.dates))
    if arm in PARTIAL_ARMS and not np.array_equal(base.dates, other.dates):
        due = _due_sessions(base, other)
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
