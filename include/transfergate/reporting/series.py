"""From a table of returns to what reports show of it: series of every arm, and their figures."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transfergate.evaluation.ledger import ARMS, REQUIRED_ARMS
from transfergate.evaluation.metrics import performance
from transfergate.evaluation.regimes import Labels, Market, label_market, slices
from transfergate.evaluation.transactions import Transactions, merged, transactions

ARM_LABELS = {
    "finetuned": "fine-tuned",
    "scratch": "from scratch",
    "zero_shot": "zero-shot",
    "buy_hold": "buy and hold",
    "champion": "champion",
    "ridge": "ridge-linear",
    "random": "random",
}
_OPTIONAL = ("position", "turnover")


@dataclass(frozen=True)
class ArmSeries:
    """One arm of one ticker.

    Attributes:
        dates: Sessions, ascending, shape (T,).
        fold: Test slice of each session, shape (T,).
        by_seed: Net returns of every seed, shape (K, T).
        position: Held after each open, shape (K, T); None where not recorded.
        turnover: Mean over seeds, shape (T,); None where not recorded.
    """

    dates: NDArray[np.datetime64]
    fold: NDArray[np.int64]
    by_seed: NDArray[np.float64]
    position: NDArray[np.float64] | None = None
    turnover: NDArray[np.float64] | None = None

    @property
    def net_return(self) -> NDArray[np.float64]:
        """Mean over seeds, shape (T,)."""
        mean: NDArray[np.float64] = self.by_seed.mean(axis=0)
        return mean

    @property
    def transactions(self) -> Transactions | None:
        """Round trips of all seeds; None where positions are not recorded."""
        if self.position is None:
            return None
        pairs = zip(self.by_seed, self.position, strict=True)
        return merged([transactions(net, held, self.fold) for net, held in pairs])


def arm_series(returns: pa.Table) -> dict[str, dict[str, ArmSeries]]:
    """Series per ticker and arm, arms in their usual order.

    An arm that cannot be shown is left out: with NaN, unequal seeds or an unknown name.
    """
    table = returns.unify_dictionaries().combine_chunks()
    tickers, ticker = _codes(table["ticker"])
    names, arm = _codes(table["arm"])
    seed = pc.fill_null(table["seed"], 0).to_numpy().astype(np.int64)
    dates = table["session_date"].to_numpy().astype("datetime64[D]")
    pair = ticker * len(names) + arm
    order = _order(pair, seed, dates)
    columns = {
        name: table[name].to_numpy().astype(np.float64)[order]
        for name in ("net_return", *_OPTIONAL)
        if name in table.column_names
    }
    columns |= {"seed": seed[order], "fold": table["fold"].to_numpy()[order], "date": dates[order]}
    pair = pair[order]
    edges = [*np.flatnonzero(np.diff(pair, prepend=-1)).tolist(), len(pair)]
    found: dict[str, dict[str, ArmSeries]] = {name: {} for name in tickers}
    for start, stop in pairwise(edges):
        owner, name = divmod(int(pair[start]), len(names))
        own = _one_arm({key: values[start:stop] for key, values in columns.items()})
        if own is not None and names[name] in ARMS:
            found[tickers[owner]][names[name]] = own
    return {
        owner: {name: arms[name] for name in ARMS if name in arms} for owner, arms in found.items()
    }


def describe(
    returns: pa.Table, market: Market | None = None
) -> tuple[dict[str, dict[str, ArmSeries]], dict[str, dict[str, Any]]]:
    """Series of every ticker, and what reports say of them besides the verdict.

    Args:
        returns: The gate's columns; ``position`` and ``turnover`` are used where present.
        market: What regimes are read from; None takes each ticker's own buy-and-hold arm.

    Returns:
        The series, and per ticker ``{"performance", "flat_seeds", "regimes"}``, ready for JSON.
    """
    series = arm_series(returns)
    labels = None if market is None else label_market(market)
    return series, {ticker: description(arms, labels) for ticker, arms in series.items()}


def description(arms: dict[str, ArmSeries], labels: Labels | None = None) -> dict[str, Any]:
    """Performance of each arm of one ticker, seeds that stayed flat, and results by regime."""
    if labels is None and "buy_hold" in arms:
        held = arms["buy_hold"]
        labels = label_market(Market("the ticker's own buy-and-hold", held.dates, held.net_return))
    means = {arm: (item.dates, item.net_return) for arm, item in arms.items()}
    return {
        "performance": {
            arm: performance(item.net_return, item.turnover, item.transactions).as_dict()
            for arm, item in arms.items()
        },
        "flat_seeds": {arm: flat_seeds(arms[arm]) for arm in REQUIRED_ARMS if arm in arms},
        "regimes": slices(means, labels),
    }


def flat_seeds(arm: ArmSeries) -> dict[str, int]:
    """Count trainings that collapsed: no return at all in their fold, or in the whole record.

    Returns:
        ``{"fold_seeds", "flat_fold_seeds", "seeds", "flat_seeds"}``: how many pairs of fold and
        seed there are, how many stayed flat, how many seeds, and how many were flat throughout.
    """
    traded = arm.by_seed != 0.0
    by_fold = np.stack([traded[:, arm.fold == number].any(1) for number in np.unique(arm.fold)])
    return {
        "fold_seeds": int(by_fold.size),
        "flat_fold_seeds": int(np.count_nonzero(~by_fold)),
        "seeds": len(traded),
        "flat_seeds": int(np.count_nonzero(~traded.any(1))),
    }


def _codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct names in alphabetical order, and the index of each row's, shape (N,)."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    names = np.asarray(array.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names, kind="stable")
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    codes: NDArray[np.int64] = rank[array.indices.to_numpy()]
    return names[order].tolist(), codes


def _order(
    pair: NDArray[np.int64], seed: NDArray[np.int64], dates: NDArray[np.datetime64]
) -> NDArray[np.intp]:
    """Rows by pair of ticker and arm, then seed, then session."""
    day = dates.astype(np.int64)
    columns = [values - values.min() if len(values) else values for values in (pair, seed, day)]
    spans = [int(values.max(initial=0)) + 1 for values in columns]
    if spans[0] * spans[1] * spans[2] >= 2**62:
        return np.lexsort(columns[::-1])
    key = (columns[0] * spans[1] + columns[1]) * spans[2] + columns[2]
    return np.argsort(key, kind="stable")


def _one_arm(rows: dict[str, NDArray[Any]]) -> ArmSeries | None:
    """Reshape rows sorted by seed and session to (K, T); None if they are not rectangular."""
    seeds, counts = np.unique(rows["seed"], return_counts=True)
    if len(set(counts.tolist())) != 1 or not np.isfinite(rows["net_return"]).all():
        return None
    shape = (len(seeds), int(counts[0]))
    dates, fold = rows["date"].reshape(shape), rows["fold"].reshape(shape)
    if (dates != dates[0]).any() or (np.diff(dates[0]).astype(np.int64) <= 0).any():
        return None
    optional = {name: rows[name].reshape(shape) for name in _OPTIONAL if name in rows}
    return ArmSeries(
        dates=dates[0],
        fold=fold[0],
        by_seed=rows["net_return"].reshape(shape),
        position=_known(optional.get("position")),
        turnover=None
        if (known := _known(optional.get("turnover"))) is None
        else known.mean(axis=0),
    )


def _known(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return values if values is not None and np.isfinite(values).all() else None
