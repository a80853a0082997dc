from __future__ import annotations

import gzip
import io
import zipfile
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams
from transfergate.sources.sheets import SheetReader

TEXT = "a,b\n1,2\n3,4\n"


def rows(content: bytes, name: str = "x.csv", **shape: Any) -> list[tuple[int, tuple[Any, ...]]]:
    reader = SheetReader(name, pa.py_buffer(content), FileFormatParams(**shape))
    sheet = reader.read(range(reader.width))
    columns = [sheet.columns[i].to_pylist() for i in range(sheet.width)]
    return list(zip(sheet.lines.tolist(), zip(*columns, strict=True), strict=True))


def zipped(*names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "shape"),
    [
        (TEXT.encode(), "x.csv", {}),
        (TEXT.encode(), "x.txt", {}),
        (gzip.compress(TEXT.encode()), "x.csv.gz", {}),
        (zipped("../../x.csv"), "x.zip", {}),
        (b"\xef\xbb\xbf" + TEXT.encode(), "x.csv", {}),
        (b"\xef\xbb\xbf" * 2 + TEXT.encode(), "x.csv", {}),
        (TEXT.encode("utf-16"), "x.csv", {"encoding": "utf-16-le"}),
        (TEXT.encode("utf-16"), "x.csv", {"encoding": "utf-16"}),
        (TEXT.replace("\n", "\r\n").encode().rstrip(), "x.csv", {}),
        (TEXT.replace(",", "\t").encode(), "x.tsv", {"delimiter": "\t"}),
    ],
)
def test_the_same_rows_whatever_the_container(content, name, shape):
    assert rows(content, name, **shape) == [(2, ("1", "2")), (3, ("3", "4"))]


def test_lines_are_those_of_the_file_despite_preambles_blanks_and_breaks():
    text = b'made by us\n\na,b\n\n1,2\n"x\ny",4\n\n5,6'
    expected = [(5, ("1", "2")), (6, ("x\ny", "4")), (9, ("5", "6"))]
    assert rows(text, skip_lines=2) == expected
    assert rows(b"1,2\n3,4\n", header=False) == [(1, ("1", "2")), (2, ("3", "4"))]


def test_ragged_rows_are_refused_by_line_or_set_apart():
    text = b"a,b\n1,2\n3\n5,6,7\n"
    with pytest.raises(
        SourceError, match=r"x\.csv: line 3: '3' has 1 cells, expected 2 .*\(2 such"
    ):
        rows(text)
    reader = SheetReader("x.csv", pa.py_buffer(text), FileFormatParams(unreadable="quarantine"))
    sheet = reader.read([0, 1])
    assert sheet.ragged == {1: "3", 2: "5,6,7"}
    assert sheet.columns[0].to_pylist() == ["1", None, None]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            gzip.compress(TEXT.encode() * 999)[:-20],
            "x.csv.gz",
            "cannot be read as gzip .*cut short",
        ),
        (zipped("a.csv", "b.csv"), "x.zip", r"holds 2 files \(a\.csv, b\.csv"),
        (zipped("a.csv")[:-30], "x.zip", "cannot be read as zip"),
        ("a,b\n1,é\n".encode("cp1252"), "x.csv", r"line 2: bytes .* are not utf-8.*'cp1252'"),
        (TEXT.encode("utf-16"), "x.csv", "are not utf-8.*encoding = 'utf-16'"),
        (b"a,b\n1,\x00\n", "x.csv", "line 2 holds a NUL byte; no encoding.*tr -d"),
        (TEXT.encode("utf-16-le"), "x.csv", "declare encoding = 'utf-16-le'"),
        (TEXT.encode("utf-16-be"), "x.csv", "declare encoding = 'utf-16-be'"),
        (TEXT.encode("utf-32"), "x.csv", "are not utf-8.*encoding = 'utf-32'"),
        (b"PAR1" + bytes(9), "x.csv", "expected text, found Parquet: end its name in .parquet"),
        (zipped("a.csv"), "x.csv", "found a zip or a spreadsheet"),
        (gzip.compress(TEXT.encode()), "x.csv", "found gzip: end its name in .gz"),
        (b"", "x.csv", "has no row"),
        (b"PAR1", "x.parquet", "cannot be read as Parquet"),
        (TEXT.encode(), "x.xlsx", r"ends in none of \.csv"),
    ],
)
def test_what_is_broken_is_named(content, name, message):
    with pytest.raises(SourceError, match=rf"^{name}: .*{message}"):
        rows(content, name)


def test_a_mark_read_in_the_wrong_encoding_is_noticed():
    with pytest.raises(SourceError, match="sign of another encoding"):
        rows(b"\xef\xbb\xbf" + TEXT.encode(), encoding="cp1252")


@pytest.mark.parametrize("unreadable", ["refuse", "quarantine"])
@pytest.mark.parametrize("text", ['a,b\n1,2\n"3,4\n5,6\n', 'a,b\n1,2\n3,"4\n5,6\n'])
def test_a_quote_that_is_never_closed_swallows_no_rows(text: str, unreadable: str):
    with pytest.raises(SourceError, match='line 3: a cell begins with " and goes on to line 4'):
        rows(text.encode(), unreadable=unreadable)


@pytest.mark.parametrize("name", ["rot13", "base64", "undefined"])
def test_an_encoding_of_no_text_is_refused(name: str):
    with pytest.raises(ValidationError, match=f"'{name}' is no encoding"):
        FileFormatParams(encoding=name)
