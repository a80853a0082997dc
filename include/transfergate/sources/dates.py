"""From text or typed values to session dates by declared formats, a whole column at a time.

Formats are those of ``strptime``, read the same in every locale: month and day names are English,
``%y`` is 1969 to 2068 as in POSIX, and a number that touches another has all its digits.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.settings import FileFormatParams
from transfergate.settings.formats import EPOCHS
from transfergate.sources.numbers import Cells

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_LONG = "january|february|march|april|may|june|july|august|september|october|november|december"
_DAYS = "mon|tue|wed|thu|fri|sat|sun"
_LONG_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_GROUPS = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "b": rf"(?P<b>(?i:{'|'.join(_MONTHS)}))",
    "B": rf"(?P<B>(?i:{_LONG}))",
    "a": rf"(?i:{_DAYS})",
    "A": rf"(?i:{_LONG_DAYS})",
    "f": r"\d{1,9}",
    "p": r"(?P<p>(?i:AM|PM))",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})",
}
_ISO = (
    r"(?P<Y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})"
    r"(?:[T ](?P<H>\d{2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:\.\d{1,9})?)?(?P<z>Z|[+-]\d{2}:?\d{2})?)?"
)
_EARLIEST, _LATEST = np.datetime64("0001-01-03", "us"), np.datetime64("9999-12-29", "us")
_MOST_SECONDS = 10**12
Days = npt.NDArray[np.datetime64]
Mask = npt.NDArray[np.bool_]


def read_dates(values: pa.Array, shape: FileFormatParams) -> Cells:
    """Session dates of a column of text.

    Each value must fit exactly one reading of the declared formats; one that fits two of them with
    two different dates is unreadable, as is one without a date.

    Args:
        values: Strings as received, shape (rows,).
        shape: Formats, time zone, what to do with a time of day.
    """
    encoded = values.dictionary_encode()
    text = pc.utf8_trim_whitespace(encoded.dictionary)
    found = np.full(len(text), np.datetime64("NaT"), dtype="datetime64[D]")
    twice = np.zeros(len(text), dtype=bool)
    for reading in shape.date_formats:
        days = _days(text, reading, shape)
        twice |= ~np.isnat(days) & ~np.isnat(found) & (days != found)
        found = np.where(np.isnat(found), days, found)
    found[twice] = np.datetime64("NaT")
    indices = np.asarray(encoded.indices.fill_null(len(text)))
    dates = np.append(found, np.datetime64("NaT", "D"))[indices]
    return Cells(pa.array(dates, pa.date32()), np.isnat(dates), _expected(shape))


def read_typed_dates(values: pa.Array, shape: FileFormatParams) -> Cells:
    """Session dates of typed values: dates, time stamps, or whole numbers as digits.

    A time stamp with a zone gives the day in ``time_zone``, or else in its own zone.
    """
    if pa.types.is_date(values.type):
        days = _held(np.asarray(values.cast(pa.date32())).astype("datetime64[D]"))
        return Cells(pa.array(days, pa.date32()), np.isnat(days), "a date")
    if pa.types.is_timestamp(values.type):
        zone = values.type.tz
        local = np.asarray(values.cast(pa.timestamp("us", zone))).astype("datetime64[us]")
        if zone is not None:
            local = _wall_clock(local, ZoneInfo(shape.time_zone) if shape.time_zone else zone)
        dates = _held(_whole_days(local, shape))
        return Cells(pa.array(dates, pa.date32()), np.isnat(dates), _expected(shape))
    if pa.types.is_floating(values.type):
        values = values.cast(pa.int64(), safe=True)
    return read_dates(values.cast(pa.string()), shape)


def _held(days: Days) -> Days:
    # NaT beyond the years that have four digits.
    held = (days >= np.datetime64("0001-01-01")) & (days <= np.datetime64("9999-12-31"))
    return np.where(held, days, np.datetime64("NaT"))


def fits(text: pa.Array, reading: str) -> Mask:
    """Which values one format can read, whatever their time of day; shape (rows,)."""
    shape = FileFormatParams(date_format=reading, time_of_day="any", time_zone="UTC")
    return ~np.isnat(_days(pc.utf8_trim_whitespace(text), reading, shape))


def _days(text: pa.Array, reading: str, shape: FileFormatParams) -> Days:
    if reading in EPOCHS:
        return _epochs(text, EPOCHS[reading], shape)
    parts = pc.extract_regex(text, f"^(?:{_pattern(reading)})$")
    fields: dict[str, Any] = {
        parts.type.field(i).name: parts.field(i) for i in range(parts.type.num_fields)
    }
    matched = np.asarray(pc.is_valid(parts))
    days = _civil(_year(fields, matched), _month(fields, matched), _int(fields["d"], matched))
    days[~matched] = np.datetime64("NaT")
    if not fields.keys() & {"H", "I", "z"}:
        return days
    hours = _int(fields["H"], matched) if "H" in fields else _twelve(fields, matched)
    minutes = _int(fields["M"], matched) if "M" in fields else np.zeros(len(matched), dtype=int)
    seconds = _int(fields["S"], matched) if "S" in fields else np.zeros(len(matched), dtype=int)
    days[(hours > 23) | (minutes > 59) | (seconds > 59)] = np.datetime64("NaT")
    clock = days.astype("datetime64[us]") + (
        (hours * 3600 + minutes * 60 + seconds) * 1_000_000
    ).astype("timedelta64[us]")
    return _whole_days(_local(clock, fields.get("z"), shape), shape)


def _whole_days(local: npt.NDArray[np.datetime64], shape: FileFormatParams) -> Days:
    # A daily bar is stamped at midnight; another time may belong to a bar of minutes, or to
    # another zone, where the day is another one too.
    days: Days = local.astype("datetime64[D]")
    if shape.time_of_day == "midnight":
        days = np.where(local == days, days, np.datetime64("NaT"))
    return days


def _local(clock: Days, zone: Any, shape: FileFormatParams) -> npt.NDArray[np.datetime64]:
    # Stamps with an offset, on the wall clock of the exchange; without a declared zone they are
    # unreadable, because the offset alone does not say whose day it is.
    if zone is None:
        return clock
    text = np.asarray(pc.fill_null(zone, ""), dtype=object)
    stamped = text != ""
    if not stamped.any():
        return clock
    minutes = np.array([_offset(value) for value in text])
    utc = clock - (minutes * 60_000_000).astype("timedelta64[us]")
    if shape.time_zone is None:
        return np.where(stamped, np.datetime64("NaT"), clock)
    return np.where(stamped, _wall_clock(utc, ZoneInfo(shape.time_zone)), clock)


def _wall_clock(
    utc: npt.NDArray[np.datetime64], zone: ZoneInfo | str
) -> npt.NDArray[np.datetime64]:
    # What a clock there shows; NaT beyond the years that zones are known for.
    known = (utc > _EARLIEST) & (utc < _LATEST)
    inside = np.where(known, utc, _EARLIEST).astype("datetime64[us]")
    local = (
        pd.Series(inside)
        .dt.tz_localize("UTC")
        .dt.tz_convert(zone)
        .dt.tz_localize(None)
        .to_numpy(dtype="datetime64[us]")
    )
    return np.where(known, local, np.datetime64("NaT"))


def _epochs(text: pa.Array, ticks: int, shape: FileFormatParams) -> Days:
    good = pc.fill_null(pc.match_substring_regex(text, r"^-?0*(\d{1,18}|[1-8]\d{18})$"), False)
    numbers = pc.if_else(good, text, pa.scalar("0", pa.string())).cast(pa.int64())
    seconds, rest = np.divmod(np.asarray(numbers), ticks)
    # Beyond the year 9999 microseconds do not fit either.
    good = np.asarray(good) & (np.abs(seconds) < _MOST_SECONDS)
    micros = np.where(good, seconds, 0) * 1_000_000 + rest * 1_000_000 // ticks
    local = _wall_clock(micros.astype("datetime64[us]"), ZoneInfo(shape.time_zone or "UTC"))
    return np.where(good, _whole_days(local, shape), np.datetime64("NaT"))


def _pattern(reading: str) -> str:
    # A strptime format as an expression; %d, %m and %H may lack the leading zero where something
    # else than a digit follows.
    if reading == "iso":
        return _ISO
    out, i = "", 0
    while i < len(reading):
        if reading[i] != "%":
            out += re.escape(reading[i])
            i += 1
            continue
        directive, following = reading[i + 1 : i + 2], reading[i + 2 : i + 4]
        touching = out.endswith(")") or following[:1] == "%"
        digits = r"\d{2}" if touching else r"\d{1,2}"
        group = _GROUPS.get(directive, rf"(?P<{directive}>{digits})")
        out += "%" if directive == "%" else group
        i += 2
    return out


def _year(fields: dict[str, Any], matched: Mask) -> npt.NDArray[np.int64]:
    if "Y" in fields:
        return _int(fields["Y"], matched)
    short = _int(fields["y"], matched)
    return np.where(short >= 69, 1900 + short, 2000 + short)


def _month(fields: dict[str, Any], matched: Mask) -> npt.NDArray[np.int64]:
    if "m" in fields:
        return _int(fields["m"], matched)
    names = pc.utf8_lower(pc.utf8_slice_codeunits(fields.get("b", fields.get("B")), 0, 3))
    index = pc.index_in(names, value_set=pa.array(_MONTHS))
    return np.asarray(pc.fill_null(index, -1)).astype(np.int64) + 1


def _twelve(fields: dict[str, Any], matched: Mask) -> npt.NDArray[np.int64]:
    if "I" not in fields:
        return np.zeros(len(matched), dtype=np.int64)
    hours = _int(fields["I"], matched)
    if "p" not in fields:
        return hours
    late = np.asarray(pc.fill_null(pc.equal(pc.utf8_upper(fields["p"]), "PM"), False))
    return np.where(hours > 12, 99, hours % 12 + 12 * late)


def _int(values: pa.Array, matched: Mask) -> npt.NDArray[np.int64]:
    filled = pc.if_else(pc.or_kleene(pc.is_null(values), pc.equal(values, "")),
                        pa.scalar("0", pa.string()), values)  # fmt: skip
    numbers: npt.NDArray[np.int64] = np.asarray(filled.cast(pa.int64()))
    return np.where(matched, numbers, 0)


def _civil(
    year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day: npt.NDArray[np.int64]
) -> Days:
    # NaT where there is no such day.
    sound = (month >= 1) & (month <= 12) & (year >= 1) & (day >= 1)
    months = ((year - 1970) * 12 + np.where(sound, month - 1, 0)).astype("datetime64[M]")
    days: Days = months.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    sound &= days.astype("datetime64[M]") == months
    return np.where(sound, days, np.datetime64("NaT"))


def _offset(text: str) -> int:
    if text in ("", "Z"):
        return 0
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return -minutes if text[0] == "-" else minutes


def _expected(shape: FileFormatParams) -> str:
    text = f"a date as {' or '.join(shape.date_formats)}"
    if len(shape.date_formats) > 1:
        text += " (exactly one reading)"
    if shape.time_zone:
        text += f" in {shape.time_zone}"
    if shape.time_of_day == "midnight" and any(
        reading == "iso" or reading in EPOCHS or re.search("%[HIz]", reading)
        for reading in shape.date_formats
    ):
        text += ", at midnight (time_of_day = 'any' leaves the time out"
        text += ")" if shape.time_zone else "; an offset needs time_zone)"
    return text
