from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from transfergate.errors import StorageConflict
from transfergate.evaluation.ledger import SCHEMA, Ledger
from transfergate.storage import ArtefactStore


def rows(start="2012-01-02", n=5, n_seeds=2, value=0.001, version=None):
    size = n * n_seeds
    dates = np.tile(np.datetime64(start) + np.arange(n), n_seeds)
    return pa.table(
        {
            "seed": pa.array(np.repeat(np.arange(n_seeds), n), pa.int32()),
            "session_date": pa.array(dates, pa.date32()),
            "net_return": np.full(size, value),
            "position": np.ones(size),
            "turnover": np.zeros(size),
            "cost": np.zeros(size),
            "model_version": pa.array([version] * size, pa.string()),
        }
    )


@pytest.fixture
def ledger(tmp_path):
    return Ledger(ArtefactStore(tmp_path))


def files(tmp_path):
    return {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}


def test_what_is_appended_is_read_back_sorted(ledger):
    assert ledger.append("r1", "GOOG", 1, "scratch", rows("2012-02-01"))
    assert ledger.append("r1", "GOOG", 0, "scratch", rows())
    assert ledger.append("r1", "GOOG", 0, "finetuned", rows().take(pa.array(range(9, -1, -1))))
    table = ledger.read("r1", "GOOG")
    assert table.schema == SCHEMA
    assert table.num_rows == 30
    assert table["arm"].to_pylist()[:10] == ["finetuned"] * 10
    scratch = table.slice(10)
    assert scratch["seed"].to_pylist() == [0] * 10 + [1] * 10
    assert scratch["session_date"].to_pylist()[:10] == sorted(
        scratch["session_date"].to_pylist()[:10]
    )


def test_nothing_written_reads_as_an_empty_record(ledger):
    assert ledger.read("r1", "GOOG").num_rows == 0


def test_writing_the_same_again_changes_nothing(ledger, tmp_path):
    ledger.append("r1", "GOOG", 0, "scratch", rows())
    before = files(tmp_path)
    assert ledger.append("r1", "GOOG", 0, "scratch", rows()) is False
    assert files(tmp_path) == before


@pytest.mark.parametrize("other", [rows(value=0.002), rows(n=4), rows(n_seeds=3)])
def test_rescoring_is_refused_and_changes_nothing(ledger, tmp_path, other):
    ledger.append("r1", "GOOG", 0, "scratch", rows())
    before = files(tmp_path)
    with pytest.raises(StorageConflict, match="scored before"):
        ledger.append("r1", "GOOG", 0, "scratch", other)
    assert files(tmp_path) == before


def test_a_session_belongs_to_one_fold(ledger, tmp_path):
    ledger.append("r1", "GOOG", 0, "scratch", rows())
    before = files(tmp_path)
    with pytest.raises(StorageConflict, match="2012-01-06"):
        ledger.append("r1", "GOOG", 1, "scratch", rows("2012-01-06"))
    assert files(tmp_path) == before
    assert ledger.append("r1", "GOOG", 1, "scratch", rows("2012-01-07"))


def test_a_session_twice_in_one_fold_is_refused(ledger, tmp_path):
    with pytest.raises(StorageConflict, match="twice"):
        ledger.append("r1", "GOOG", 0, "scratch", pa.concat_tables([rows(), rows(value=0.1)]))
    assert files(tmp_path) == {}


def test_two_versions_of_a_champion_stand_side_by_side(ledger):
    ledger.append("r1", "GOOG", 0, "champion", rows(n_seeds=1, version="aa11"))
    ledger.append("r1", "GOOG", 0, "champion", rows(n_seeds=1, version="bb22", value=0.5))
    assert set(ledger.read("r1", "GOOG")["model_version"].to_pylist()) == {"aa11", "bb22"}


def test_recipes_and_tickers_are_records_of_their_own(ledger):
    for recipe, ticker in (("r1", "GOOG"), ("r2", "GOOG"), ("r1", "^GSPC")):
        assert ledger.append(recipe, ticker, 0, "scratch", rows())
    assert ledger.read("r1", "GOOG").num_rows == 10


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        Ledger(ArtefactStore(tmp_path / name)).append("r", "T", 0, "scratch", rows())
    left, right = (list(files(tmp_path / name).values()) for name in ("a", "b"))
    assert left == right


def test_concurrent_writers_of_one_key_leave_one_record(ledger):
    def write(value):
        try:
            return ledger.append("r", "T", 0, "scratch", rows(value=value))
        except StorageConflict:
            return "conflict"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, [0.1, 0.2] * 8))
    assert outcomes.count(True) == 1
    assert outcomes.count("conflict") == 8
    assert ledger.read("r", "T").num_rows == 10


@pytest.mark.parametrize(
    ("arm", "ticker", "table"),
    [
        ("best_of", "GOOG", rows()),
        ("scratch", "../up", rows()),
        ("scratch", "GOOG", rows().drop_columns(["cost"])),
        ("scratch", "GOOG", rows().slice(0, 0)),
    ],
)
def test_malformed_rows_are_refused(ledger, arm, ticker, table):
    with pytest.raises(ValueError, match=r"."):
        ledger.append("r1", ticker, 0, arm, table)
