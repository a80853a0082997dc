from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from transfergate.errors import SettingsError, SourceError
from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources import FilesSource, open_source
from transfergate.sources.description import described, read_description

ROWS = pd.DataFrame(
    {
        "symbol": ["B", "A", "A", None],
        "date": ["2018-02-06", "2018-02-06", "2018-02-07", "2018-02-07"],
        "open": [1.0, 2.0, None, 3.0],
        "high": [1.5, 2.5, 2.6, 3.5],
        "low": [0.5, 1.5, 1.6, 2.5],
        "close": [1.1, 2.1, 2.2, 3.1],
        "volume": [10, 20, 30, 40],
    }
)


def files(root: Path, **shape: object) -> FilesSource:
    params = SourceParams(kind="files", formats=(FileFormatParams(**shape),))
    return FilesSource(str(root), params)


def test_csv_and_parquet_of_one_folder_are_read_with_aliases(tmp_path: Path):
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    typed = ROWS.assign(date=pd.to_datetime(ROWS["date"]), symbol=["C", "D", "D", "C"])
    typed.to_parquet(tmp_path / "b.parquet")
    source = files(tmp_path)
    assert source.tickers() == ("A", "B", "C", "D")
    bars = source.fetch(["A", "C"], None, None).to_pylist()
    # The row without a ticker travels with A, the first one.
    assert [(row["ticker"], str(row["session_date"])) for row in bars] == [
        ("A", "2018-02-06"), ("A", "2018-02-07"), (None, "2018-02-07"),
        ("C", "2018-02-06"), ("C", "2018-02-07"),
    ]  # fmt: skip
    assert bars[1]["open"] is None
    assert bars[0]["adj_close"] is None


def test_every_row_arrives_exactly_once_however_tickers_are_batched(tmp_path: Path):
    ROWS.to_csv(tmp_path / "a.csv.gz", index=False)
    source = files(tmp_path)
    assert sum(source.fetch([t], None, None).num_rows for t in source.tickers()) == len(ROWS)


def test_declared_columns_dates_and_ticker_from_the_file_name(tmp_path: Path):
    frame = ROWS.drop(columns="symbol").rename(columns={"date": "Tag", "close": "Schluss"})
    frame.assign(Tag=["06.02.2018", "07.02.2018", "08.02.2018", "kein Datum"]).to_csv(
        tmp_path / "^VIX.csv", index=False
    )
    columns = {"session_date": "Tag", "close": "Schluss"}
    source = files(
        tmp_path, columns=columns, date_format="%d.%m.%Y", ticker_from="filename",
        unreadable="quarantine",
    )  # fmt: skip
    assert source.tickers() == ("^VIX",)
    bars = source.fetch(["^VIX"], date(2018, 2, 7), None)
    # What cannot be read as a date stays in, to be quarantined.
    dates = [date(2018, 2, 7), date(2018, 2, 8), None]
    assert bars["session_date"].to_pylist() == dates
    assert bars["close"].to_pylist() == [2.1, 2.2, 3.1]
    assert bars["unreadable"].to_pylist() == [None, None, '{"session_date": "kein Datum"}']
    assert bars["line"].to_pylist() == [3, 4, 5]
    assert set(bars["origin"].to_pylist()) == {"^VIX.csv"}


def test_tickers_that_look_like_something_else_stay_text(tmp_path: Path):
    ROWS.assign(symbol=["NA", "TRUE", "7203", "TRUE"]).to_csv(tmp_path / "a.csv", index=False)
    assert files(tmp_path).tickers() == ("7203", "NA", "TRUE")


def test_time_zones_keep_the_day_of_the_exchange(tmp_path: Path):
    stamps = pd.to_datetime(["2018-02-06 00:00"] * 4).tz_localize("Asia/Tokyo")
    ROWS.assign(date=stamps).to_parquet(tmp_path / "a.parquet")
    bars = files(tmp_path).fetch(["B"], None, None)
    assert bars["session_date"].to_pylist() == [date(2018, 2, 6)]


@pytest.mark.parametrize(
    ("change", "shape", "message"),
    [
        ({"open": "Open"}, {}, r"a\.csv: missing open .*found: symbol, date, Open.*formats"),
        ({"symbol": "Symbol"}, {}, r"missing ticker \(expected as 'ticker' or 'symbol'\)"),
        ({"volume": "ticker"}, {}, r"ticker \('ticker' or 'symbol' stands 2 times in the header"),
        ({}, {"columns": {"close": "last"}}, r"missing close \(expected as 'last'\)"),
        ({"volume": "close "}, {}, r"close \('close' stands 2 times in the header; give its pos"),
        ({"volume": "x", "low": "x"}, {"columns": {"low": "open"}}, r"without repetition: 'x'"),
        ({}, {"columns": {"close": 8}}, r"missing close \(expected as 8\)"),
        ({}, {"pattern": "*.txt"}, r"a\.csv in .* fit no pattern \('\*\.txt'\): declare"),
    ],
)
def test_what_cannot_be_mapped_names_file_columns_and_setting(tmp_path, change, shape, message):
    ROWS.rename(columns=change).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(SourceError, match=message):
        files(tmp_path, **shape).tickers()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"open": ["2", "1,936.60", 2, 4]},
            r"a\.csv: 1 of 3 rows cannot be read\. column 'open' \(open\): line 3 has '1,936.60'; "
            r"expected a number with decimal '\.', no thousands",
        ),
        (
            {"date": ["06/02/2018"] * 4},
            r"3 of 3 rows .* column 'date' \(session_date\): line 3 has '06/02/2018'; line 4 .*"
            r"expected a date as %Y-%m-%d",
        ),
    ],
)
def test_what_cannot_be_read_names_file_column_and_value(tmp_path, values, message):
    ROWS.assign(**values).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(SourceError, match=message):
        files(tmp_path).fetch(["A"], None, None)


def test_a_broken_file_is_named(tmp_path: Path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match=r"a\.parquet: cannot be read as Parquet"):
        files(tmp_path).tickers()


def test_a_folder_must_be_named_and_be_there(tmp_path: Path):
    with pytest.raises(SettingsError, match="DATA=<folder>"):
        open_source(SourceParams(kind="files"))
    with pytest.raises(SourceError, match="not a folder"):
        FilesSource(tmp_path / "none", FileFormatParams()).tickers()


def test_a_file_that_fits_no_format_or_two_is_named(tmp_path: Path):
    for name in ("a.csv", "b.xlsx", "README.md", ".hidden"):
        ROWS.to_csv(tmp_path / name, index=False)
    with pytest.raises(SourceError, match=r"b\.xlsx: its name ends in none of \.csv"):
        files(tmp_path).tickers()
    shapes = (FileFormatParams(pattern="*.csv"), FileFormatParams(pattern="a*"))
    both = SourceParams(kind="files", formats=shapes, ignore=("*.xlsx", "*.md"))
    with pytest.raises(SourceError, match=r"a\.csv in .* fit more than one pattern \(a\.csv: '\*"):
        FilesSource(str(tmp_path), both).tickers()
    one = SourceParams(kind="files", ignore=("*.xlsx", "*.md"))
    assert FilesSource(str(tmp_path), one).tickers() == ("A", "B")


def test_several_formats_in_one_folder_and_its_folders(tmp_path: Path):
    (tmp_path / "de").mkdir()
    ROWS.dropna().to_csv(tmp_path / "a.csv", index=False)
    german = ROWS.dropna().assign(symbol="SAP", date="07.02.2018")
    german.to_csv(tmp_path / "de" / "sap.csv", index=False, sep=";", decimal=",")
    shapes = (
        FileFormatParams(pattern="/*.csv"),
        FileFormatParams(
            pattern="de/*.csv", delimiter=";", decimal=",", date_format="%d.%m.%Y", currency="EUR"
        ),
    )
    params = SourceParams(kind="files", formats=shapes, currency="USD")
    source = FilesSource(str(tmp_path), params)
    assert source.tickers() == ("A", "B", "SAP")
    bars = source.fetch(source.tickers(), None, None).to_pandas()
    assert bars.groupby("ticker")["currency"].first().to_dict() == {
        "A": "USD", "B": "USD", "SAP": "EUR",
    }  # fmt: skip
    assert bars.loc[bars["ticker"] == "SAP", "close"].tolist() == [1.1, 2.1]


def test_a_subset_of_tickers_gives_exactly_its_part(tmp_path: Path):
    ROWS.dropna(subset="symbol").to_csv(tmp_path / "a.csv", index=False)
    whole = files(tmp_path).fetch(["A", "B"], None, None).to_pandas()
    part = files(tmp_path).fetch(["A"], None, None).to_pandas()
    assert part.equals(whole[whole["ticker"] == "A"].reset_index(drop=True))


def test_hostile_names_are_only_text(tmp_path: Path):
    ROWS.assign(symbol="../../x").to_csv(tmp_path / "a.csv", index=False)
    source = files(tmp_path)
    assert source.tickers() == ("../../x",)
    assert source.fetch(["../../x"], None, None).num_rows == 4


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("close", [True, False, True, True], "column for close is bool, expected numbers"),
        ("symbol", [True, False, True, True], "column for ticker is bool, expected text"),
        ("symbol", [b"A\xff"] * 4, "column for ticker is binary, expected text .*UTF8"),
        ("symbol", [["A"]] * 4, "column for ticker is list.*, expected text"),
    ],
)
def test_values_of_another_kind_are_not_turned_into_bars(tmp_path, column, values, message):
    ROWS.assign(**{column: values}).to_parquet(tmp_path / "a.parquet")
    source = files(tmp_path)
    with pytest.raises(SourceError, match=rf"a\.parquet: {message}"):
        source.fetch(source.tickers(), None, None)


def test_a_path_gives_a_name_without_blanks_or_is_refused(tmp_path: Path):
    shape = {"ticker_from": "path", "path_pattern": r"x_(?P<ticker>.*)\.csv"}
    ROWS.drop(columns="symbol").to_csv(tmp_path / "x_ IBM .csv", index=False)
    assert files(tmp_path, **shape).tickers() == ("IBM",)
    (tmp_path / "x_ IBM .csv").rename(tmp_path / "x_ .csv")
    with pytest.raises(SourceError, match=r"x_ \.csv: its path gives no ticker, expected a name"):
        files(tmp_path, **shape).tickers()


def test_a_folders_description_is_no_file_of_bars_whatever_is_ignored(tmp_path: Path):
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "notes.csv").write_text("no bars")
    (tmp_path / "source.toml").write_text('ignore = ["notes.csv"]\n')
    params = SourceParams(kind="files", root=str(tmp_path))
    params = described(params, read_description(params))
    assert FilesSource(str(tmp_path), params).tickers() == ("A", "B")


@pytest.mark.parametrize("written", ["./actions.csv", "sub/../actions.csv", "{folder}/actions.csv"])
def test_a_table_is_no_file_of_bars_however_its_path_is_written(tmp_path: Path, written: str):
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "sub").mkdir()
    (tmp_path / "actions.csv").write_text("ticker,effect_date,kind,value\nA,2018-02-07,split,2\n")
    (tmp_path / "rules.csv").write_text("no bars either")
    named = {"actions": written.format(folder=tmp_path), "expectations": "./rules.csv"}
    source = FilesSource(str(tmp_path), SourceParams(kind="files", **named))
    assert source.tickers() == ("A", "B")
    assert source.reference(["A"]).actions.num_rows == 1


def test_an_order_that_is_declared_is_asked_for_within_each_ticker(tmp_path: Path):
    lines = ["symbol,date,open,high,low,close,volume"]
    for symbol, day in (("B", 7), ("A", 8), ("B", 6), ("A", 6), ("A", 7)):
        lines.append(f"{symbol},2018-02-0{day},2,3,1,2,10")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(SourceError, match="line 6: session 2018-02-07 of A is out of order"):
        files(tmp_path, order="newest_first").fetch(["A", "B"], None, None)
    (tmp_path / "a.csv").write_text("\n".join(lines[:-1]))
    read = files(tmp_path, order="newest_first").fetch(["A", "B"], None, None)
    assert read.num_rows == 4
    with pytest.raises(SourceError, match="line 4: session 2018-02-06 of B is out of order"):
        files(tmp_path, order="oldest_first").fetch(["A", "B"], None, None)


def test_units_of_prices_and_volume_are_those_declared(tmp_path: Path):
    text = "symbol,date,open,high,low,close,volume,adj_close\nA,2018-02-06,120,150,110,140,3,70\n"
    (tmp_path / "pence.csv").write_text(text)
    source = files(tmp_path, price_unit=0.01, volume_unit=1000.0)
    (bar,) = source.fetch(["A"], None, None).to_pylist()
    names = ("open", "high", "low", "close", "volume", "adj_close")
    assert [bar[name] for name in names] == pytest.approx([1.2, 1.5, 1.1, 1.4, 3000.0, 0.7])
