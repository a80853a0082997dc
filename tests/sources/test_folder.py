from __future__ import annotations

from pathlib import Path

import pytest

from transfergate.errors import SourceError, SourceUnavailable
from transfergate.settings import SourceParams
from transfergate.sources import open_source
from transfergate.sources.description import read_description
from transfergate.sources.folder import Folder, matches

ROOT = Path(__file__).resolve().parents[2]
BARS = b"ticker,date,open,high,low,close\nA,2018-02-07,1,2,0.5,1.5\n"


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("a/b.csv", "*.csv", True),
        ("a/b.csv", "/*.csv", False),
        ("b.csv", "/*.csv", True),
        ("a/b.csv", "a/*", True),
        ("a/c/b.csv", "a/*", False),
        ("a/c/b.csv", "a/**/*.csv", True),
        ("a/b.csv", "a/**/*.csv", True),
        ("^VIX.csv", "^VIX.csv", True),
        ("x1.csv", "x[0-9].csv", True),
        ("xa.csv", "x[!0-9].csv", True),
        ("x.tsv", "x.{csv,tsv}", True),
        ("xcsv", "x.csv", False),
        ("a+b(c).csv", "a+b(c).csv", True),
    ],
)
def test_globs_are_about_the_name_or_with_a_slash_about_the_path(name, pattern, fits):
    assert matches(name, pattern) is fits


def test_hidden_files_are_left_out_and_urls_are_folders_too(tmp_path: Path):
    for name in ("a.csv", ".hidden.csv", "_SUCCESS", "sub/b.csv", ".git/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(BARS)
    assert (
        Folder(f"file://{tmp_path}").names() == Folder(tmp_path).names() == ["a.csv", "sub/b.csv"]
    )
    with pytest.raises(SourceError, match="cannot be reached") as refused:
        Folder("nonsense://x")
    assert refused.type is SourceError, "asked again, it is still no address"
    with pytest.raises(SourceError, match=r"none\.csv: cannot be read"):
        Folder(tmp_path).read("none.csv")


def test_bars_and_their_description_are_read_from_an_object_store(put_object):
    put_object("bars")
    put_object("bars/vendor/a.csv", BARS)
    put_object("bars/vendor/sub/b.csv", BARS.replace(b"\nA", b"\nB"))
    put_object("bars/vendor/source.toml", b'calendar = "XLON"\n')
    params = SourceParams(kind="files", root="s3://bars/vendor")
    assert read_description(params) == {"calendar": "XLON"}
    source = open_source(params)
    assert source.tickers() == ("A", "B")
    assert source.fetch(["B"], None, None).to_pylist()[0]["origin"] == "sub/b.csv"


def test_a_bucket_or_prefix_that_is_not_there_is_named(put_object):
    put_object("bars")
    with pytest.raises(
        SourceUnavailable, match=r"s3://nothing/here cannot be reached .*AWS_ENDPOINT_URL"
    ):
        Folder("s3://nothing/here").names()
    with pytest.raises(SourceError, match=r"s3://bars/none is not a folder"):
        Folder("s3://bars/none").names()
