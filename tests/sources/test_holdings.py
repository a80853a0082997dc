from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from pyarrow import fs

from transfergate.errors import SourceError
from transfergate.settings import FileFormatParams, SourceParams
from transfergate.sources import FilesSource, folder

HEADER = "ticker,session_date,open,high,low,close,volume\n"


def write(place: Path, *tickers: str) -> None:
    rows = [f"{ticker},2020-01-0{i + 2},1,1,1,1,1\n" for i, ticker in enumerate(tickers)]
    place.write_text(HEADER + "".join(rows))


def source(bars: Path, kept: Path, **shape: object) -> FilesSource:
    formats = (FileFormatParams(**{"pattern": "*.csv", **shape}),)
    return FilesSource(str(bars), SourceParams(kind="files", formats=formats), kept)


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    place = tmp_path / "bars"
    place.mkdir()
    return place


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SETTLED_SECONDS", {"here": -1.0, "store": -1.0})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    read = folder.Folder.read
    monkeypatch.setattr(
        folder.Folder, "read", lambda self, name: (names.append(name), read(self, name))[1]
    )
    return names


@pytest.mark.usefixtures("settled")
def test_fetching_opens_each_file_once_for_its_tickers_and_once_for_its_rows(
    bars: Path, tmp_path: Path, opened: list[str]
):
    for i in range(20):
        write(bars / f"{i:02d}.csv", f"T{i:02d}")
    tickers = source(bars, tmp_path / "kept").tickers()
    for ticker in tickers:
        assert source(bars, tmp_path / "kept").fetch([ticker], None, None).num_rows == 1
    assert len(tickers) == 20
    assert len(opened) == 2 * 20


@pytest.mark.usefixtures("settled")
def test_a_file_that_changes_after_the_plan_is_read_as_it_is_now(bars: Path, tmp_path: Path):
    write(bars / "a.csv", "A", "B")
    write(bars / "c.csv", "C", "D")
    assert source(bars, tmp_path).tickers() == ("A", "B", "C", "D")
    before = (bars / "c.csv").stat()
    write(bars / "c.csv", "C", "A")  # of the same size
    os.utime(bars / "c.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (bars / "c.csv").stat().st_mtime_ns == before.st_mtime_ns
    fetched = source(bars, tmp_path).fetch(["A"], None, None)
    assert fetched["origin"].to_pylist() == ["a.csv", "c.csv"]
    with pytest.raises(SourceError, match="has no bars for D"):
        source(bars, tmp_path).fetch(["D"], None, None)
    (bars / "a.csv").unlink()
    write(bars / "e.csv", "B")
    assert source(bars, tmp_path).fetch(["B"], None, None)["origin"].to_pylist() == ["e.csv"]


def test_a_file_that_was_just_written_is_not_noted(
    bars: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
):
    # Within one step of the file system's clock a second change would leave no trace.
    monkeypatch.setattr(folder, "SETTLED_SECONDS", {"here": 3600.0, "store": 3600.0})
    write(bars / "a.csv", "A")
    assert source(bars, tmp_path).tickers() == source(bars, tmp_path).tickers() == ("A",)
    assert opened == ["a.csv", "a.csv"]


@pytest.mark.usefixtures("settled")
def test_another_reading_of_the_same_file_asks_the_file(bars: Path, tmp_path: Path):
    write(bars / "a.csv", "a")
    assert source(bars, tmp_path).tickers() == ("a",)
    assert source(bars, tmp_path, ticker_case="upper").tickers() == ("A",)


@pytest.mark.usefixtures("settled")
def test_rows_without_a_ticker_are_still_known_from_the_notes(bars: Path, tmp_path: Path):
    write(bars / "a.csv", "A")
    write(bars / "b.csv", "")
    for _ in range(2):
        rows = source(bars, tmp_path).fetch(["A"], None, None)
        assert rows["ticker"].to_pylist() == ["A", None]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"edition": 0, "files": {}}',
        '{"edition": 1',
        '{"edition": 1, "files": {"a.csv": 3}}',
        '{"edition": 1, "files": {"a.csv": {}}}',
    ],
)
def test_notes_that_cannot_be_used_are_made_anew(bars: Path, tmp_path: Path, text: str):
    write(bars / "a.csv", "A")
    source(bars, tmp_path / "kept").tickers()
    (notes,) = (tmp_path / "kept").iterdir()
    whole = json.loads(notes.read_text())
    notes.write_text(text)
    assert source(bars, tmp_path / "kept").tickers() == ("A",)
    assert json.loads(notes.read_text()) == whole


@pytest.mark.usefixtures("settled")
def test_a_place_that_cannot_be_written_costs_only_time(bars: Path, tmp_path: Path):
    write(bars / "a.csv", "A")
    (tmp_path / "kept").write_text("a file, no folder")
    for _ in range(2):
        assert source(bars, tmp_path / "kept").tickers() == ("A",)


@pytest.mark.usefixtures("settled")
def test_notes_of_files_that_are_gone_go(bars: Path, tmp_path: Path):
    write(bars / "a.csv", "A")
    write(bars / "b.csv", "B")
    source(bars, tmp_path / "kept").tickers()
    (bars / "b.csv").unlink()
    source(bars, tmp_path / "kept").tickers()
    (notes,) = (tmp_path / "kept").iterdir()
    assert list(json.loads(notes.read_text())["files"]) == ["a.csv"]


@pytest.mark.usefixtures("settled")
def test_notes_are_kept_of_an_object_store_too(put_object, tmp_path: Path, opened: list[str]):
    put_object("notes")
    for ticker in "AB":
        put_object(f"notes/bars/{ticker}.csv", f"{HEADER}{ticker},2020-01-02,1,1,1,1,1\n".encode())
    formats = (FileFormatParams(),)
    params = SourceParams(kind="files", root="s3://notes/bars", formats=formats)
    for ticker in "AB":
        assert FilesSource("s3://notes/bars", params, tmp_path).fetch([ticker], None, None).num_rows
    assert opened == ["A.csv", "B.csv", "A.csv", "B.csv"]
    store, _ = fs.FileSystem.from_uri("s3://notes")
    with store.open_output_stream("notes/bars/B.csv") as out:
        out.write(f"{HEADER}CCC,2020-01-02,1,1,1,1,1\n".encode())
    assert FilesSource("s3://notes/bars", params, tmp_path).tickers() == ("A", "CCC")


@pytest.mark.usefixtures("settled")
def test_map_files_are_opened_once_until_they_change(bars: Path, tmp_path: Path, opened: list[str]):
    for folder_of in ("daily", "map_files"):
        (bars / folder_of).mkdir()
    with zipfile.ZipFile(bars / "daily" / "aa.zip", "w") as archive:
        archive.writestr("aa.csv", "20200102 00:00,1,1,1,1,1\n")
    maps = bars / "map_files" / "one.csv"
    maps.write_text("19980102,aa,Q\n20501231,aa,Q\n")
    shape = {"pattern": "daily/*.zip", "kind": "lean"}
    for _ in range(2):
        assert source(bars, tmp_path / "kept", **shape).tickers() == ("ONE",)
    assert opened == ["map_files/one.csv"]
    maps.rename(maps.with_name("two.csv"))
    assert source(bars, tmp_path / "kept", **shape).tickers() == ("TWO",)
    assert opened[1:] == ["map_files/two.csv"]
