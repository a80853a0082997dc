from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources import FilesSource, row_groups


def panel(place: Path, cells: list[str | None], rows: int) -> FilesSource:
    """One file in groups of so many rows; close is the row's number."""
    close = [float(i + 1) for i in range(len(cells))]
    prices = {name: close for name in ("open", "high", "low", "close", "volume")}
    table = pa.table(
        {
            "ticker": pa.array(cells, pa.string()),
            "session_date": ["2020-01-02"] * len(close),
            **prices,
        }
    )
    pq.write_table(table, place / "panel.parquet", row_group_size=rows)
    params = SourceParams(kind="files", formats=(FileFormatParams(),))
    return FilesSource(str(place), params)


@pytest.fixture
def groups_read(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    found: list[list[int]] = []
    read = row_groups.read_groups
    monkeypatch.setattr(
        row_groups, "read_groups", lambda *given: (found.append(given[1]), read(*given))[1]
    )
    return found


def test_only_groups_that_may_hold_a_ticker_are_read_and_lines_count_the_file(
    tmp_path: Path, groups_read: list[list[int]]
):
    source = panel(tmp_path, ["A"] * 4 + ["B"] * 4 + ["C"] * 4, 3)
    rows = source.fetch(["B"], None, None)
    assert groups_read == [[1, 2]]
    assert rows["line"].to_pylist() == rows["close"].to_pylist() == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "cells",
    [
        ["AA", "AA ", "AAA", "AB", "B", "B\t", "BB", "C"],
        [" AA", "AA", "B", " B", "AB", "C", "AAA", "BB"],
        ["AA", "\u3000B", "B\u00a0", "C", "AB", "BB", "AAA", "\u00a0AA"],
        ["AA", None, "B", "", "  ", "C", "\u3000", "AAA"],
        [None, None, "B", "AA", "", "", "\u00e4", "AA\u00e4"],
        ["B", "AA", "C", "AAA", "B", "AA", "C", "AAA"],
    ],
)
def test_no_row_is_lost_however_its_ticker_is_written(tmp_path: Path, cells: list[str | None]):
    for size in (1, 2, 3, 8):
        source = panel(tmp_path, cells, size)
        lines = [
            line
            for ticker in source.tickers()
            for line in source.fetch([ticker], None, None)["line"].to_pylist()
        ]
        assert sorted(lines) == list(range(1, len(cells) + 1))


def test_a_folded_ticker_is_looked_for_in_all_rows(tmp_path: Path):
    panel(tmp_path, ["a", "A", "b", "B"], 1)
    params = SourceParams(kind="files", formats=(FileFormatParams(ticker_case="upper"),))
    rows = FilesSource(str(tmp_path), params).fetch(["A"], None, None)
    assert rows["line"].to_pylist() == [1, 2]
