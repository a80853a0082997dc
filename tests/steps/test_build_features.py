"""The features step on a warehouse of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from transfergate import steps
from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams, Settings
from transfergate.storage import ArtefactStore, open_snapshot
from transfergate.warehouse.connection import open_warehouse

BARS = Path(__file__).resolve().parents[1] / "golden" / "feature_bars.csv"


@pytest.fixture
def own_settings(tmp_path: Path) -> Settings:
    own = Settings(home=tmp_path, features=FeatureParams(names=("return_1", "momentum")))
    with open_warehouse(own.warehouse_path, own.sql_dir, 1.0) as conn:
        conn.execute(
            "insert into bar_revisions select 'files', ticker, session_date, open, high, low, "
            "close, volume, adj_close, 'USD', 'batch', timestamptz '2020-01-01 00:00:00+00' "
            f"from read_csv('{BARS}')"
        )
    return own


def test_the_step_publishes_once_and_tells_what(own_settings: Settings) -> None:
    first = steps.build_features(own_settings, "files")
    again = steps.build_features(own_settings, "files")
    assert json.loads(json.dumps(first)) == first
    assert first.pop("seconds") >= 0
    assert again.pop("seconds") >= 0
    assert first == again | {"created": True}
    snapshot_id = first.pop("snapshot_id")
    assert first == {
        "source": "files",
        "rows": 300,
        "tickers": 2,
        "first_session": "2015-01-02",
        "last_session": "2015-07-30",
        "created": True,
    }
    snapshot = open_snapshot(ArtefactStore(own_settings.artefact_root), snapshot_id)
    assert snapshot.manifest["source"] == "files"


def test_a_source_without_bars_is_refused(own_settings: Settings) -> None:
    with pytest.raises(SnapshotError, match=r"'sample'.*no bars"):
        steps.build_features(own_settings, "sample")
