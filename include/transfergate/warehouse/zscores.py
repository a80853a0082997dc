"""Trailing z-scores from exact running sums: the arithmetic of ``marts/feature_z_scores.sql``.

That file is the definition; this is the same arithmetic, bit for bit, several times faster than
windows in SQL: sums over a window are differences of running sums, which integers make exact.
A signed 128-bit number is a pair of uint64 arrays (high, low) in two's complement, as DuckDB's
hugeint; sums wrap at 2^128, and differences of wrapped sums are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Wide = tuple[Array, Array]

_HALF = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFF_FFFF)
_WORD = 2.0**64
_ALL_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
# Up to here every integer is a double.
_EXACT = 1 << 53
# Of is_constant: a spread below 1e-9, squared, in units of 1e-12.
_CONSTANT_VARIANCE = 1_000_000
# Values scored at once: arrays that stay in the processor's cache and that memory is not given back
# after; half as many again take twice as long for each.
_BLOCK_VALUES = 10_240


def z_scores(values_e12: Array, valid: Array, window: int, clip: float) -> Array:
    """Score each value against its trailing window, the current value included.

    Args:
        values_e12: int64 (features, bars) of one ticker, in units of 1e-12, at most 1e16 in
            size; 0 where not valid.
        valid: bool of that shape.
        window: Bars, 2 … 1000.
        clip: Scores lie within ± clip.

    Returns:
        float32 (features, bars); NaN where the window holds an invalid value or is not full,
        0 where it is constant.
    """
    scores = np.full(values_e12.shape, np.nan, np.float32)
    n_bars = values_e12.shape[1]
    if n_bars >= window:
        rows = max(1, _BLOCK_VALUES // n_bars)
        for row in range(0, len(scores), rows):
            block = slice(row, row + rows)
            scores[block, window - 1 :] = _score(values_e12[block], valid[block], window, clip)
    return scores


def _score(values: Array, valid: Array, window: int, clip: float) -> Array:
    bits = 24 if window <= 128 else 23 if window <= 256 else 0
    if bits and -(1 << 2 * bits) < values.min() and values.max() < 1 << 2 * bits:
        score = _score_narrow(values, window, clip, bits)
    else:
        score = _score_wide(values, window, clip)
    if not valid.all():
        score[_window_sum(valid.astype(np.int64), window) != window] = np.nan
    return score


def _score_narrow(values: Array, window: int, clip: float, bits: int) -> Array:
    """Scores of values below 2^(2 bits): their halves' squares, times window², fit one word."""
    high, low = values >> bits, values & ((1 << bits) - 1)
    sum_high, sum_low = _window_sum(high, window), _window_sum(low, window)
    pairs = ((high, high, sum_high, sum_high), (high, low, sum_high, sum_low),
             (low, low, sum_low, sum_low))  # fmt: skip
    parts = []
    for left, right, sum_left, sum_right in pairs:
        part = _window_sum(left * right, window)
        part *= window
        part -= sum_left * sum_right
        parts.append(part)
    spread = _variance(parts, bits)
    constant = spread <= window * (window - 1) * _CONSTANT_VARIANCE
    spread *= window
    spread /= window - 1
    np.sqrt(spread, out=spread)
    sum_high <<= bits
    sum_high += sum_low
    excess = window * values[:, window - 1 :]
    excess -= sum_high
    # Below 2^53 any rounding is exact.
    exact = window * (int(values.max()) - int(values.min())) < _EXACT
    as_double = excess.astype(np.float64) if exact else _word_to_double(excess)
    return _clipped(as_double, spread, constant, clip)


def _variance(parts: Sequence[Array], bits: int) -> Array:
    """``parts[0] 2^(2 bits) + parts[1] 2^(bits + 1) + parts[2]``, rounded as ``_to_double`` does.

    The sum is no less than 0, and neither are the first and the last part.
    """
    top, cross, bottom = parts
    top += cross >> (bits - 1)
    cross &= (1 << (bits - 1)) - 1
    cross <<= bits + 1
    bottom += cross
    top += bottom >> (2 * bits)
    bottom &= (1 << 2 * bits) - 1
    high = (top >> (64 - 2 * bits)).astype(np.float64)
    top <<= 2 * bits
    top |= bottom
    high *= _WORD
    high += top.view(np.uint64)
    return high


def _word_to_double(value: Array) -> Array:
    # As _to_double of a number whose high half is only its sign.
    negative = value < 0
    number = np.where(negative, ~value, value).astype(np.float64)
    return np.where(negative, -number - 1.0, number)


def _clipped(excess: Array, spread: Array, constant: Array, clip: float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        excess /= spread
    np.clip(excess, -clip, clip, out=excess)
    excess[constant] = 0.0
    return excess


def _score_wide(values: Array, window: int, clip: float) -> Array:
    total = _wide_window_sum(_widen(values), window)
    squares = _wide_window_sum(_square(np.abs(values).view(np.uint64)), window)
    # n² times the variance, and n times (value - mean), as exact integers.
    variance = _subtract(_times(squares, window), _square(_size(total)))
    excess = _subtract(_times(_widen(values[:, window - 1 :]), window), total)
    constant = (variance[0] == 0) & (variance[1] <= window * (window - 1) * _CONSTANT_VARIANCE)
    spread = np.sqrt(window * _to_double(variance) / (window - 1))
    return _clipped(_to_double(excess), spread, constant, clip)


def _window_sum(values: Array, window: int) -> Array:
    running = np.cumsum(values, axis=1)
    found = running[:, window - 1 :]
    result = np.empty_like(found)
    result[:, 0] = found[:, 0]
    np.subtract(found[:, 1:], running[:, :-window], out=result[:, 1:])
    return result


def _widen(values: Array) -> Wide:
    return (values >> 63).view(np.uint64), values.view(np.uint64)


def _wide_window_sum(values: Wide, window: int) -> Wide:
    high, low = values
    running_low = np.cumsum(low, axis=1, dtype=np.uint64)
    carry = running_low < low
    running = np.cumsum(high + carry, axis=1, dtype=np.uint64), running_low
    found = tuple(part[:, window - 1 :].copy() for part in running)
    rest = _subtract(
        tuple(part[:, 1:] for part in found),  # type: ignore[arg-type]
        tuple(part[:, :-window] for part in running),  # type: ignore[arg-type]
    )
    for part, difference in zip(found, rest, strict=True):
        part[:, 1:] = difference
    return found[0], found[1]


def _subtract(left: Wide, right: Wide) -> Wide:
    return left[0] - right[0] - (left[1] < right[1]), left[1] - right[1]


def _times(value: Wide, factor: int) -> Wide:
    # factor < 2^32. Wraps at 2^128, which is right for negative numbers too.
    by = np.uint64(factor)
    bottom = (value[1] & _LOW_HALF) * by
    top = (value[1] >> _HALF) * by + (bottom >> _HALF)
    low = (top << _HALF) | (bottom & _LOW_HALF)
    return value[0] * by + (top >> _HALF), low


def _size(value: Wide) -> Array:
    # A total of 1000 values of 1e16 passes 2^63 but not 2^64: its size fits one word.
    return np.where(value[0] >> np.uint64(63) != 0, np.uint64(0) - value[1], value[1])


def _square(size: Array) -> Wide:
    high, low = size >> _HALF, size & _LOW_HALF
    cross, square = high * low, low * low
    result = square + (cross << np.uint64(33))
    return high * high + (cross >> np.uint64(31)) + (result < square), result


def _to_double(value: Wide) -> Array:
    # DuckDB's rounding: each half is rounded by itself; small negative numbers apart.
    high, low = value
    number = low.astype(np.float64) + high.view(np.int64).astype(np.float64) * _WORD
    small = -(_ALL_ONES - low).astype(np.float64) - 1.0
    return np.where(high == _ALL_ONES, small, number)
