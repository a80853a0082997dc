"""What the cells of one column look like: which readings fit, and how many of the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.settings import FileFormatParams
from transfergate.sources.dates import fits, read_dates
from transfergate.sources.numbers import read_numbers

READINGS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y",
    "%m.%d.%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%Y%m%d", "%d%m%Y", "%m%d%Y",
    "%d%m%y", "%m%d%y", "%y%m%d", "%b %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%B %d, %Y",
    "%d %B %Y", "%Y%m%d %H:%M", "%Y-%m-%d %H:%M:%S", "iso", "epoch:s", "epoch:ms",
)  # fmt: skip
NULL_WORDS = (
    "null", "NULL", "NA", "N/A", "NaN", "nan", "None", "none", "-", "--", "#N/A", "n/a",
)  # fmt: skip
SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "%": 0.01}
_MOST_READINGS = 3
_SEPARATORS: tuple[dict[str, object], ...] = (
    {},
    {"thousands": ","},
    {"decimal": ","},
    {"decimal": ",", "thousands": "."},
)
_SIGNS = ("$", "€", "£", "₹", "¥")


@dataclass(frozen=True)
class Rival:
    """Another format that fits the same values with other dates."""

    chosen: str
    other: str
    example: str
    count: int


@dataclass(frozen=True)
class DateGuess:
    """How a column reads as dates.

    Attributes:
        readings: The formats that together fit most values, best first.
        share: Of the values that have text, how many those fit.
        rivals: Other formats that fit the same values as one of these, with other dates.
        left: Some values that nothing fits, and how many there are.
        order: ``oldest_first`` or ``newest_first`` where the dates say so.
    """

    readings: tuple[str, ...]
    share: float
    rivals: tuple[Rival, ...] = ()
    left: tuple[str, ...] = ()
    n_left: int = 0
    n_values: int = 0
    order: str | None = None


@dataclass(frozen=True)
class NumberGuess:
    """How a column reads as numbers: options of a format, and what they leave unread."""

    options: dict[str, object] = field(default_factory=dict)
    share: float = 0.0
    nulls: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    n_left: int = 0
    doubt: str = ""


def guess_dates(text: pa.Array) -> DateGuess:
    """Formats of a column of dates; shares count cells that hold text."""
    text = pc.utf8_trim_whitespace(text)
    text = text.filter(pc.not_equal(text, ""))
    if not len(text):
        return DateGuess((), 0.0)
    masks = {reading: _fitting(text, reading) for reading in READINGS}
    covered = np.zeros(len(text), dtype=bool)
    days = np.full(len(text), np.datetime64("NaT"), dtype="datetime64[D]")
    chosen: list[str] = []
    rivals: list[Rival] = []
    while len(chosen) < _MOST_READINGS:
        gains = {reading: int((mask & ~covered).sum()) for reading, mask in masks.items()}
        most = max(gains.values())
        if most == 0 or (chosen and most <= max(2, 0.02 * len(text))):
            break
        equal = [reading for reading in READINGS if gains[reading] == most]
        more = {r: np.where(covered, days, _days(text, r)) for r in equal}
        # Of formats that fit equally, the one whose dates run one way is the likelier.
        best = min(equal, key=lambda r: _turns(more[r]))
        rivals += [
            Rival(best, r, str(text[int(np.flatnonzero(d)[0])]), most)
            for r in equal
            if (d := _differ(more[best], more[r])).any()
        ]
        chosen.append(best)
        days, covered = more[best], covered | masks[best]
    left = text.filter(pa.array(~covered))
    return DateGuess(
        tuple(chosen),
        float(covered.mean()),
        tuple(rivals),
        tuple(pc.unique(left).to_pylist()[:3]),
        len(left),
        len(text),
        _order(days),
    )


def guess_numbers(text: pa.Array) -> NumberGuess:
    """Separators, suffixes and null words of a column of numbers."""
    text = pc.utf8_trim_whitespace(text)
    text = text.filter(pc.not_equal(text, ""))
    nulls = tuple(word for word in pc.unique(text).to_pylist() if word in NULL_WORDS)
    text = text.filter(pc.invert(pc.is_in(text, value_set=pa.array(list(NULL_WORDS)))))
    if not len(text):
        return NumberGuess({}, 0.0, nulls)
    found: list[tuple[float, dict[str, object], npt.NDArray[np.bool_]]] = []
    extra = _extras(text)
    for options in _SEPARATORS:
        shape = FileFormatParams.model_validate({**options, **extra, "null_words": ()})
        bad = read_numbers(text, shape, 1.0).bad
        found.append((float(1 - bad.mean()), {**options, **extra}, bad))
    share, options, bad = max(found, key=lambda item: item[0])
    doubt = ""
    commas = pc.match_substring(text, ",")
    if share == found[2][0] == found[1][0] and pc.any(commas).as_py():
        doubt = "a comma may separate thousands or decimals: all values fit both; decide"
    left = text.filter(pa.array(bad))
    return NumberGuess(options, share, nulls, tuple(left.to_pylist()[:3]), len(left), doubt)


def _extras(text: pa.Array) -> dict[str, object]:
    ends = {
        suffix: factor for suffix, factor in SUFFIXES.items()
        if pc.any(pc.match_substring_regex(text, rf"\d\s*{suffix}$")).as_py()
    }  # fmt: skip
    signs = [sign for sign in _SIGNS if pc.any(pc.match_substring(text, sign)).as_py()]
    return {**({"suffixes": ends} if ends else {}), **({"signs": signs} if signs else {})}


def _fitting(text: pa.Array, reading: str) -> npt.NDArray[np.bool_]:
    mask = fits(text, reading)
    if reading.startswith("epoch"):
        # Seconds or milliseconds since 1970 of any date from 1973 have this many digits.
        digits = r"^\d{9,10}$" if reading == "epoch:s" else r"^\d{12,13}$"
        mask &= np.asarray(pc.match_substring_regex(text, digits))
    return mask


def _days(text: pa.Array, reading: str) -> npt.NDArray[np.datetime64]:
    shape = FileFormatParams(date_format=reading, time_of_day="any", time_zone="UTC")
    return np.asarray(read_dates(text, shape).values).astype("datetime64[D]")


def _steps(days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    known = days[~np.isnat(days)].astype(np.int64)
    return known[1:] - known[:-1]


def _turns(days: npt.NDArray[np.datetime64]) -> int:
    # How many steps go against the usual direction.
    steps = _steps(days)
    return int(min((steps > 0).sum(), (steps < 0).sum()))


def _order(days: npt.NDArray[np.datetime64]) -> str | None:
    steps = _steps(days)
    if len(steps) < 2 or _turns(days):
        return None
    return "oldest_first" if (steps > 0).any() else "newest_first"


def _differ(
    one: npt.NDArray[np.datetime64], other: npt.NDArray[np.datetime64]
) -> npt.NDArray[np.bool_]:
    differ: npt.NDArray[np.bool_] = (one != other) & ~np.isnat(one) & ~np.isnat(other)
    return differ


def candle_share(columns: Sequence[npt.NDArray[np.float64]]) -> float:
    """Share of rows in which open and close lie within low and high; columns o, h, l, c."""
    o, h, low, c = columns
    known = np.isfinite(o) & np.isfinite(h) & np.isfinite(low) & np.isfinite(c)
    if not known.any():
        return 0.0
    fine = (h >= np.maximum(o, c)) & (low <= np.minimum(o, c))
    return float(fine[known].mean())
