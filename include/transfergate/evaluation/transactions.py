"""Round trips behind a series of positions, and what an average one won or lost.

A transaction begins when an account leaves flat (or turns from long to short) and ends when it is
flat again, turns, or its fold ends: a test slice starts flat, and what is held at its end is
counted at the last close. Changing the size on one side begins no new one. Its result is the
compounded net return of its sessions, costs of entry and exit included. The session that closes
to flat belongs to the transaction it closes; one in which the position turns belongs to the new
side whole, because a ledger's row holds one return for the session.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Transactions:
    """Results of all transactions of one arm.

    Attributes:
        results: Net return of each as a fraction, shape (N,), seeds one after another.
        n_seeds: Accounts that made them.
    """

    results: FloatArray
    n_seeds: int = 1

    @property
    def per_seed(self) -> float:
        """Transactions of an average account."""
        return len(self.results) / self.n_seeds

    @property
    def average_profit(self) -> float | None:
        """Mean result of those that won; None if none did."""
        return _mean(self.results[self.results > 0.0])

    @property
    def average_loss(self) -> float | None:
        """Mean result of those that lost, below 0; None if none did."""
        return _mean(self.results[self.results < 0.0])


def transactions(
    net_return: FloatArray, position: FloatArray, fold: NDArray[np.int64]
) -> Transactions:
    """Split one account's record into round trips.

    Args:
        net_return: Simple net returns, shape (T,), sessions ascending.
        position: Held after each session's open, shape (T,).
        fold: Test slice of each session, shape (T,).
    """
    if len(net_return) == 0:
        return Transactions(np.zeros(0))
    side = np.sign(position)
    held_before = np.concatenate(([0.0], side[:-1]))
    held_before[1:][fold[1:] != fold[:-1]] = 0.0
    closing = (side == 0.0) & (held_before != 0.0)
    owner = np.where(closing, held_before, side)
    starts = (owner != 0.0) & (owner != held_before)
    number = np.cumsum(starts)
    inside = owner != 0.0
    growth = np.maximum(1.0 + net_return[inside], 0.0)
    if len(growth) == 0:
        return Transactions(np.zeros(0))
    edges = np.flatnonzero(np.diff(number[inside], prepend=0))
    return Transactions(np.multiply.reduceat(growth, edges) - 1.0)


def merged(parts: list[Transactions]) -> Transactions:
    """The transactions of several seeds together."""
    results = [part.results for part in parts] or [np.zeros(0)]
    return Transactions(np.concatenate(results), max(sum(part.n_seeds for part in parts), 1))


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None
