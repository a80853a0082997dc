"""The peers of the features' benchmark compute what ours does, and a wrong one is noticed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import features


def test_scores_of_pandas_are_ours_and_a_difference_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "SESSIONS", 720)
    features.write_bars(tmp_path, 2)
    snapshot_id = features.ours(tmp_path)
    features.pandas_features(tmp_path / "bars.parquet", tmp_path / "pandas.parquet")
    assert features.largest_difference(tmp_path, snapshot_id, "pandas") < features.TOLERANCE
    table = pq.read_table(tmp_path / "pandas.parquet")
    wrong = pa.array(table["rsi_14"].to_numpy() + 0.01)
    at = table.column_names.index("rsi_14")
    pq.write_table(table.set_column(at, "rsi_14", wrong), tmp_path / "pandas.parquet")
    assert features.largest_difference(tmp_path, snapshot_id, "pandas") > features.TOLERANCE
    features.add_session(tmp_path)
    assert features.ours(tmp_path) != snapshot_id
