"""From what the expectations found to what becomes of each row, each ticker and the batch."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from transfergate.quality.rows import JudgedRows
from transfergate.quality.suite import (
    READABLE,
    SUSPECTED_SPLIT,
    SYMBOL_NOT_VALID,
    TICKER_NAME,
    BarValues,
)
from transfergate.settings import KnownFlaw, QualityParams
from transfergate.storage.bars import BAR_SCHEMA

TICKER_LIMIT = "ticker_over_limit"
BATCH_REFUSED = "batch_refused"
REVIEW_RULES = frozenset({SUSPECTED_SPLIT, SYMBOL_NOT_VALID})
"""Rows that break one of these wait for a person; they count against no limit."""
_COPY = "no_copy"
_NEEDS_TICKER = frozenset({"ticker_present", _COPY, "unique_session"})


@dataclass(frozen=True)
class Outcome:
    """What one expectation found.

    Attributes:
        rule: Its name, as it stands in a quarantined row's reasons.
        text: What it demands.
        severity: ``critical``, ``warning`` or ``info``.
        passed: Whether it holds.
        found: What was seen, in words, where it does not.
        row_ids: Rows that break it; empty for one about the whole batch.
        tolerated: Rows that break it where so few do that it holds.
    """

    rule: str
    text: str
    severity: str
    passed: bool
    found: str
    row_ids: tuple[int, ...]
    tolerated: tuple[int, ...] = ()


@dataclass(frozen=True)
class Validation:
    """The judgement of one batch.

    Attributes:
        received: Rows of the batch.
        reasons: Rules broken by each quarantined row, by ``row_id``; the others are accepted.
            Of a refused batch every row is there.
        refusals: Why the whole batch is refused; empty where it may be loaded.
        outcomes: Of every expectation, in the suite's order.
        tickers_over_limit: Why each ticker is quarantined whole.
        known: How many rows each declared flaw was found in, in the settings' order.
        let_through: Rows accepted because equal ones were released before.
    """

    received: int
    reasons: dict[int, list[str]]
    refusals: list[str]
    outcomes: list[Outcome]
    tickers_over_limit: dict[str, str]
    known: tuple[tuple[KnownFlaw, int], ...] = ()
    let_through: int = 0

    @cached_property
    def row_ids(self) -> npt.NDArray[np.int64]:
        """Every quarantined row, in order."""
        return np.array(sorted(self.reasons), np.int64)


def judge(
    rows: JudgedRows,
    outcomes: list[Outcome],
    params: QualityParams,
    released: Collection[BarValues] = (),
) -> Validation:
    """Sort rows into accepted and quarantined, or refuse the batch.

    Args:
        rows: What was judged.
        outcomes: Of every expectation.
        params: Limits and known flaws.
        released: Values of rows that a person let through.
    """
    refusals = [
        f"{outcome.rule}: expected {outcome.text}, found {outcome.found}"
        for outcome in outcomes
        if not outcome.passed and outcome.severity == "critical" and not outcome.row_ids
    ]
    reasons = _reasons(rows.found, outcomes)
    over_limit: dict[str, str] = {}
    known: list[tuple[KnownFlaw, int]] = []
    through: set[int] = set()
    if not refusals:
        through = _released(rows.found, reasons, released)
        ticker_of = _sound_names(rows.tickers, outcomes)
        excused: set[tuple[int, str]] = set()
        for flaw in params.known_flaws:
            count = _excuse(flaw, rows.tickers, reasons, excused)
            known.append((flaw, count or _warned(flaw, rows.tickers, outcomes)))
        counted = {
            row_id
            for row_id, rules in reasons.items()
            if any(rule not in REVIEW_RULES and (row_id, rule) not in excused for rule in rules)
        }
        over_limit = _quarantine_tickers(ticker_of, reasons, counted, params, through)
        refusals = [
            f"{refusal}; {_broken_most(reasons, counted)}"
            for refusal in _too_little_left(ticker_of, counted, over_limit, params)
        ]
    if refusals:
        _refuse_every_row(reasons, len(rows), refusals)
    return Validation(
        len(rows), reasons, refusals, outcomes, over_limit, tuple(known), len(through)
    )


def _sound_names(tickers: pd.Series[str], outcomes: Sequence[Outcome]) -> pd.Series[str]:
    # A name that no ticker can have is none: its rows count, but not as a ticker of their own.
    junk = {row_id for outcome in outcomes if outcome.rule == TICKER_NAME
            for row_id in outcome.row_ids}  # fmt: skip
    return tickers.mask(tickers.index.isin(list(junk))) if junk else tickers


def _reasons(found: pd.DataFrame, outcomes: Sequence[Outcome]) -> dict[int, list[str]]:
    reasons: dict[int, list[str]] = {}
    for outcome in outcomes:
        if outcome.severity != "critical":
            continue
        for row_id in outcome.row_ids:
            reasons.setdefault(row_id, []).append(outcome.rule)
    for row_id in [i for i, rules in reasons.items() if READABLE in rules]:
        cells = sorted(json.loads(str(found.at[row_id, "unreadable"])))
        # A cell that could not be read is null; saying so as well helps nobody.
        implied = {READABLE, *(f"{cell}_present" for cell in cells)}
        reasons[row_id] = [f"unreadable_{cell}" for cell in cells] + [
            rule for rule in reasons[row_id] if rule not in implied
        ]
    for row_id in [i for i, rules in reasons.items() if SYMBOL_NOT_VALID in rules]:
        # Its symbol stood for no ticker: what is said of tickers does not concern it.
        reasons[row_id] = [rule for rule in reasons[row_id] if rule not in _NEEDS_TICKER]
    return reasons


def _released(
    judged: pd.DataFrame, reasons: dict[int, list[str]], released: Collection[BarValues]
) -> set[int]:
    # Rows that a person let through before; a copy of one stays a copy.
    if not released or not reasons:
        return set()
    asked = judged.loc[sorted(reasons)]
    values = asked[list(BAR_SCHEMA.names)].astype(object)
    values["session_date"] = asked["session_date"].dt.date
    values = values.where(values.notna(), None)
    found = set()
    for row_id, row in zip(asked["row_id"], values.itertuples(index=False, name=None), strict=True):
        if row in released and _COPY not in reasons[row_id]:
            del reasons[row_id]
            found.add(int(row_id))
    return found


def _excuse(
    flaw: KnownFlaw,
    ticker_of: pd.Series[str],
    reasons: dict[int, list[str]],
    excused: set[tuple[int, str]],
) -> int:
    # Counts the rows; drops the reason, or marks it as one that counts against no limit.
    rows = [
        row_id
        for row_id, rules in reasons.items()
        if flaw.rule in rules and (not flaw.tickers or ticker_of.iat[row_id] in flaw.tickers)
    ]
    for row_id in rows:
        if flaw.keep == "quarantine":
            excused.add((row_id, flaw.rule))
            continue
        reasons[row_id].remove(flaw.rule)
        if not reasons[row_id]:
            del reasons[row_id]
    return len(rows)


def _warned(flaw: KnownFlaw, ticker_of: pd.Series[str], outcomes: Sequence[Outcome]) -> int:
    # Rows that a rule only warns of, and loads.
    return sum(
        not flaw.tickers or ticker_of.iat[row_id] in flaw.tickers
        for outcome in outcomes
        if outcome.rule == flaw.rule and outcome.severity != "critical"
        for row_id in outcome.row_ids
    )


def _quarantine_tickers(
    ticker_of: pd.Series[str],
    reasons: dict[int, list[str]],
    counted: set[int],
    params: QualityParams,
    through: set[int],
) -> dict[str, str]:
    # Adds a reason to every row of a ticker with too many bad rows. The limit is rounded up to
    # whole rows: one bad row must not condemn a ticker of which a daily batch has but a few.
    received = ticker_of.value_counts()
    bad = Counter(ticker_of.loc[sorted(counted)].dropna())
    over_limit = {}
    for ticker, count in sorted(bad.items()):
        if count > math.ceil(params.max_bad_row_frac * received[ticker]):
            over_limit[ticker] = (
                f"{TICKER_LIMIT}: {count} of {received[ticker]} rows broke a rule, "
                f"limit {params.max_bad_row_frac:.2%}"
            )
    for row_id, ticker in ticker_of[ticker_of.isin(list(over_limit))].items():
        if row_id not in through:
            reasons.setdefault(int(str(row_id)), []).append(over_limit[ticker])
    return over_limit


def _too_little_left(
    ticker_of: pd.Series[str],
    counted: set[int],
    over_limit: dict[str, str],
    params: QualityParams,
) -> list[str]:
    # Of rows, too: in a batch of one session a ticker is a row.
    most, tickers = params.max_bad_ticker_frac, ticker_of.nunique()
    if len(over_limit) > most * tickers:
        shown = ", ".join(list(over_limit)[:10]) + (", …" if len(over_limit) > 10 else "")
        return [
            f"bad_tickers: expected at most {most:.0%} of {tickers} tickers over "
            f"their limit of bad rows, found {len(over_limit)}: {shown}"
        ]
    bad = len(counted | set(ticker_of.index[ticker_of.isin(list(over_limit))]))
    if bad == len(ticker_of) or bad > most * len(ticker_of):
        return [
            f"bad_rows: expected at most {most:.0%} of {len(ticker_of)} rows to be "
            f"quarantined and one to be left, found {bad}"
        ]
    return []


def _broken_most(reasons: dict[int, list[str]], counted: set[int]) -> str:
    # In words, so that whoever reads the refusal need not open the page to know where to look.
    rules = Counter(
        rule for row_id in counted for rule in reasons[row_id] if not rule.startswith(TICKER_LIMIT)
    )
    shown = ", ".join(f"{rule} {count}" for rule, count in rules.most_common(3))
    more = f" and {len(rules) - 3} other rules" if len(rules) > 3 else ""
    return f"rows that broke each rule: {shown}{more}"


def _refuse_every_row(
    reasons: dict[int, list[str]], received: int, refusals: Sequence[str]
) -> None:
    why = [f"{BATCH_REFUSED}: {refusals[0]}"]
    for row_id in range(received):
        reasons[row_id] = reasons[row_id] + why if row_id in reasons else why
