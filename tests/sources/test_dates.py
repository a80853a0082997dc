from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from transfergate.settings import FileFormatParams
from transfergate.sources.dates import read_dates, read_typed_dates

D = date(2020, 3, 4)
NY = {"time_zone": "America/New_York"}


def read(values: list[str | None], reading: Any = None, **shape: Any) -> list[date | None]:
    cells = read_dates(
        pa.array(values, pa.string()), FileFormatParams(date_format=reading, **shape)
    )
    days: list[date | None] = cells.values.to_pylist()
    assert cells.bad.tolist() == [day is None for day in days]
    return days


@pytest.mark.parametrize(
    ("reading", "good", "bad"),
    [
        (None, ["2020-03-04", " 2020-3-4 "], ["2020/03/04", "NA", "", "20200304"]),
        ("%Y-%m-%d", [], ["2020-03-04 00:00", "2020-03"]),
        ("%d%m%y", ["040320"], ["40320", "310220", "04032020"]),
        ("%Y%m%d", ["20200304"], ["2020034", "20201304"]),
        ("%d/%m/%Y", ["04/03/2020", "4/3/2020"], ["03/30/2020", "04-03-2020", "11:34"]),
        ("%b %d, %Y", ["Mar 04, 2020", "mar 4, 2020"], ["March 04, 2020", "Mrz 04, 2020"]),
        ("%d %B %y", ["4 March 20"], ["4 Mar 20"]),
        ("%a %d.%m.%Y", ["Wed 04.03.2020"], ["04.03.2020"]),
        ("%m/%d/%Y %I:%M:%S %p", ["3/4/2020 12:00:00 AM"], ["3/4/2020 09:30:00 AM", "3/4/2020"]),
        ("%Y%m%d %H:%M", ["20200304 00:00"], ["20200304 09:30", "20200304 24:00"]),
        ("epoch:s", ["1583280000"], ["1583280001", "x", ""]),
        ("epoch:ms", ["1583280000000"], ["1583280000500"]),
    ],
)  # fmt: skip
def test_a_date_is_read_as_declared_or_not_at_all(reading, good, bad):
    assert read(good, reading) == [D] * len(good)
    assert read(bad, reading) == [None] * len(bad)


def test_two_digit_years_are_those_of_posix():
    assert read(["010169", "010168"], "%d%m%y") == [date(1969, 1, 1), date(2068, 1, 1)]


def test_of_several_formats_exactly_one_reading_must_fit():
    both = ("%m/%d/%Y", "%d/%m/%Y")
    assert read(["03/04/2020", "04/04/2020", "30/04/2020"], both) == [
        None, date(2020, 4, 4), date(2020, 4, 30),
    ]  # fmt: skip
    apart = ("%m/%d/%Y", "%m-%d-%Y")
    assert read(["09/25/2023", "10-01-2007"], apart) == [date(2023, 9, 25), date(2007, 10, 1)]


def test_stamps_with_offsets_give_the_day_of_the_exchange():
    stamps = ["2020-03-04 00:00:00-05:00", "2020-07-06T00:00:00-0400", "2020-07-06T04:00:00Z"]
    assert read(stamps, "iso", **NY) == [D, date(2020, 7, 6), date(2020, 7, 6)]
    # Midnight in London is an evening in New York: whose day that is, is not guessed.
    assert read(["2020-07-06T00:00:00Z"], "iso", **NY) == [None]
    assert read(["2020-07-06T00:00:00Z"], "iso", time_of_day="any", **NY) == [date(2020, 7, 5)]
    assert read(["2020-03-04 00:00:00-05:00"], "iso") == [None]
    assert read(["1583298000"], "epoch:s", **NY) == [D]


def test_typed_values():
    def typed(values: list[Any], kind: pa.DataType, **shape: Any) -> list[date | None]:
        return read_typed_dates(
            pa.array(values, kind), FileFormatParams(**shape)
        ).values.to_pylist()

    assert typed([D, None], pa.date32()) == [D, None]
    assert typed([20200304], pa.int64(), date_format="%Y%m%d") == [D]
    assert typed([20200304.0], pa.float64(), date_format="%Y%m%d") == [D]
    assert typed([datetime(2020, 3, 4), datetime(2020, 3, 4, 9)], pa.timestamp("ns")) == [D, None]  # noqa: DTZ001
    utc = [datetime(2020, 3, 3, 15)]  # noqa: DTZ001
    assert typed(utc, pa.timestamp("us", "UTC"), time_zone="Asia/Tokyo") == [D]


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ("%d %Q %Y", "%Q cannot be read"), ("%m/%d", "lacks a year"), 
        ("%Y-%y-%m-%d", "has one twice"), ("%Y-%j", "%j cannot be read"),
    ],
)  # fmt: skip
def test_a_format_that_is_no_date_is_refused(reading, message):
    with pytest.raises(ValidationError, match=message):
        FileFormatParams(date_format=reading)


def test_a_stamp_beyond_what_a_calendar_holds_is_no_date():
    far = ["9223372036854775807", "-9223372036854775808", "99999999999999999999", "9999999999999"]
    assert read(["1583298000", *far], "epoch:s", **NY) == [D, None, None, None, None]
    assert read(["1583298000000000000"], "epoch:ns", **NY) == [D]
    ends = ["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"]
    assert read(ends, "iso", time_of_day="any", **NY) == [None, None]
    days = pa.array([-(10**6), 10**7, 18325], pa.date32())
    assert read_typed_dates(days, FileFormatParams()).values.to_pylist() == [None, None, D]
    stamps = pa.array([10**12, 1583280000], pa.timestamp("s"))
    assert read_typed_dates(stamps, FileFormatParams()).values.to_pylist() == [None, D]
    stamps = pa.array([253402300799, 1583298000], pa.timestamp("s", "UTC"))
    assert read_typed_dates(stamps, FileFormatParams(**NY)).values.to_pylist() == [None, D]
