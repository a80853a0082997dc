"""Hand-made files, each imitating one kind of vendor, and what is proposed for them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources import FilesSource
from transfergate.sources.proposals import Proposal
from transfergate.sources.survey import survey

DAYS = np.arange("2020-01-02", "2020-02-20", dtype="datetime64[D]")


def lines(date_format: str, row: str = "{d},{o},{h},{l},{c},{v}", **given: Any) -> list[str]:
    found = []
    for i, day in enumerate(DAYS.tolist()):
        price = 1900 + i
        values = {"o": price, "h": price + 9, "l": price - 9, "c": price + 1, "v": 1000 + i}
        found.append(row.format(d=day.strftime(date_format), **values, **given))
    return found


def proposed(path: Path) -> Proposal:
    found = survey(str(path))
    assert not found.refused
    assert len(found.proposals) == 1
    return found.proposals[0]


def readable(folder: Path, proposal: Proposal) -> int:
    """Rows that the source reads without refusal when told what was proposed."""
    formats = (FileFormatParams.model_validate(proposal.format),)
    source = FilesSource(str(folder), SourceParams(kind="files", formats=formats))
    return source.fetch(source.tickers(), None, None).num_rows


HEADER = "Date,Open,High,Low,Close,Volume"
KINDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "integer dates": (
        ["datadate,tic,prccd,prcod,prchd,prcld,cshtrd",
         *lines("%Y%m%d", "{d},SPY,{c},{o},{h},{l},{v}")],
        {"date_format": "%Y%m%d", "columns": {
            "ticker": "tic", "session_date": "datadate", "open": "prcod", "high": "prchd",
            "low": "prcld", "close": "prccd", "volume": "cshtrd",
        }},
    ),
    "thousands, suffixes, newest first": (
        ["\ufeffDate,Price,Open,High,Low,Vol.",
         *lines("%b %d, %Y", '"{d}","{c:,}.5","{o:,}.5","{h:,}.5","{l:,}.5",{v}.5K')[::-1]],
        {"date_format": "%b %d, %Y", "thousands": ",", "suffixes": {"K": 1e3},
         "order": "newest_first"},
    ),
    "no header, two-digit years": (
        lines("%d%m%y", '"{d}","{o}.5","{h}.5","{l}.5","{c}.5","{v}"'),
        {"header": False, "date_format": "%d%m%y", "columns": {
            "session_date": 1, "open": 2, "high": 3, "low": 4, "close": 5, "volume": 6,
        }},
    ),
    "day first": ([HEADER, *lines("%d/%m/%Y")], {"date_format": "%d/%m/%Y"}),
    "semicolons and decimal commas": (
        [HEADER.replace(",", ";"), *lines("%d.%m.%Y", "{d};{o},25;{h},25;{l},25;{c},25;{v}")],
        {"delimiter": ";", "decimal": ",", "date_format": "%d.%m.%Y"},
    ),
    "stamps with offsets": (
        [HEADER, *lines("%Y-%m-%d 00:00:00-05:00")],
        {"date_format": "iso", "time_zone": "America/New_York"},
    ),
    "an unnamed date and actions": (
        [",open,high,low,close,volume,ex_dividend,split_ratio,adj_close",
         *lines("%Y-%m-%d", "{d},{o},{h},{l},{c},{v},0.0,1.0,{c}")],
        {"columns": {"session_date": "", "split_ratio": "split_ratio", "dividend": "ex_dividend"}},
    ),
    "two date formats": (
        [HEADER, *lines("%m/%d/%Y")[:30], *lines("%m-%d-%Y")[30:]],
        {"date_format": ["%m/%d/%Y", "%m-%d-%Y"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gets_a_proposal_that_reads_it(kind: str, tmp_path: Path):
    text, expected = KINDS[kind]
    (tmp_path / "GOLD.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    proposal = proposed(tmp_path / "GOLD.csv")
    assert {name: proposal.format.get(name) for name in expected} == expected
    assert proposal.rows == (len(DAYS), 0)
    assert readable(tmp_path, proposal) == len(DAYS)


def test_dates_that_fit_two_readings_are_a_doubt_with_its_count(tmp_path: Path):
    rows = [line for line in lines("%d/%m/%Y") if int(line[:2]) <= 12]
    shuffled = [HEADER, *rows[::2], *rows[1::2]]
    (tmp_path / "GOLD.csv").write_text("\n".join(shuffled))
    doubts = " ".join(proposed(tmp_path / "GOLD.csv").doubts)
    assert f"fits both %d/%m/%Y and %m/%d/%Y: 100 % of {len(rows)} values fit both; dec" in doubts


def test_what_cannot_be_read_is_said_openly(tmp_path: Path):
    text = [HEADER, "11:34,1,2,0.5,1.5,100", "NA,1,2,0.5,1.5,100", *lines("%Y/%m/%d")]
    (tmp_path / "vendor_gold_daily.csv").write_text("\n".join(text))
    proposal = proposed(tmp_path / "vendor_gold_daily.csv")
    doubts = " ".join(proposal.doubts)
    assert "2 dates cannot be read, such as '11:34', 'NA'" in doubts
    assert "'vendor_gold_daily' does not look like a ticker" in doubts
    assert "unreadable" not in proposal.format
    assert proposal.rows == (len(DAYS) + 2, 2)


def test_a_comma_that_may_be_either_is_a_doubt(tmp_path: Path):
    text = [HEADER.replace(",", ";"), *lines("%Y-%m-%d", "{d};{o:,};{h:,};{l:,};{c:,};{v}")]
    (tmp_path / "GOLD.csv").write_text("\n".join(text))
    assert any("a comma may separate thousands or decimals" in doubt
               for doubt in proposed(tmp_path / "GOLD.csv").doubts)  # fmt: skip


def test_a_symbol_that_changes_is_not_taken_for_two_tickers_in_silence(tmp_path: Path):
    rows = [f"{'OLD' if i < 9 else 'NEW'},{line}" for i, line in enumerate(lines("%Y-%m-%d"))]
    (tmp_path / "NEW.csv").write_text("\n".join(["Symbol," + HEADER, *rows]))
    proposal = proposed(tmp_path / "NEW.csv")
    assert proposal.format["columns"]["symbol"] == "Symbol"
    assert any("OLD, NEW follow one another" in doubt for doubt in proposal.doubts)
    panel = [*(f"A,{line}" for line in lines("%Y-%m-%d")), *(f"B,{x}" for x in lines("%Y-%m-%d"))]
    (tmp_path / "NEW.csv").write_text("\n".join(["Symbol," + HEADER, *panel]))
    assert proposed(tmp_path / "NEW.csv").format["columns"]["ticker"] == "Symbol"


def test_files_that_read_alike_share_a_proposal_and_broken_ones_are_named(tmp_path: Path):
    for name in ("A.csv", "B.csv"):
        (tmp_path / name).write_text("\n".join([HEADER, *lines("%Y-%m-%d")]))
    whole = gzip.compress("\n".join([HEADER, *lines("%Y-%m-%d")]).encode())
    (tmp_path / "C.csv.gz").write_bytes(whole[: len(whole) // 2])
    found = survey(str(tmp_path))
    assert [p.format["pattern"] for p in found.proposals] == ["*.csv"]
    assert found.proposals[0].rows == (2 * len(DAYS), 0)
    assert "cannot be read as gzip" in found.refused["C.csv.gz"]


def test_leans_layout_is_recognised(tmp_path: Path):
    for folder in ("daily", "map_files", "factor_files"):
        (tmp_path / folder).mkdir()
    (tmp_path / "daily" / "aapl.zip").write_bytes(b"")
    (tmp_path / "map_files" / "aapl.csv").write_text("19980102,aapl,Q\n")
    assert proposed(tmp_path).format == {"pattern": "daily/*.zip", "kind": "lean"}


def test_nothing_to_look_at_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="not a folder"):
        survey(str(tmp_path / "none"))
    with pytest.raises(SourceError, match="holds no file"):
        survey(str(tmp_path))


@pytest.mark.parametrize("name", ["A.csv", "A.parquet"])
def test_a_file_without_a_row_is_still_looked_at(tmp_path: Path, name: str):
    empty = pd.DataFrame(columns=["ticker", *HEADER.lower().split(",")], dtype=object)
    (empty.to_csv if name == "A.csv" else empty.to_parquet)(tmp_path / name, index=False)
    proposal = proposed(tmp_path)
    assert "0 tickers: it has no row" in proposal.evidence
    assert any("no column reads as dates" in doubt for doubt in proposal.doubts)


def test_tickers_that_a_spreadsheet_may_have_made_are_a_doubt(tmp_path: Path):
    names = ["1-Mar", "Mar-01", "1.00E+05", "TRUE", "#N/A", "AAPL", "BRK-B", "0700.HK"]
    rows = [f"{name},{line}" for line in lines("%Y-%m-%d") for name in names]
    (tmp_path / "all.csv").write_text("\n".join([f"ticker,{HEADER}", *rows]))
    (told,) = [doubt for doubt in proposed(tmp_path).doubts if "spreadsheet" in doubt]
    assert "'1-Mar', 'Mar-01', '1.00E+05': a" in told
    (tmp_path / "all.csv").write_text("\n".join([f"ticker,{HEADER}", *rows[5::8], *rows[6::8]]))
    assert not any("spreadsheet" in doubt for doubt in proposed(tmp_path).doubts)


@pytest.mark.parametrize("ends", ["\r", "\r\n"])
def test_lines_may_end_as_on_any_machine(tmp_path: Path, ends: str):
    (tmp_path / "A.csv").write_bytes(ends.join([HEADER, *lines("%Y-%m-%d")]).encode())
    assert proposed(tmp_path).rows == (len(DAYS), 0)


def test_lines_before_the_header_are_proposed_to_be_skipped(tmp_path: Path):
    text = ["# vendor, daily", "# exported 2020-03-01", "", HEADER, *lines("%Y-%m-%d")]
    (tmp_path / "A.csv").write_text("\n".join(text))
    proposal = proposed(tmp_path)
    assert proposal.format["skip_lines"] == 3
    assert readable(tmp_path, proposal) == len(DAYS)


def test_columns_that_hold_no_values_are_a_doubt(tmp_path: Path):
    days = pd.Series(DAYS)
    frame = pd.DataFrame({"ticker": "A", "date": days, "more": [{"a": 1}] * len(days)})
    frame = frame.assign(open=1.0, high=2.0, low=0.5, close=[[1.0]] * len(days))
    frame.to_parquet(tmp_path / "A.parquet")
    doubts = " ".join(proposed(tmp_path).doubts)
    assert "'more' holds struct" in doubts
    assert "'close' holds list" in doubts


def test_what_no_format_reads_is_named_and_stops_no_other(tmp_path: Path):
    (tmp_path / "A.csv").write_text("\n".join([HEADER, *lines("%Y-%m-%d")]))
    (tmp_path / "B.csv").write_text(f"{HEADER}\n{'x' * 200_000}\n")
    (tmp_path / "C.csv").write_bytes(gzip.compress(b"whatever"))
    found = survey(str(tmp_path))
    assert "cannot be read as CSV (field larger" in found.refused["B.csv"]
    assert "expected text, found gzip" in found.refused["C.csv"]
    assert [proposal.name for proposal in found.proposals] == ["A.csv"]
