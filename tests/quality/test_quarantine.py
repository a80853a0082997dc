"""Parts of a quarantine: the same rows that reading all of it would give, and harmless as CSV."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfergate.quality import (
    NO_TICKER,
    QUARANTINE_SCHEMA,
    Filter,
    quarantine_csv,
    quarantine_part,
)
from transfergate.quality.quarantine import harmless

N = 250
REASONS = (["high_bounds_the_bar"], ["close_positive", "high_bounds_the_bar"],
           ["ticker_over_limit: 3 of 120 rows"], [])  # fmt: skip


def row(number):
    return {
        "row_id": number * 3,
        "ticker": (None, "FB", "GOOG")[number % 3],
        "session_date": date(2012, 1, 1) + timedelta(days=number),
        "open": -1.5,
        "reasons": REASONS[number % 4],
        "origin": "/data/=bars.csv",
        "line": number + 2,
    }


@pytest.fixture
def file(tmp_path):
    table = pa.Table.from_pylist([row(number) for number in range(N)], QUARANTINE_SCHEMA)
    path = tmp_path / "quarantine.parquet"
    pq.write_table(table, path, row_group_size=40)
    return path


@pytest.mark.parametrize("first", [0, 39, 40, 199, 240, 249, 250, 1000])
def test_a_page_is_a_part_of_all_rows(file, first):
    part = quarantine_part(file, Filter(), first, 60)
    assert [found["row_id"] for found in part.rows] == [3 * i for i in range(N)][first : first + 60]
    assert (part.total, part.matching) == (N, N)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Filter(ticker="FB"), lambda one: one["ticker"] == "FB"),
        (Filter(ticker=NO_TICKER), lambda one: one["ticker"] is None),
        (Filter(rule="high_bounds_the_bar"), lambda one: "high_bounds_the_bar" in one["reasons"]),
        (Filter(rule="ticker_over_limit"), lambda one: "3 of 120" in str(one["reasons"])),
        (Filter("GOOG", "close_positive"),
         lambda one: one["ticker"] == "GOOG" and "close_positive" in one["reasons"]),
        (Filter(ticker="' OR 1=1"), lambda one: False),
        (Filter(rule="high"), lambda one: False),
    ],
)  # fmt: skip
def test_filtered_pages_are_those_of_the_rows_that_fit(file, wanted, fits):
    expected = [3 * number for number in range(N) if fits(row(number))]
    for first in (0, 7, 80):
        part = quarantine_part(file, wanted, first, 30)
        assert [found["row_id"] for found in part.rows] == expected[first : first + 30]
        assert (part.total, part.matching) == (N, len(expected))
    lines = list(csv.DictReader(io.StringIO(b"".join(quarantine_csv(file, wanted)).decode())))
    assert [int(line["row_id"]) for line in lines] == expected


def test_reasons_are_rules_without_their_figures(file):
    (found,) = quarantine_part(file, Filter(), 2, 1).rows
    assert found["reasons"] == ("ticker_over_limit",)


def test_a_file_of_a_batch_whose_columns_were_wrong_can_be_read(tmp_path):
    table = pa.table({"row_id": [0], "open": ["=cmd()"], "reasons": [["batch_refused: columns"]]})
    path = tmp_path / "quarantine.parquet"
    pq.write_table(table, path)
    assert quarantine_part(path, Filter(ticker="FB"), 0, 10).matching == 0
    assert quarantine_part(path, Filter(rule="batch_refused"), 0, 10).rows[0]["open"] == "=cmd()"
    assert b",'=cmd()," in b"".join(quarantine_csv(path, Filter()))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+SUM(A1)", "-2+3", "@x", "\t=1", "\r=1", "\n=1", "  =1+1", "\uff1d1+1", "-", "+1-1"],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert harmless(text) == "'" + text


@pytest.mark.parametrize(
    "value", [-1.5, -3, None, "-1.5", "+2", "-1e-3", "BRK-B", "^GSPC", "", "a=b"]
)
def test_numbers_and_plain_names_stay_as_they_are(value):
    assert harmless(value) == value


def test_every_row_is_in_the_csv_and_numbers_are_numbers(file):
    lines = list(csv.DictReader(io.StringIO(b"".join(quarantine_csv(file, Filter())).decode())))
    assert len(lines) == N
    assert {line["open"] for line in lines} == {"-1.5"}
    assert lines[1]["reasons"] == "close_positive; high_bounds_the_bar"
