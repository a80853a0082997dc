"""Repeated looks: when a ticker may be judged again, and at which level.

A *look* is a judgement that could have promoted. Looking again at a growing record until it
pleases promotes the worthless, so the year's alpha is shared out beforehand: with K looks planned
a year each is judged at ``LEVELS[K]``, for which the probability of promoting by chance within the
year is .10 (252 sessions at the first look, 63 more at each further one; docs/ledger.md). Looks
count per ticker across recipes: another recipe on sessions that were used already is a further
look.

A year is 252 sessions of the exchange, counted in the evidence's own time, never by a clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.metrics import SESSIONS_PER_YEAR
from transfergate.settings import GateParams, LookParams

LEVELS = {1: 0.10, 2: 0.075, 3: 0.062, 4: 0.054, 5: 0.048}
"""Level of each of K looks planned a year; together .10."""
BARE_LEVEL = 0.5
"""Of the estimate alone (``evidence = "point"``): half of all records without an edge pass it."""
MAX_BLOCKS = 60

Dates = NDArray[np.datetime64]
State = Literal["look", "repeated", "refused", "no look"]


@dataclass(frozen=True)
class Look:
    """One look at one ticker, as it was recorded.

    Attributes:
        ticker: The target.
        recipe: Which recipe was judged.
        number: 1, 2, … over all recipes of the ticker.
        candidate: The model version that it would have promoted.
        verdict: What came out.
        first_session: Of the record, ISO date.
        last_session: Of the record, ISO date.
        n_sessions: Length of the record.
        per_year: Looks planned a year: this one used the share 1/per_year of the year's alpha.
        level: Level of the test.
        evaluation: Where the whole report lies; empty until it is known.
    """

    ticker: str
    recipe: str
    number: int
    candidate: str
    verdict: str
    first_session: str
    last_session: str
    n_sessions: int
    per_year: int
    level: float
    evaluation: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Axis:
    """Sessions of the exchange around the record, and the length of a test block."""

    sessions: Dates
    block: int

    def between(self, earlier: str, later: np.datetime64) -> int:
        """Sessions after ``earlier`` up to ``later``; negative the other way round."""
        ends = self.sessions.searchsorted(np.array([earlier, later], dtype="datetime64[D]"))
        return int(ends[1] - ends[0])

    def ahead(self, day: np.datetime64, sessions: int) -> np.datetime64 | None:
        """The session so many after a day; None beyond what the calendar knows."""
        index = int(self.sessions.searchsorted(day)) + sessions
        return self.sessions[index] if index < len(self.sessions) else None


@dataclass(frozen=True)
class Standing:
    """Where a ticker stands under a recipe, before it is judged.

    Attributes:
        state: ``look`` (may be judged), ``repeated`` (the last verdict stands) or ``refused``
            (no alpha is left, and there is no verdict that could stand).
        looks: All looks at the ticker so far.
        last: The last one under this recipe.
        new_sessions: Sessions of the record that it did not see.
        dates: Sessions of the record, ascending, shape (T,).
    """

    state: State
    looks: tuple[Look, ...]
    last: Look | None
    new_sessions: int
    dates: Dates


def rule_of_look(gate: GateParams, looks: LookParams) -> GateParams:
    """The gate's rule with the level of one of the planned looks; pooled evidence: 1 - level."""
    share = LEVELS[looks.per_year] / LEVELS[1]
    if share == 1.0:
        return gate
    return gate.model_copy(
        update={
            "alpha_promote": gate.alpha_promote * share,
            "posterior_promote": 1.0 - (1.0 - gate.posterior_promote) * share,
        }
    )


def level_of(rule: GateParams) -> float:
    """Probability that a look promotes by chance; the bare rule passes every second record."""
    return BARE_LEVEL if rule.evidence == "point" else rule.alpha_promote


def standing(
    looks: Sequence[Look], recipe: str, dates: Dates, params: LookParams, axis: Axis
) -> Standing:
    """Whether a record may be looked at now.

    Args:
        looks: All looks at the ticker, oldest first.
        recipe: The recipe of the record.
        dates: Sessions of the record, ascending, shape (T,).
        params: Looks planned a year, and the sessions that a further one needs.
        axis: Sessions of the exchange.
    """
    own = [look for look in looks if look.recipe == recipe]
    last = own[-1] if own else None
    new = int((dates > np.datetime64(last.last_session)).sum()) if last else len(dates)
    enough = last is None or new >= params.min_new_sessions
    state: State = "repeated" if last else "refused"
    if enough and _share_left(looks, dates, dates[-1], params, axis):
        state = "look"
    return Standing(state, tuple(looks), last, new, dates)


def describe(
    now: Standing,
    gate: GateParams,
    params: LookParams,
    axis: Axis,
    *,
    state: State,
    taken: Look | None = None,
) -> dict[str, Any]:
    """The block ``looks`` of a report.

    Args:
        now: Where the ticker stood.
        gate: The rule with the look's level.
        params: Looks planned a year, and the sessions that a further one needs.
        axis: Sessions of the exchange.
        state: What became of it.
        taken: The look that was taken just now, if one was.

    Returns:
        ``{"state", "number", "in_year", "per_year", "level", "threshold", "alpha_spent",
        "alpha_spent_year", "new_sessions", "next_admissible_sessions", "next_admissible_date",
        "evaluation", "candidate"}``: ``alpha_spent`` bounds the probability of a promotion by
        chance over all looks so far; ``evaluation`` and ``candidate`` are those of a verdict that
        is repeated.
    """
    looks = [*now.looks, taken] if taken else list(now.looks)
    in_year = _in_year(looks, now.dates, now.dates[-1], axis)
    after = replace(now, looks=tuple(looks), last=taken or now.last)
    waiting, day = _next_look(after, 0 if taken else now.new_sessions, params, axis)
    repeated = now.last if state == "repeated" else None
    now_yearly = level_of(gate) * LEVELS[1] / LEVELS[params.per_year]
    yearly = max(
        (look.level * LEVELS[1] / LEVELS[look.per_year] for look in looks), default=now_yearly
    )
    shares = sum(1.0 / look.per_year for look in looks)
    return {
        "state": state,
        "number": len(looks),
        "in_year": len(in_year),
        "per_year": params.per_year,
        "level": level_of(gate),
        "threshold": gate.posterior_promote,
        "alpha_spent": min(
            sum(look.level for look in looks), yearly * math.ceil(shares - 1e-9), 1.0
        ),
        "alpha_spent_year": min(sum(look.level for look in in_year), yearly),
        "new_sessions": now.new_sessions,
        "next_admissible_sessions": waiting,
        "next_admissible_date": None if day is None else str(day),
        "evaluation": repeated.evaluation if repeated else None,
        "candidate": repeated.candidate if repeated else None,
    }


def calendar_span(dates: Sequence[Dates], looks: Sequence[Look]) -> tuple[date, date]:
    """First and last day that an axis over these records and looks has to cover."""
    first = min([str(days[0]) for days in dates] + [look.first_session for look in looks])
    last = max([str(days[-1]) for days in dates] + [look.last_session for look in looks])
    end = np.datetime64(last) + np.timedelta64(3 * 366, "D")
    return date.fromisoformat(first), date.fromisoformat(str(end))


def _next_look(
    now: Standing, new_sessions: int, params: LookParams, axis: Axis
) -> tuple[int | None, np.datetime64 | None]:
    """Sessions until the next look is admissible, and its date; evidence comes in blocks."""
    last_day = now.dates[-1]
    for number in range(1, MAX_BLOCKS + 1):
        more = number * axis.block
        if now.last is not None and new_sessions + more < params.min_new_sessions:
            continue
        day = axis.ahead(last_day, more)
        if day is None:
            return more, None
        if _share_left(now.looks, now.dates, day, params, axis):
            return more, day
    return None, None


def _share_left(
    looks: Sequence[Look], dates: Dates, at: np.datetime64, params: LookParams, axis: Axis
) -> bool:
    used = sum(1.0 / look.per_year for look in _in_year(looks, dates, at, axis))
    return used + 1.0 / params.per_year <= 1.0 + 1e-9


def _in_year(looks: Sequence[Look], dates: Dates, at: np.datetime64, axis: Axis) -> list[Look]:
    """Looks on sessions of this record that lie less than a year before ``at``, or after it."""
    return [
        look
        for look in looks
        if axis.between(look.last_session, at) < SESSIONS_PER_YEAR
        and np.datetime64(look.first_session) <= dates[-1]
        and np.datetime64(look.last_session) >= dates[0]
    ]
