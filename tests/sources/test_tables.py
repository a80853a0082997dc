from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources import FilesSource

BARS = (
    "date,symbol_now,sym,open,high,low,close,div,split\n"
    "2014-06-05,A,OLD,7,7,7,7,0.5,1\n2014-06-06,A,OLD,7,7,7,7,0,0\n"
    "2014-06-09,A,NEW,1,1,1,1,,7:1\n2014-06-09,B,B,1,1,1,1,0,2/1\n"
)
COLUMNS = {"ticker": "symbol_now", "symbol": "sym", "dividend": "div", "split_ratio": "split"}


def files(root: Path, tables: dict[str, str], **shape: Any) -> FilesSource:
    (root / "bars.csv").write_text(BARS)
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text)
    formats = (FileFormatParams(**{"columns": COLUMNS, **shape}),)
    named = {name: f"{name}.csv" for name in tables}
    return FilesSource(str(root), SourceParams(kind="files", formats=formats, **named))


def test_columns_of_actions_and_symbols_become_their_tables(tmp_path: Path):
    reference = files(tmp_path, {}).reference(["A"])
    assert [tuple(row.values()) for row in reference.actions.to_pylist()] == [
        ("A", date(2014, 6, 5), "dividend", 0.5), ("A", date(2014, 6, 9), "split", 7.0),
    ]  # fmt: skip
    assert [tuple(row.values()) for row in reference.symbols.to_pylist()] == [
        ("OLD", "A", date(2014, 6, 5), date(2014, 6, 6)), ("NEW", "A", date(2014, 6, 9), None),
    ]  # fmt: skip


def test_declared_tables_go_over_the_files_and_are_no_bars(tmp_path: Path):
    tables = {
        "actions": "ticker,effect_date,kind,value\nA,2014-06-09,split,\nA,2014-06-10,dividend,1.5\n"
        "Z,2014-06-10,split,3\n",
        "instruments": "ticker,sector,cost_bps\nA,Tech,2.5\nZ,Oil,0\n",
        "symbols": "symbol,ticker,first_date,last_date\nOLDER,A,,2014-06-04\n",
    }
    source = files(tmp_path, tables)
    assert source.tickers() == ("A", "B")
    reference = source.reference(["A"])
    assert [tuple(row.values()) for row in reference.actions.to_pylist()] == [
        ("A", date(2014, 6, 5), "dividend", 0.5), ("A", date(2014, 6, 9), "split", None),
        ("A", date(2014, 6, 10), "dividend", 1.5),
    ]  # fmt: skip
    instrument = reference.instruments.to_pylist()
    assert [(row["ticker"], row["sector"], row["cost_bps"]) for row in instrument] == [
        ("A", "Tech", 2.5)
    ]
    assert reference.symbols.num_rows == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("actions", "ticker,effect_date,kind,value\nA,09/06/2014,split,7\n",
         r"actions\.csv: line 2: column 'effect_date' has '09/06/2014', expected an ISO date"),
        ("actions", "ticker,effect_date,kind,value\nA,2014-06-09,split,-7\n", "new shares per old"),
        ("actions", "ticker,effect_date,kind,value\nA,2014-06-09,split,99999\n", "up to 10000"),
        ("actions", "ticker,effect_date,kind,value\nA,2014-06-09,dividend,nan\n", "cash per share"),
        ("actions", "ticker,effect_date,kind,value\nA,2014-06-09,merger,1\n", "'split' or 'divid"),
        ("actions", "ticker,effect_date,kind,value\nA,0201-06-09,split,7\n", "from 1800-01-01"),
        ("actions", "ticker,effect_date,kind,value\nA,2014-06-09,split,7\nA,2014-06-09,split,6\n",
         r"line 3: .*expected 7\.0, as in an earlier line"),
        ("actions", "ticker,date,kind,value\nA,2014-06-09,split,7\n", "columns ticker, date, kind"),
        ("instruments", "ticker,cost_bps\nA,-1\n", "basis points"),
        ("instruments", "ticker,sector\nA,x\nA,y\n", "each ticker once"),
        ("instruments", "ticker,branch\nA,x\n", "no others than ticker, name"),
        ("symbols", "symbol,ticker,first_date,last_date\nS,A,,2014-01-02\nS,B,2014-01-02,\n",
         "dates apart from those at which it was A"),
        ("symbols", "symbol,ticker,first_date,last_date\nS,A,2014-01-03,2014-01-02\n",
         "not before first_date"),
        ("symbols", "symbol,ticker\n,A\n", "has nothing, expected a text"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named(tmp_path, name, text, message):
    with pytest.raises(SourceError, match=message):
        files(tmp_path, {name: text}).reference(["A"])


def test_files_that_contradict_each_other_are_refused(tmp_path: Path):
    source = files(tmp_path, {})
    (tmp_path / "more.csv").write_text(BARS.replace("7:1", "6:1"))
    places = r"7\.0 \(bars\.csv, line 4\) and 6\.0 \(more\.csv, line 4\)"
    with pytest.raises(SourceError, match=rf"A 2014-06-09: two values of one split, {places}"):
        source.reference(["A"])
    # What that refusal advises helps.
    said = {"actions": "ticker,effect_date,kind,value\nA,2014-06-09,split,7\n"}
    decided = files(tmp_path, said, pattern="[bm]*.csv")
    splits = decided.reference(["A"]).actions.filter(pc.field("kind") == "split")
    assert splits["value"].to_pylist() == [7.0]


def test_an_action_that_is_no_ratio_is_refused_or_set_apart(tmp_path: Path):
    source = files(tmp_path, {})
    (tmp_path / "bars.csv").write_text(BARS.replace("2/1", "two"))
    with pytest.raises(
        SourceError, match=r"'split' \(split_ratio\): line 5 has 'two'; expected new"
    ):
        source.fetch(["B"], None, None)
    (tmp_path / "bars.csv").write_text(BARS)
    apart = files(tmp_path, {}, unreadable="quarantine")
    (tmp_path / "bars.csv").write_text(BARS.replace("2/1", "-2"))
    assert apart.fetch(["B"], None, None)["unreadable"].to_pylist() == ['{"split_ratio": "-2"}']
    assert apart.reference(["B"]).actions.num_rows == 0


@pytest.mark.parametrize("ratio", [math.inf, 20_000.0])
def test_a_typed_ratio_out_of_bounds_is_no_split(tmp_path: Path, ratio: float):
    row = dict(ticker="A", session_date="2014-06-09", open=1, high=1, low=1, close=1)
    pq.write_table(pa.Table.from_pylist([{**row, "split": ratio}]), tmp_path / "a.parquet")
    shape = FileFormatParams(columns={"split_ratio": "split"})
    source = FilesSource(str(tmp_path), SourceParams(kind="files", formats=(shape,)))
    with pytest.raises(SourceError, match=r"line 1 has .*expected new shares .*0 to 10000"):
        source.fetch(["A"], None, None)
