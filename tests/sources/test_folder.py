from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from transfergate.errors import SourceError
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
    with pytest.raises(SourceError, match="cannot be reached"):
        Folder("nonsense://x")
    with pytest.raises(SourceError, match=r"none\.csv: cannot be read"):
        Folder(tmp_path).read("none.csv")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A local S3 server; it has an environment of its own, because its lock contradicts ours."""
    server = os.environ.get("MOTO_SERVER") or shutil.which("moto_server")
    server = server or str(ROOT / ".venv-s3" / "bin" / "moto_server")
    if not Path(server).exists():
        pytest.skip("no local S3 server: make setup-store installs one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([server, "-p", str(port)], stderr=subprocess.DEVNULL)
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            _put(endpoint + "/bars", b"", attempts=120)
            yield endpoint
        finally:
            process.terminate()
            process.wait(timeout=30)


def _put(url: str, content: bytes, attempts: int = 1) -> None:
    request = urllib.request.Request(url, data=content, method="PUT")
    request.add_header("Content-Type", "application/octet-stream")
    for attempt in range(attempts):
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except OSError:
            if attempt == attempts - 1:
                raise
            time.sleep(0.5)


def test_bars_and_their_description_are_read_from_an_object_store(bucket: str):
    _put(f"{bucket}/bars/vendor/a.csv", BARS)
    _put(f"{bucket}/bars/vendor/sub/b.csv", BARS.replace(b"\nA", b"\nB"))
    _put(f"{bucket}/bars/vendor/source.toml", b'calendar = "XLON"\n')
    params = SourceParams(kind="files", root="s3://bars/vendor")
    assert read_description(params) == {"calendar": "XLON"}
    source = open_source(params)
    assert source.tickers() == ("A", "B")
    assert source.fetch(["B"], None, None).to_pylist()[0]["origin"] == "sub/b.csv"


def test_a_bucket_or_prefix_that_is_not_there_is_named(bucket: str):
    with pytest.raises(
        SourceError, match=r"s3://nothing/here cannot be reached .*AWS_ENDPOINT_URL"
    ):
        Folder("s3://nothing/here").names()
    with pytest.raises(SourceError, match=r"s3://bars/none is not a folder"):
        Folder("s3://bars/none").names()
