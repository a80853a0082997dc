from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from transfergate.errors import BarsRejected
from transfergate.settings import PROJECT_ROOT
from transfergate.storage.bars import BAR_SCHEMA
from transfergate.warehouse import load_batch, open_warehouse

SQL = PROJECT_ROOT / "sql"
MONDAY = datetime(2020, 1, 6, 22, tzinfo=UTC)
ROW = {
    "ticker": "A", "session_date": date(2020, 1, 6), "open": 1.0, "high": 2.0, "low": 0.5,
    "close": 1.5, "volume": 10.0, "adj_close": None, "currency": None,
}  # fmt: skip
REFUSED = pa.schema([("row_id", pa.int64()), *BAR_SCHEMA, ("reasons", pa.list_(pa.string()))])


@pytest.fixture
def warehouse(tmp_path: Path):
    with open_warehouse(tmp_path / "warehouse.duckdb", SQL, 1.0) as conn:
        yield conn


def bars(*changes):
    return pa.Table.from_pylist([{**ROW, **change} for change in changes], schema=BAR_SCHEMA)


def load(conn, batch_id, accepted, *, refused=(), received=None, known_at=MONDAY, source="s"):
    quarantine = pa.Table.from_pylist(list(refused), schema=REFUSED)
    total = accepted.num_rows + quarantine.num_rows if received is None else received
    return load_batch(
        conn, source=source, batch_id=batch_id, accepted=accepted, quarantine=quarantine,
        received=total, known_at=known_at,
    )  # fmt: skip


def rows(conn, query):
    return conn.execute(query).fetchall()


def test_a_load_counts_what_it_did(warehouse):
    refused = [{**ROW, "row_id": 2, "high": None, "reasons": ["high_present"]}]
    counts = load(warehouse, "b1", bars({}, {"ticker": "B"}), refused=refused)
    assert (counts.received, counts.loaded, counts.new_revisions) == (3, 2, 2)
    assert (counts.unchanged, counts.quarantined, counts.tickers) == (0, 1, 2)
    assert counts.already_loaded is False
    assert rows(warehouse, "select row_id, close, reasons from quarantine") == [
        (2, 1.5, ["high_present"])
    ]


def test_only_changed_rows_become_revisions(warehouse):
    load(warehouse, "b1", bars({}, {"ticker": "B"}))
    counts = load(warehouse, "b2", bars({}, {"ticker": "B", "adj_close": 0.7}, {"ticker": "C"}))
    assert (counts.loaded, counts.new_revisions, counts.unchanged) == (3, 2, 1)
    assert rows(warehouse, "select count(*) from bar_revisions") == [(4,)]


def test_a_value_that_returns_is_a_revision_again(warehouse):
    for number, close in enumerate([1.5, 1.6, 1.5, 1.5]):
        load(warehouse, f"b{number}", bars({"close": close}))
    assert rows(warehouse, "select close from bar_revisions order by known_at") == [
        (1.5,), (1.6,), (1.5,)
    ]  # fmt: skip


def test_the_same_batch_again_is_a_no_op_with_the_same_counts(warehouse):
    first = load(warehouse, "b1", bars({}))
    queries = ("select batch_id, epoch_us(known_at) from batches", "from bars_as_of('s', now())")
    before = [str(warehouse.sql(query).to_arrow_table()) for query in queries]
    again = load(warehouse, "b1", bars({}, {"ticker": "B"}), known_at=MONDAY + timedelta(1))
    assert again.already_loaded is True
    assert {**again.to_json(), "already_loaded": False} == first.to_json()
    assert [str(warehouse.sql(query).to_arrow_table()) for query in queries] == before


def test_bars_as_of_a_moment_ignore_what_came_later(warehouse):
    load(warehouse, "b1", bars({}))
    load(warehouse, "b2", bars({"close": 1.6}), known_at=MONDAY + timedelta(days=1))
    query = "select close, batch_id from bars_as_of('s', timestamptz '2020-01-0{} 12:00:00+00')"
    assert [rows(warehouse, query.format(day)) for day in (6, 7, 8)] == [
        [], [(1.5, "b1")], [(1.6, "b2")]
    ]  # fmt: skip
    assert rows(warehouse, "from bars_as_of('another', now())") == []


def test_loads_never_share_a_moment_even_if_the_clock_stands_still(warehouse):
    first = load(warehouse, "b1", bars({}))
    second = load(warehouse, "b2", bars({"close": 1.6}), known_at=MONDAY - timedelta(hours=1))
    assert second.known_at == first.known_at + timedelta(microseconds=1)
    assert rows(warehouse, "select close from bars_as_of('s', now())") == [(1.6,)]


def test_sources_do_not_mix(warehouse):
    load(warehouse, "b1", bars({}), source="s")
    assert load(warehouse, "b2", bars({}), source="t").new_revisions == 1


@pytest.mark.parametrize("received", [1, 3])
def test_rows_lost_or_invented_on_the_way_load_nothing(warehouse, received):
    with pytest.raises(BarsRejected, match=f"expected {received} received together; nothing"):
        load(warehouse, "b1", bars({}, {"ticker": "B"}), received=received)
    for table in ("bar_revisions", "batches", "quarantine"):
        assert rows(warehouse, f"select count(*) from {table}") == [(0,)]


def test_the_same_bar_twice_in_one_batch_loads_nothing(warehouse):
    with pytest.raises(BarsRejected, match="nothing was loaded"):
        load(warehouse, "b1", bars({}, {"close": 1.4}))
    assert rows(warehouse, "select count(*) from bar_revisions") == [(0,)]


def test_a_load_that_fails_half_way_leaves_nothing(warehouse, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("transfergate.warehouse.loads._record", fail)
        with pytest.raises(KeyboardInterrupt):
            load(warehouse, "b1", bars({}))
    assert rows(warehouse, "select count(*) from bar_revisions") == [(0,)]
    assert load(warehouse, "b1", bars({})).new_revisions == 1


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
import test_loads
from transfergate.warehouse import loads, open_warehouse
if {early}:
    loads._record = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
with open_warehouse(Path({file!r}), test_loads.SQL, 1.0) as conn:
    test_loads.load(conn, "b2", test_loads.bars({{"close": 1.6}}, {{"ticker": "B"}}))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("early", "expected"), [(True, 1), (False, 3)])
def test_a_process_killed_before_commit_leaves_nothing_and_after_it_everything(
    tmp_path, early, expected
):
    file = tmp_path / "warehouse.duckdb"
    with open_warehouse(file, SQL, 1.0) as conn:
        load(conn, "b1", bars({}))
    here = [str(Path(__file__).parent), str(PROJECT_ROOT / "include")]
    code = KILLED.format(path=here, early=early, file=str(file))
    killed = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    with open_warehouse(file, SQL, 1.0) as conn:
        assert rows(conn, "select count(*) from bar_revisions") == [(expected,)]
        assert rows(conn, "select count(*) from batches") == [(1 if early else 2,)]
