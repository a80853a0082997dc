import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfergate.steps.regimes import evaluation_market
from transfergate.storage import ArtefactStore

DAYS = np.arange("2020-01-01", "2020-01-06", dtype="datetime64[D]")


@pytest.fixture
def store(tmp_path):
    return ArtefactStore(tmp_path)


def publish(store, closes, index="equal_weight"):
    """A snapshot with the columns that regimes read, and a foundation that learnt from it."""
    folder = store.path("snapshots/s1")
    folder.mkdir(parents=True)
    for name, close in closes.items():
        table = pa.table(
            {"session_date": DAYS[-len(close) :], "close": pa.array(close, pa.float64())}
        )
        pq.write_table(table, folder / f"{name}.parquet")
    files = {name: {"name": f"{name}.parquet"} for name in closes}
    manifest = {"id": "s1", "files": files, "index_return": index}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    store.write_once("foundations/f1/foundation.json", b'{"snapshot_id": "s1"}')


def test_the_market_is_the_mean_of_the_tickers_that_have_a_return(store):
    publish(store, {"A": [100.0, 110.0, 110.0, 121.0, 121.0], "B": [50.0, None, 25.0]})
    market = evaluation_market(store, "f1")
    assert market.dates.tolist() == DAYS[1:].tolist()
    assert market.returns == pytest.approx([0.1, 0.0, 0.1, -0.25])
    assert "2 tickers" in market.name


def test_a_published_index_stands_for_the_market(store):
    publish(store, {"A": [1.0, 2.0], "^I": [10.0, 11.0]}, index="^I")
    market = evaluation_market(store, "f1")
    assert market.returns == pytest.approx([0.1])
    assert market.name == "the index ^I"


def test_without_foundation_or_snapshot_there_is_no_market(store):
    assert evaluation_market(store, "f1") is None
    store.write_once("foundations/f1/foundation.json", b'{"snapshot_id": "gone"}')
    assert evaluation_market(store, "f1") is None
