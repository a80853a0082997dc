"""What an account remembers beyond its position, and may show in its observation.

Declared by ``EpisodeParams.slots``; none by default. Strategies that stop out, pyramid or size by
what they have made need it. The exact method knows the position only: slots are for the
environments and for learners that sample from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from transfergate.errors import MarketError
from transfergate.market.rewards import Reward

Floats = npt.NDArray[np.float64]
Which = npt.NDArray[np.bool_]

SLOTS: dict[str, str] = {
    "entry_return": "return of the price since the position's direction was entered; 0 when flat",
    "equity": "equity as a multiple of that at the start",
    "cash": "equity not invested, equity * (1 - position), as a multiple of equity at the start",
    "drawdown": "1 - equity / highest equity so far, a fraction",
    "accumulated_reward": "sum of the episode's rewards, in the reward's units",
    "sessions_held": "sessions since the position last changed",
    "reward_state": "what the reward remembers of the path (one column for each of its names)",
}
"""Every slot that ``EpisodeParams.slots`` may declare, with its unit."""


def check_slots(slots: Sequence[str]) -> None:
    """Refuse slots that are unknown or named twice.

    Raises:
        MarketError: If there are some.
    """
    unknown = [name for name in slots if name not in SLOTS]
    if unknown or len(set(slots)) != len(slots):
        raise MarketError(
            f"state slots {list(slots)}: expected different ones of {', '.join(SLOTS)}"
            + (f", found {unknown}; correct the names" if unknown else "; drop the repeats")
        )


def slot_columns(slots: Sequence[str], reward: Reward) -> int:
    """Columns that the slots add to an observation."""
    return sum(len(reward.state) if name == "reward_state" else 1 for name in slots)


class Move(NamedTuple):
    """One session of E accounts, all (E,): positions, legs of the return, reward, equity after."""

    previous: Floats
    target: Floats
    held: Floats
    traded: Floats
    reward: Floats
    equity: Floats


class SlotBook:
    """Keeps the declared slots of E accounts."""

    def __init__(self, slots: Sequence[str], n_accounts: int) -> None:
        """Open the accounts, flat, with equity 1."""
        check_slots(slots)
        self._slots = tuple(slots)
        self.in_use = bool(slots)
        self._entry_growth = np.ones(n_accounts)
        self._peak = np.ones(n_accounts)
        self._accumulated = np.zeros(n_accounts)
        self._age = np.zeros(n_accounts)

    def reset(self, which: Which) -> None:
        """Start some accounts anew."""
        self._entry_growth[which] = 1.0
        self._peak[which] = 1.0
        self._accumulated[which] = 0.0
        self._age[which] = 0.0

    def record(self, move: Move, which: Which | None) -> None:
        """Carry the accounts over one session; those not in ``which`` rest (None: all move)."""
        same_side = np.sign(move.previous) == np.sign(move.target)
        through = np.where(same_side, self._entry_growth * (1.0 + move.held), 1.0)
        growth = np.where(move.target == 0.0, 1.0, through * (1.0 + move.traded))
        peak = np.maximum(self._peak, move.equity)
        accumulated = self._accumulated + move.reward
        age = np.where(move.previous == move.target, self._age + 1.0, 1.0)
        self._entry_growth = _keep(self._entry_growth, growth, which)
        self._peak = _keep(self._peak, peak, which)
        self._accumulated = _keep(self._accumulated, accumulated, which)
        self._age = _keep(self._age, age, which)

    def write(
        self, out: npt.NDArray[np.float32], position: Floats, equity: Floats, memory: Floats
    ) -> None:
        """Write the slots into the columns of ``out``, in the order declared.

        Args:
            out: (E, columns), changed in place.
            position: Held now.
            equity: Now.
            memory: State of the reward, (E, names).
        """
        column = 0
        for name in self._slots:
            value = self._value(name, position, equity, memory)
            width = value.shape[1]
            out[:, column : column + width] = value
            column += width

    def _value(self, name: str, position: Floats, equity: Floats, memory: Floats) -> Floats:
        if name == "reward_state":
            return memory
        values: dict[str, Callable[[], Floats]] = {
            "entry_return": lambda: self._entry_growth - 1.0,
            "equity": lambda: equity,
            "cash": lambda: equity * (1.0 - position),
            "drawdown": lambda: 1.0 - equity / self._peak,
            "accumulated_reward": lambda: self._accumulated,
            "sessions_held": lambda: self._age,
        }
        return values[name]()[:, None]


def _keep(old: Floats, new: Floats, which: Which | None) -> Floats:
    return new if which is None else np.where(which, new, old)
