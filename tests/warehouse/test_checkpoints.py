"""A checkpoint that is killed at any of its writes loses nothing and tears nothing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from transfergate.errors import WarehouseError
from transfergate.settings import PROJECT_ROOT
from transfergate.warehouse import checkpoints, open_warehouse

SQL = PROJECT_ROOT / "sql"
HEADERS = 12_288


@dataclass
class Images:
    """Bytes of the file and of its log, before and after a checkpoint, and of what was kept.

    DuckDB marks in the log that it begins, and removes the log at the end.
    """

    old: bytes
    new: bytes
    log: bytes
    marked: bytes
    kept: bytes

    @property
    def rewritten(self) -> list[tuple[int, int]]:
        """Offset and length of blocks of the old file that the checkpoint wrote anew."""
        table = json.loads(self.kept.partition(b"\n")[0])[1:]
        return [(at, n) for at, n in table if self.old[at : at + n] != self.new[at : at + n]]


class Watched:
    """A connection that keeps what lies beside the file right before its checkpoint."""

    def __init__(self, conn: duckdb.DuckDBPyConnection, file: Path) -> None:
        self.conn, self.file = conn, file

    def execute(self, statement: str) -> duckdb.DuckDBPyConnection:
        if "checkpoint" in statement:
            self.kept = self.file.with_name(self.file.name + ".before").read_bytes()
            log = self.file.with_name(self.file.name + ".wal")
            self.log = log.read_bytes()
            os.link(log, self.file.parent / "marked")
        return self.conn.execute(statement)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "warehouse.duckdb"


@pytest.fixture
def images(file: Path) -> Images:
    """Of a checkpoint of 1,000 rows beside 1,000 older ones."""
    for _ in range(3):
        with open_warehouse(file, SQL, 1.0) as conn:
            conn.execute("create or replace table numbers as select i from range(1000) x(i)")
    conn = duckdb.connect(str(file))
    checkpoints.leave_to_us(conn)
    conn.execute("insert into numbers select i from range(1000, 2000) x(i)")
    old, opened = file.read_bytes(), os.open(file, os.O_RDONLY)
    watched = Watched(conn, file)
    checkpoints.checkpoint(watched, file, opened)
    conn.close()
    os.close(opened)
    marked = (file.parent / "marked").read_bytes()
    assert len(marked) > len(watched.log)
    return Images(old, file.read_bytes(), watched.log, marked, watched.kept)


def lay(file: Path, content: bytes, log: bytes | None, kept: bytes | None) -> None:
    shutil.rmtree(file.parent)
    file.parent.mkdir()
    file.write_bytes(content)
    for suffix, more in ((".wal", log), (".before", kept)):
        if more is not None:
            file.with_name(file.name + suffix).write_bytes(more)


def numbers(file: Path) -> tuple[int, int]:
    with open_warehouse(file, SQL, 1.0) as conn:
        found = conn.execute("select count(*), sum(i) from numbers").fetchall()[0]
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    return found


@pytest.mark.parametrize("pages", [0, 1, 32, 63, 64])
def test_a_block_that_was_half_written_is_put_back(file, images, pages):
    assert images.rewritten, "DuckDB writes blocks of its catalogue where they lie"
    for offset, length in images.rewritten:
        torn = bytearray(images.new)
        torn[:HEADERS] = images.old[:HEADERS]
        written = offset + pages * length // 64
        torn[written : offset + length] = images.old[written : offset + length]
        if pages == 1:  # its beginning has the sum of all
            lay(file, bytes(torn), images.log, None)
            with pytest.raises(WarehouseError, match="Corrupt"):
                numbers(file)
        for log in (images.log, images.marked):
            lay(file, bytes(torn), log, images.kept)
            assert numbers(file) == (2000, 1999 * 1000)
            assert numbers(file) == (2000, 1999 * 1000)


@pytest.mark.parametrize("log_is_left", [True, False])
def test_what_was_kept_is_dropped_after_the_headers_are_written(file, images, log_is_left):
    lay(file, images.new, images.marked if log_is_left else None, images.kept)
    assert numbers(file) == (2000, 1999 * 1000)


def test_what_was_kept_of_a_file_that_was_put_aside_is_dropped(file, images):
    lay(file, images.old, None, images.kept)
    file.rename(file.parent.parent / "aside")
    with open_warehouse(file, SQL, 1.0) as conn:
        conn.execute("create table numbers as select i from range(10) x(i)")
    assert numbers(file) == (10, 45)


def test_what_another_process_keeps_is_left_alone(file, images):
    lay(file, images.old, images.log, images.kept)
    child = os.fork()
    if not child:
        with file.open("r+b") as held:
            fcntl.lockf(held, fcntl.LOCK_EX)
            (file.parent / "held").touch()
            while (file.parent / "held").exists():
                pass
        os._exit(0)
    while not (file.parent / "held").exists():
        pass
    checkpoints.mend(file)
    assert file.with_name(file.name + ".before").exists()
    (file.parent / "held").unlink()
    os.waitpid(child, 0)
    assert numbers(file) == (2000, 1999 * 1000)


def leave_open(file: Path, error: type[Exception]) -> None:
    with open_warehouse(file, SQL, 1.0) as conn:
        conn.execute("create table numbers as select i from range(10) x(i)")
        conn.execute("begin")
        conn.execute("insert into numbers values (99)")
        raise error


def test_an_error_within_leaves_the_log_for_the_next_opening(file):
    with pytest.raises(ZeroDivisionError):
        leave_open(file, ZeroDivisionError)
    assert file.with_name(file.name + ".wal").exists()
    assert numbers(file) == (10, 45)


def test_what_is_not_committed_at_the_end_is_lost(file):
    with open_warehouse(file, SQL, 1.0) as conn:
        conn.execute("create table numbers as select i from range(10) x(i)")
        conn.execute("begin")
        conn.execute("insert into numbers values (99)")
    assert numbers(file) == (10, 45)
