"""A hand-made LEAN folder: GOOG was GOOCV at first, and the symbol GOOG was GOOGL's before."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path

import pytest

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources import FilesSource

FILES = {
    "map_files/goog.csv": "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n",
    "map_files/googl.csv": "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n",
    "map_files/fb.csv": "20120518,fb,Q\n20501231,fb,Q\n",
    "factor_files/googl.csv": (
        "20040819,0.99,0.5,1\n20140402,0.99,0.5,1135.1\n20150105,1,1,200\n20501231,1,1,0\n"
    ),
    "factor_files/fb.csv": "20120518,1,0.1428572,30\n20140607,1,0.1428572,31\n20501231,1,1,0\n",
}
ZIPS = {
    "goocv": "20140401 00:00,5587100,5684500,5587100,5675700,7867\n"
    "20140402 00:00,5570000,5671900,5562900,5670000,1228274",
    "goog": "20140402 00:00,11350000,11360000,11340000,11351000,100\n"
    "20140403 00:00,5698500,5872500,5641400,5697400,200\n",
    "googl": "20140403 00:00,5733900,5883000,5660200,5715000,300\n"
    "20150105 00:00,1,1,1,1,1\n20150106 00:00,20000,20000,20000,20000,1\n",
    "fb": "19990929 00:00,127500,127500,115000,115000,16300\n"
    "20140606 00:00,310000,320000,300000,310000,1\n20140609 00:00,44000,45000,43000,44000,1\n",
    "ibm": "20140402 00:00,1900000,1910000,1890000,1900500,5\n",
}


@pytest.fixture
def source(tmp_path: Path) -> FilesSource:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "daily").mkdir()
    for symbol, text in ZIPS.items():
        with zipfile.ZipFile(tmp_path / "daily" / f"{symbol}.zip", "w") as archive:
            archive.writestr(f"{symbol}.csv", text)
    shape = FileFormatParams(pattern="daily/*.zip", kind="lean")
    return FilesSource(str(tmp_path), SourceParams(kind="files", formats=(shape,), currency="USD"))


def test_rows_belong_to_the_ticker_that_had_the_symbol_that_day(source: FilesSource):
    assert source.tickers() == ("FB", "GOOG", "GOOGL", "IBM")
    rows = source.fetch(["GOOG", "GOOGL"], None, None).to_pylist()
    assert [(r["ticker"], str(r["session_date"]), r["close"], r["origin"]) for r in rows] == [
        ("GOOG", "2014-04-01", 567.57, "daily/goocv.zip"),
        ("GOOG", "2014-04-02", 567.0, "daily/goocv.zip"),
        ("GOOGL", "2014-04-02", 1135.1, "daily/goog.zip"),
        ("GOOG", "2014-04-03", 569.74, "daily/goog.zip"),
        ("GOOGL", "2014-04-03", 571.5, "daily/googl.zip"),
        ("GOOGL", "2015-01-05", 0.0001, "daily/googl.zip"),
        ("GOOGL", "2015-01-06", 2.0, "daily/googl.zip"),
    ]
    assert {r["currency"] for r in rows} == {"USD"}


def test_rows_of_a_company_that_nobody_knows_have_the_symbol_and_no_ticker(source: FilesSource):
    rows = source.fetch(["FB"], None, None).to_pylist()
    assert [(r["ticker"], r["session_date"].year, r["symbol"]) for r in rows] == [
        (None, 1999, "FB"), ("FB", 2014, "FB"), ("FB", 2014, "FB"),
    ]  # fmt: skip
    everyone = source.fetch(source.tickers(), None, None)
    parts = [source.fetch([ticker], None, None).num_rows for ticker in source.tickers()]
    assert everyone.num_rows == sum(parts) == 11


def test_factor_files_give_splits_and_dividends_on_the_next_session(source: FilesSource):
    actions = source.reference(["FB", "GOOGL"]).actions.to_pylist()
    # 0.1428572 is a seventh to seven digits; 200 is not the close before the effect, 1135.1 is.
    assert [tuple(action.values()) for action in actions] == [
        ("FB", date(2014, 6, 9), "split", 7.0),
        ("GOOGL", date(2014, 4, 3), "dividend", pytest.approx(11.351)),
        ("GOOGL", date(2014, 4, 3), "split", 2.0),
    ]


def test_map_files_give_symbols_over_time(source: FilesSource):
    symbols = source.reference(["GOOG"]).symbols.to_pylist()
    assert symbols == [
        {"symbol": "GOOCV", "ticker": "GOOG", "first_date": date(2014, 3, 27),
         "last_date": date(2014, 4, 2)},
        {"symbol": "GOOG", "ticker": "GOOG", "first_date": date(2014, 4, 3), "last_date": None},
    ]  # fmt: skip


def test_a_symbol_of_two_tickers_on_one_day_is_refused(source: FilesSource):
    root = Path(source.folder.root)
    (root / "map_files" / "x.csv").write_text("20140401,googl,Q\n20501231,googl,Q\n")
    with pytest.raises(SourceError, match="GOOGL to X and to GOOGL on 2014-04-03"):
        source.tickers()


def test_a_broken_factor_file_is_named(source: FilesSource):
    root = Path(source.folder.root)
    (root / "factor_files" / "fb.csv").write_text("20120518,1,0,30\n20501231,1,1,0\n")
    with pytest.raises(SourceError, match=r"fb\.csv: .*factors out of bounds"):
        source.reference(["FB"])
