"""From text to numbers by declared rules, a whole column at a time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.settings import FileFormatParams

_PLAIN = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_NULL = pa.scalar(None, pa.string())
_EXACT_FROM, _EXACT_TO = 1e-4, 1e16


@dataclass(frozen=True)
class Cells:
    """One column, read.

    Attributes:
        values: Typed, shape (rows,); null where there is none and where it could not be read.
        bad: Which rows could not be read, shape (rows,).
        expected: What a cell had to look like, for the refusal.
    """

    values: pa.Array
    bad: npt.NDArray[np.bool_]
    expected: str


def read_numbers(text: pa.Array, shape: FileFormatParams, unit: float) -> Cells:
    """Read numbers as the format declares them.

    A factor that is a power of ten is applied to the digits, not to the binary number, so that
    ``164.26K`` is exactly 164260 and ``136300`` in units of 1e-4 exactly 13.63.

    Args:
        text: Strings as received, shape (rows,).
        shape: Separators, suffixes, signs, null words.
        unit: What 1 is worth.
    """
    if shape.thousands is None and shape.decimal == "." and (fast := _plain(text, unit)):
        return Cells(fast[0], np.zeros(len(text), dtype=bool), _expected(shape))
    trimmed = pc.utf8_trim_whitespace(text)
    absent = pc.is_in(trimmed, value_set=pa.array(["", *shape.null_words], pa.string()))
    trimmed = pc.if_else(absent, _NULL, trimmed)
    values = None
    if not shape.suffixes and not shape.signs:
        values = _cast(_separators(trimmed, shape), unit)
    if values is None:
        values = _careful(trimmed, shape, unit)
    known = pc.is_valid(trimmed)
    finite = pc.and_(pc.is_valid(values), pc.fill_null(pc.is_finite(values), False))
    bad = pc.and_(known, pc.invert(finite))
    if not shape.scientific:
        bad = pc.or_(bad, _rounded(trimmed, values, unit))
    values = pc.if_else(bad, pa.scalar(None, pa.float64()), values)
    return Cells(values, np.asarray(bad, dtype=bool), _expected(shape))


def read_typed_numbers(values: pa.Array, unit: float) -> Cells:
    """Numbers of a typed file: not-a-number counts as null, everything else stays."""
    numbers = values.cast(pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if unit != 1.0:
        power = _power_of_ten(unit)
        # Dividing by an exact power of ten rounds once; multiplying by 1e-4 would round twice.
        if power is not None and power < 0:
            numbers = pc.divide(numbers, 10.0 ** abs(power))
        else:
            numbers = pc.multiply(numbers, unit)
    return Cells(numbers, np.zeros(len(values), dtype=bool), "a number")


def _plain(text: pa.Array, unit: float) -> tuple[pa.Array] | None:
    # Nothing but plain numbers: what a clean panel is, and three times as fast.
    values = _cast(text, unit)
    if values is None or not pc.all(pc.is_finite(values), min_count=0).as_py():
        return None
    if pc.any(pc.match_substring_regex(text, "[eE]"), min_count=0).as_py():
        return None
    return (values,)


def _separators(text: pa.Array, shape: FileFormatParams) -> pa.Array:
    # Decimal point and no thousands; a value whose groups are not well-formed becomes unreadable.
    if shape.thousands is not None:
        mark, point = re.escape(shape.thousands), re.escape(shape.decimal)
        head = rf"\d{{1,2}}(?:{mark}\d{{2}})*" if shape.grouping == "indian" else r"\d{1,3}"
        tail = rf"{mark}\d{{3}}" if shape.grouping == "indian" else rf"(?:{mark}\d{{3}})+"
        good = rf"^[+-]?(?:{head}{tail}(?:{point}\d*)?|[0-9.eE+-]*)$".replace(
            "[0-9.eE+-]", f"[0-9{point}eE+-]"
        )
        grouped = pc.match_substring(text, shape.thousands)
        fits = pc.match_substring_regex(text, good)
        plain = pc.replace_substring(text, shape.thousands, "")
        text = pc.if_else(pc.or_(pc.invert(grouped), fits), plain, pc.binary_join_element_wise(
            "?", text, ""))  # fmt: skip
    if shape.decimal == ",":
        # A point that is still there is no part of a number.
        text = pc.replace_substring(pc.replace_substring(text, ".", "?"), ",", ".")
    return text


def _cast(text: pa.Array, unit: float) -> pa.Array | None:
    # The fast way: the whole column at once, or None where one value does not fit.
    power = _power_of_ten(unit)
    try:
        if unit != 1.0 and power is not None:
            if pc.any(pc.match_substring(text, "e", ignore_case=True)).as_py():
                return None
            return pc.binary_join_element_wise(text, f"e{power}", "").cast(pa.float64())
        numbers = text.cast(pa.float64())
        return numbers if unit == 1.0 else pc.multiply(numbers, unit)
    except pa.ArrowInvalid:
        return None


def _careful(text: pa.Array, shape: FileFormatParams, unit: float) -> pa.Array:
    # Value by value in vectors: sign, digits, exponent, suffix; null where a value does not fit.
    for sign in shape.signs:
        text = pc.replace_substring(text, sign, "", max_replacements=1)
    text = pc.utf8_trim_whitespace(text)
    factor = pa.array(np.full(len(text), unit))
    for suffix in sorted(shape.suffixes, key=len, reverse=True):
        ends = pc.fill_null(pc.ends_with(text, suffix), False)
        cut = pc.utf8_rtrim_whitespace(
            pc.replace_substring_regex(text, re.escape(suffix) + "$", "\x00")
        )
        text = pc.if_else(ends, cut, text)
        scaled = pc.multiply(factor, shape.suffixes[suffix])
        factor = pc.if_else(ends, scaled, factor)
    # A marked end is that of a suffix, which only one may have taken.
    text = pc.utf8_trim_whitespace(pc.replace_substring(text, "\x00", "", max_replacements=1))
    text = _separators(text, shape)
    fits = pc.match_substring_regex(text, rf"^{_PLAIN}(?:[eE][+-]?\d{{1,3}})?$")
    text = pc.if_else(pc.fill_null(fits, False), text, _NULL)
    out = np.full(len(text), np.nan)
    factors = np.asarray(factor)
    for value in np.unique(factors):
        rows = factors == value
        some = text.filter(pa.array(rows))
        power = _power_of_ten(float(value))
        exact = None if power is None else _cast(some, float(value))
        numbers = exact if exact is not None else pc.multiply(some.cast(pa.float64()), value)
        out[rows] = np.asarray(pc.fill_null(numbers, np.nan))
    return pa.array(out, from_pandas=True)


def _rounded(text: pa.Array, values: pa.Array, unit: float) -> pa.Array:
    # Programs write an exponent only for very small and very large numbers; in between it is
    # what a spreadsheet shows of a number whose digits it dropped.
    exponent = pc.match_substring_regex(text, r"^[^eE]*\d[eE][+-]?\d+[^0-9]*$")
    if not pc.any(exponent).as_py():
        return pa.array(np.zeros(len(text), dtype=bool))
    size = pc.divide(pc.abs(values), unit)
    between = pc.and_(pc.greater_equal(size, _EXACT_FROM), pc.less(size, _EXACT_TO))
    return pc.fill_null(pc.and_(exponent, between), False)


def _power_of_ten(factor: float) -> int | None:
    power = round(math.log10(factor)) if factor > 0 else 0
    return power if abs(power) <= 15 and float(f"1e{power}") == factor else None


def _expected(shape: FileFormatParams) -> str:
    text = f"a number with decimal {shape.decimal!r}"
    if shape.thousands:
        text += f" and thousands {shape.thousands!r} in groups of {shape.grouping}"
    else:
        text += ", no thousands separator"
    if shape.suffixes:
        text += f", with or without one of {' '.join(shape.suffixes)}"
    if not shape.scientific:
        text += ", not in a spreadsheet's scientific notation"
    return text
