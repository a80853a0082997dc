from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from transfergate.errors import StorageConflict
from transfergate.evaluation.ledger import SCHEMA, Ledger
from transfergate.storage import ArtefactStore


def rows(start="2012-01-02", n=5, n_seeds=2, value=0.001):
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
        }
    )


@pytest.fixture
def ledger(tmp_path):
    return Ledger(ArtefactStore(tmp_path))


def files(tmp_path):
    return {p: p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}


def publish(ledger, fold=0, table=None, recipe="r1", ticker="GOOG", **arms):
    table = rows() if table is None else table
    return ledger.publish_fold(recipe, ticker, fold, {"scratch": table} | arms, {"fold": fold})


def test_what_is_published_is_read_back_sorted(ledger):
    assert publish(ledger, 1, rows("2012-02-01"))
    assert publish(ledger, finetuned=rows().take(pa.array(range(9, -1, -1))))
    table = ledger.read("r1", "GOOG")
    assert table.schema == SCHEMA
    assert table.num_rows == 30
    assert table["arm"].to_pylist()[:10] == ["finetuned"] * 10
    scratch = table.slice(10)
    assert scratch["seed"].to_pylist() == [0] * 10 + [1] * 10
    assert scratch["session_date"].to_pylist()[:10] == sorted(
        scratch["session_date"].to_pylist()[:10]
    )


def test_a_fold_is_one_folder_with_its_record_and_files(ledger, tmp_path):
    ledger.publish_fold("r1", "GOOG", 7, {"scratch": rows()}, {"a": 1}, {"weights.bin": b"w"})
    folder = tmp_path / "ledger/r1/GOOG/fold-000007"
    assert {path.name for path in folder.iterdir()} == {
        "scratch.parquet",
        "fold.json",
        "weights.bin",
    }
    assert ledger.folds("r1", "GOOG") == [7]
    record = ledger.record("r1", "GOOG", 7)
    assert record["a"] == 1
    assert record["rows"]["scratch"]["rows"] == 10


def test_rows_without_their_record_do_not_count(ledger, tmp_path):
    publish(ledger)
    (tmp_path / "ledger/r1/GOOG/fold-000000/fold.json").unlink()
    assert ledger.folds("r1", "GOOG") == []
    assert ledger.read("r1", "GOOG").num_rows == 0


def test_rows_that_changed_after_publishing_are_refused(ledger, tmp_path):
    publish(ledger)
    publish(Ledger(ArtefactStore(tmp_path / "other")), table=rows(value=0.5))
    forged = (tmp_path / "other/ledger/r1/GOOG/fold-000000/scratch.parquet").read_bytes()
    (tmp_path / "ledger/r1/GOOG/fold-000000/scratch.parquet").write_bytes(forged)
    with pytest.raises(StorageConflict, match="not the rows that were published"):
        ledger.read("r1", "GOOG")


def test_nothing_written_reads_as_an_empty_record(ledger):
    assert ledger.read("r1", "GOOG").num_rows == 0


def test_publishing_the_same_again_changes_nothing(ledger, tmp_path):
    publish(ledger)
    before = files(tmp_path)
    assert publish(ledger) is False
    assert files(tmp_path) == before


@pytest.mark.parametrize("other", [rows(value=0.002), rows(n=4), rows(n_seeds=3)])
def test_rescoring_is_refused_and_changes_nothing(ledger, tmp_path, other):
    publish(ledger)
    before = files(tmp_path)
    with pytest.raises(StorageConflict, match="scored before"):
        publish(ledger, table=other)
    with pytest.raises(StorageConflict, match="scored before"):
        publish(ledger, finetuned=rows())
    assert files(tmp_path) == before


def test_a_session_belongs_to_one_fold(ledger, tmp_path):
    publish(ledger)
    before = files(tmp_path)
    with pytest.raises(StorageConflict, match="2012-01-06"):
        publish(ledger, 1, rows("2012-01-06"))
    assert files(tmp_path) == before
    assert publish(ledger, 1, rows("2012-01-07"))


def test_a_session_twice_in_one_fold_is_refused(ledger, tmp_path):
    with pytest.raises(StorageConflict, match="twice"):
        publish(ledger, table=pa.concat_tables([rows(), rows(value=0.1)]))
    assert files(tmp_path) == {}


def test_two_versions_of_a_champion_stand_side_by_side(ledger):
    ledger.append_champion("r1", "GOOG", 0, "aa11", rows(n_seeds=1))
    ledger.append_champion("r1", "GOOG", 0, "bb22", rows(n_seeds=1, value=0.5))
    assert set(ledger.read("r1", "GOOG")["model_version"].to_pylist()) == {"aa11", "bb22"}
    assert ledger.holds_champion("r1", "GOOG", 0, "aa11")
    assert not ledger.holds_champion("r1", "GOOG", 1, "aa11")


def test_a_champion_is_scored_once(ledger, tmp_path):
    assert ledger.append_champion("r1", "GOOG", 0, "aa11", rows(n_seeds=1))
    before = files(tmp_path)
    assert ledger.append_champion("r1", "GOOG", 0, "aa11", rows(n_seeds=1)) is False
    with pytest.raises(StorageConflict, match="scored before"):
        ledger.append_champion("r1", "GOOG", 0, "aa11", rows(n_seeds=1, value=0.2))
    with pytest.raises(StorageConflict, match="one fold"):
        ledger.append_champion("r1", "GOOG", 1, "aa11", rows(n_seeds=1))
    assert files(tmp_path) == before


def test_a_change_of_recipe_starts_a_new_record(ledger):
    for recipe, ticker in (("r1", "GOOG"), ("r2", "GOOG"), ("r1", "^GSPC")):
        assert publish(ledger, recipe=recipe, ticker=ticker)
    assert ledger.read("r1", "GOOG").num_rows == 10
    assert ledger.folds("r2", "GOOG") == [0]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        publish(Ledger(ArtefactStore(tmp_path / name)))
    left, right = (list(files(tmp_path / name).values()) for name in ("a", "b"))
    assert left == right


def test_concurrent_writers_of_one_fold_leave_one_record(ledger):
    def write(value):
        try:
            return publish(ledger, table=rows(value=value))
        except StorageConflict:
            return "conflict"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, [0.1, 0.2] * 8))
    assert outcomes.count(True) == 1
    assert outcomes.count("conflict") == 8
    assert ledger.read("r1", "GOOG").num_rows == 10


@pytest.mark.parametrize(
    ("arm", "ticker", "table"),
    [
        ("best_of", "GOOG", rows()),
        ("champion", "GOOG", rows()),
        ("scratch", "../up", rows()),
        ("scratch", "GOOG", rows().drop_columns(["cost"])),
        ("scratch", "GOOG", rows().slice(0, 0)),
    ],
)
def test_malformed_rows_are_refused(ledger, arm, ticker, table):
    with pytest.raises(ValueError, match=r"."):
        ledger.publish_fold("r1", ticker, 0, {arm: table})
