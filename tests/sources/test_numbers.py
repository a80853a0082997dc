from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from transfergate.settings import FileFormatParams
from transfergate.sources.numbers import read_numbers, read_typed_numbers

BAD = object()


def read(values: list[str], unit: float = 1.0, **shape: Any) -> list[Any]:
    cells = read_numbers(pa.array(values, pa.string()), FileFormatParams(**shape), unit)
    return [BAD if bad else v for v, bad in zip(cells.values.to_pylist(), cells.bad, strict=True)]


KMB = {"K": 1e3, "M": 1e6, "B": 1e9, "%": 0.01}
THOUSANDS = {"thousands": ","}
GERMAN = {"decimal": ",", "thousands": "."}


@pytest.mark.parametrize(
    ("values", "shape", "expected"),
    [
        (["1", "1.5", " 2 ", "+3", "-37.63", ".5"], {}, [1, 1.5, 2, 3, -37.63, 0.5]),
        (["", "null", "NA", "NaN", "1"], {}, [None, None, None, None, 1]),
        (["-", "None", "#REF!", "inf", "1e999", "0x10", "1_0"], {}, [BAD] * 7),
        (["-", "1"], {"null_words": ("-",)}, [None, 1]),
        (["1,936.60", "1.936,60"], {}, [BAD, BAD]),
        (["1,936.60", "754", "12,345,678.5", "-1,936.6"], THOUSANDS,
         [1936.6, 754, 12345678.5, -1936.6]),
        (["1.936,60", "1,93660", "1,936,60", ",936", "1,93", "1,936."], THOUSANDS,
         [BAD] * 5 + [1936]),
        (["1.936,60", "754", "1,5", "1.5", "1,936.60"], GERMAN, [1936.6, 754, 1.5, BAD, BAD]),
        (["1,5", "1.5"], {"decimal": ","}, [1.5, BAD]),
        (["1'936.5", "1 936"], {"thousands": "'"}, [1936.5, BAD]),
        (["1,23,456.5", "12,345", "123,456"], {**THOUSANDS, "grouping": "indian"},
         [123456.5, 12345, BAD]),
        (["164.26K", "1.1M", "2B", "7", "-0.46%"], {"suffixes": KMB},
         [164260, 1.1e6, 2e9, 7, -0.0046]),
        (["3KM", "K", "KK", "1 T", "3 K"], {"suffixes": KMB}, [BAD, BAD, BAD, BAD, 3000]),
        (["$12.5", "-$3", "(3)", "$$3"], {"signs": ("$",)}, [12.5, -3, BAD, BAD]),
        (["$1,936.5K"], {**THOUSANDS, "signs": ("$",), "suffixes": KMB}, [1936500]),
        (["1e-07", "1e+17", "1.94E+03", "4.79E+06"], {}, [1e-7, 1e17, BAD, BAD]),
        (["1e+05", "1.94E+03"], {"scientific": True}, [1e5, 1940]),
    ],
)  # fmt: skip
def test_a_number_is_read_as_declared_or_not_at_all(values, shape, expected):
    assert read(values, **shape) == expected


def test_units_scale_the_digits_and_lose_nothing():
    assert read(["136300", "20464700", "1", ""], 1e-4) == [13.63, 2046.47, 0.0001, None]
    assert read(["1,630", "2"], 1e-2, thousands=",") == [16.3, 0.02]
    assert read(["2"], 0.25) == [0.5]
    # Binary multiplication would give 16.259999999999998.
    assert read_typed_numbers(pa.array([162600]), 1e-4).values.to_pylist() == [16.26]


def test_a_column_of_nothing_is_nothing():
    assert read([]) == []
    assert read(["", ""]) == [None, None]
    assert read_typed_numbers(pa.array([float("nan"), 1.0]), 1.0).values.to_pylist() == [None, 1.0]
