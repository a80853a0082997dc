"""The recursive averages of ``intermediate/int_smoothers.sql``, for all tickers of a batch at once.

That file is the definition; this is the same arithmetic, bit for bit: time is a loop, and each of
its steps is one operation over all tickers. DuckDB's recursion takes as long for each step of a
few tickers as for one of all of them, and so grows with the number of batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.warehouse.batch_bars import STATES, TickerPlan, ticker_slices

Array = npt.NDArray[Any]

COLUMNS = ("bar_number", "previous_close", "high", "low")
"""What ``smoothers`` reads of ``int_bars`` beside ticker, session and close."""
_TRUE_RANGE = STATES.index("average_true_range")
# Bar number -> the averages are past their seeds.
_SEEDED = 34
# Of the averages in STATES: Wilder's, and the exponential ones of the close.
_WILDER, _EMA, _SIGNAL = slice(0, 3), slice(3, 5), 5
_WILDER_BARS, _WILDER_FIRST = 14, 1
_EMA_BARS, _EMA_FIRST = (12, 26), (14, 0)
_SIGNAL_BARS, _SIGNAL_FIRST = 9, 25
_EMA_RATES = np.array([[2.0 / (n + 1)] for n in _EMA_BARS])
_SIGNAL_RATE = 2.0 / (_SIGNAL_BARS + 1)


def smoothers(bars: pa.Table, plans: Sequence[TickerPlan]) -> pa.Table:
    """Compute the averages from each ticker's restart point on.

    Args:
        bars: ``int_bars``, in its order.
        plans: The batch, with ``first_bar_number`` and ``states`` of each ticker.

    Returns:
        The relation ``int_smoothers``: a row for each bar, in the same order.
    """
    by_ticker = {plan.ticker: plan for plan in plans}
    parts = [(by_ticker[ticker], part.num_rows) for ticker, part in ticker_slices(bars)]
    ends = np.cumsum([rows for _, rows in parts], dtype=int)
    spans = [slice(end - rows, end) for (_, rows), end in zip(parts, ends, strict=True)]
    inputs, unknown = _inputs(bars)
    found = np.empty((len(STATES), bars.num_rows))
    phases = np.array([min(plan.first_bar_number, _SEEDED) for plan, _ in parts])
    for phase in np.unique(phases):
        group = np.flatnonzero(phases == phase)
        chosen = [spans[number] for number in group]
        _smooth(inputs, chosen, [parts[number][0] for number in group], int(phase), found)
    columns: dict[str, Any] = {
        name: bars[name] for name in ("ticker", "session_date", "bar_number", "close")
    }
    columns |= {name: pa.array(values) for name, values in zip(STATES, found, strict=True)}
    if lost := _lost(unknown, spans, [plan for plan, _ in parts]):
        ranges = found[_TRUE_RANGE]
        mask = np.zeros(len(ranges), bool)
        for rows in lost:
            mask[rows] = True
        columns[STATES[_TRUE_RANGE]] = pa.array(ranges, mask=mask)
    return pa.table(columns)


def _inputs(bars: pa.Table) -> tuple[Array, Array]:
    """Gain, loss, true range and close, (4, rows); and where no true range can be known."""
    close, previous, high, low = (
        _doubles(bars[name]) for name in ("close", "previous_close", "high", "low")
    )
    inputs = np.empty((4, bars.num_rows))
    # A ticker's first bar has no previous close; its row is a state and reads no input.
    with np.errstate(invalid="ignore", over="ignore"):
        np.maximum(close - previous, 0.0, out=inputs[0])
        np.maximum(previous - close, 0.0, out=inputs[1])
        ranges = [high - low, np.abs(high - previous), np.abs(low - previous)]
    no_high, no_low = (_nulls(bars[name]) for name in ("high", "low"))
    for values, missing in zip(ranges, (no_high | no_low, no_high, no_low), strict=True):
        values[missing] = -np.inf
    # A NaN is greater than any number, here as in DuckDB.
    np.maximum(np.maximum(ranges[0], ranges[1]), ranges[2], out=inputs[2])
    inputs[3] = close
    return inputs, no_high & no_low


def _doubles(column: pa.ChunkedArray) -> Array:
    return pc.fill_null(column, 0.0).to_numpy()  # type: ignore[no-any-return]


def _nulls(column: pa.ChunkedArray) -> Array:
    return column.is_null().to_numpy()  # type: ignore[no-any-return]


def _smooth(
    inputs: Array,
    spans: Sequence[slice],
    plans: Sequence[TickerPlan],
    phase: int,
    found: Array,
) -> None:
    """Fill ``found`` for tickers whose first bar has the same number, or is past all seeds."""
    # The longest first, so that those with a bar left are a run from the left.
    lengths = np.array([span.stop - span.start for span in spans])
    order = np.argsort(-lengths, kind="stable")
    steps = int(lengths[order[0]])
    given = np.zeros((steps, 4, len(spans)))
    for column, number in enumerate(order):
        given[: lengths[number], :, column] = inputs[:, spans[number]].T
    active = np.searchsorted(-lengths[order], -np.arange(steps), side="left")
    states = np.empty((steps, len(STATES), len(spans)))
    states[0] = _first_states([plans[number] for number in order], given[0, 3], phase)
    for step in range(1, steps):
        n = active[step]
        bar = min(phase + step, _SEEDED)
        _advance(states[step - 1, :, :n], given[step, :, :n], bar, states[step, :, :n])
    for column, number in enumerate(order):
        found[:, spans[number]] = states[: lengths[number], :, column].T


def _first_states(plans: Sequence[TickerPlan], close: Array, phase: int) -> Array:
    if phase:
        return np.array([plan.states for plan in plans], float).T
    states = np.zeros((len(STATES), len(plans)))
    states[STATES.index("ema_26")] = close
    return states


def _advance(before: Array, given: Array, bar: int, after: Array) -> None:
    """One session of all averages, (6, tickers), from the inputs (4, tickers)."""
    close = given[3]
    if bar >= _SEEDED:
        wilder, ema, signal = after[_WILDER], after[_EMA], after[_SIGNAL]
        np.multiply(before[_WILDER], _WILDER_BARS - 1, out=wilder)
        wilder += given[:3]
        wilder /= _WILDER_BARS
        np.subtract(close, before[_EMA], out=ema)
        ema *= _EMA_RATES
        ema += before[_EMA]
        np.subtract(ema[0], ema[1], out=signal)
        signal -= before[_SIGNAL]
        signal *= _SIGNAL_RATE
        signal += before[_SIGNAL]
        return
    for row in range(3):
        x = given[row]
        if bar < _WILDER_FIRST + _WILDER_BARS - 1:
            after[row] = before[row] + x
        elif bar == _WILDER_FIRST + _WILDER_BARS - 1:
            after[row] = (before[row] + x) / _WILDER_BARS
        else:
            after[row] = (before[row] * (_WILDER_BARS - 1) + x) / _WILDER_BARS
    for row, n, first in ((3, _EMA_BARS[0], _EMA_FIRST[0]), (4, _EMA_BARS[1], _EMA_FIRST[1])):
        after[row] = _ema_step(before[row], close, bar, n, first)
    line = after[3] - after[4]
    after[5] = _ema_step(before[5], line, bar, _SIGNAL_BARS, _SIGNAL_FIRST)


def _ema_step(state: Array, x: Array, bar: int, n: int, first: int) -> Array:
    if bar < first:
        return np.zeros_like(state)
    if bar < first + n - 1:
        return state + x
    if bar == first + n - 1:
        return (state + x) / n
    return state + (x - state) * (2.0 / (n + 1))


def _lost(unknown: Array, spans: Sequence[slice], plans: Sequence[TickerPlan]) -> list[slice]:
    """Rows whose average true range is null: from a bar without high and low on, for good."""
    if not unknown.any() and all(
        plan.states[_TRUE_RANGE] is not None for plan in plans if plan.first_bar_number
    ):
        return []
    lost = []
    for span, plan in zip(spans, plans, strict=True):
        where = np.flatnonzero(unknown[span.start + 1 : span.stop])
        if plan.first_bar_number and plan.states[_TRUE_RANGE] is None:
            lost.append(span)
        elif len(where):
            lost.append(slice(span.start + 1 + int(where[0]), span.stop))
    return lost
