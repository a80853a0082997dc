from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfergate.errors import SettingsError, SourceError, SourceUnavailable
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
        ("x[1].csv", "x[[]1].csv", True),
        ("x^.csv", "x[^].csv", True),
        ("a\nb/c.csv", "*.csv", True),
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


def test_a_link_that_leads_back_is_walked_once(tmp_path: Path):
    # Two of them used to double every file at each of forty levels.
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.csv").write_bytes(BARS)
    for name in ("again", "sub/up", "sub/self"):
        (tmp_path / name).symlink_to(tmp_path)
    assert Folder(tmp_path).names() == ["sub/a.csv"]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SourceError, match=r"cannot be reached.*Symlink loop") as refused:
        Folder(tmp_path / "loop")
    assert refused.type is SourceError, "asked again, it leads nowhere still"


@pytest.mark.parametrize("kind", ["a link to nothing", "a link to itself", "a pipe", "a folder"])
def test_what_is_no_file_is_named_where_one_is_wanted(tmp_path: Path, kind: str):
    place = tmp_path / "a.csv"
    match kind:
        case "a link to nothing":
            place.symlink_to("gone.csv")
        case "a link to itself":
            place.symlink_to("a.csv")
        case "a pipe":
            os.mkfifo(place)
        case _:
            place.mkdir()
    folder = Folder(tmp_path)
    # Nothing that may have been meant to hold bars is passed over.
    assert folder.stamps() == ({} if kind == "a folder" else {"a.csv": None})
    for ask in (folder.read, folder.exists):
        with pytest.raises(SourceError, match=r"a\.csv: is a .*expected a file: replace it"):
            ask("a.csv")


def test_a_name_that_is_no_text_is_named(tmp_path: Path):
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))).write_bytes(BARS)
    with pytest.raises(SourceError, match=r"'caf\\udce9\.csv' is not UTF-8: rename"):
        Folder(tmp_path).names()


def test_a_pattern_that_is_no_glob_is_named():
    with pytest.raises(SettingsError, match=r"'\[z-a\]\.csv' is no glob \(bad character range"):
        matches("a.csv", "*.tsv", "[z-a].csv")
