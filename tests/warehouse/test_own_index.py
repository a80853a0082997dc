"""A ticker is related to the index that its instrument names, else to the source's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transfergate.errors import SnapshotError
from transfergate.settings import FeatureParams, UniverseParams, WarehouseParams
from transfergate.storage import ArtefactStore, open_snapshot
from transfergate.warehouse.publish import SnapshotRequest, publish_snapshot

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
N, CUT = 180, 150
TICKERS = ("AAA", "BBB", "CCC", "ONE", "TWO")  # an index needs no caret where somebody names it
COLUMNS = ["index_correlation_60", "index_beta_60"]
PRICES = ["open", "high", "low", "close", "adj_close"]
OWN = {"AAA": "ONE", "BBB": "TWO"}


def published(
    folder: Path, warehouse: Any, bars: pd.DataFrame, own: dict[str, str], index: str | None = None
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The manifest, and ticker -> its rows."""
    request = SnapshotRequest(
        source="files",
        features=FeatureParams(names=("return_1", "index_relation_60"), z_window=20),
        universe=UniverseParams(index=index),
        calendar="XNYS",
        sql_dir=SQL_DIR,
        resources=WarehouseParams(batch_bars=1000),
    )
    store = ArtefactStore(folder)
    with warehouse(bars) as conn:
        for ticker, name in own.items():
            conn.execute(
                "insert into instruments by name select 'files' as source, ? as ticker, ? as "
                "index_ticker, 'b' as batch_id, timestamptz '2020-01-01 00:00:00+00' as known_at",
                [ticker, name],
            )
        manifest = publish_snapshot(conn, store, request).manifest
    snapshot = open_snapshot(store, manifest["id"])
    rows = {name: snapshot.table(name).to_pandas() for name in manifest["tickers"]}
    return manifest, rows


def shocked(bars: pd.DataFrame, ticker: str) -> pd.DataFrame:
    """One ticker's bars after the cut, changed."""
    late = bars["session_date"] > sorted(bars["session_date"].unique())[CUT]
    changed = bars.copy()
    noise = np.random.default_rng(9).uniform(0.5, 1.5, len(bars))
    hit = late & (bars["ticker"] == ticker)
    changed.loc[hit, PRICES] = bars.loc[hit, PRICES].mul(noise[hit], axis=0)
    return changed


def test_two_tickers_are_related_to_two_indices(tmp_path: Path, warehouse, make_bars) -> None:
    bars = make_bars(TICKERS, n_sessions=N)
    manifest, rows = published(tmp_path / "own", warehouse, bars, OWN, index=None)
    assert (manifest["tickers"], manifest["index"]) == (["AAA", "BBB", "CCC"], ["ONE", "TWO"])
    for ticker, index in OWN.items():
        # As where that index is the whole source's.
        only = bars[~bars["ticker"].isin({"ONE", "TWO"} - {index})]
        _, alone = published(tmp_path / index, warehouse, only, {}, index=index)
        pd.testing.assert_frame_equal(rows[ticker], alone[ticker], check_exact=True)
        assert rows[ticker][COLUMNS].notna().sum().min() > 80
    only = bars[~bars["ticker"].isin(["ONE", "TWO"])]
    _, mean = published(tmp_path / "mean", warehouse, only, {})
    pd.testing.assert_frame_equal(rows["CCC"], mean["CCC"], check_exact=True)
    assert not rows["AAA"][COLUMNS].equals(mean["AAA"][COLUMNS])


def test_an_index_moves_its_own_tickers_and_only_from_that_day_on(
    tmp_path: Path, warehouse, make_bars
) -> None:
    bars = make_bars(TICKERS, n_sessions=N)
    _, before = published(tmp_path / "a", warehouse, bars, OWN)
    _, after = published(tmp_path / "b", warehouse, shocked(bars, "TWO"), OWN)
    for ticker in ("AAA", "CCC"):
        pd.testing.assert_frame_equal(before[ticker], after[ticker], check_exact=True)
    known = slice(0, CUT + 1)
    pd.testing.assert_frame_equal(before["BBB"][known], after["BBB"][known], check_exact=True)
    assert (before["BBB"][COLUMNS][CUT + 1 :] != after["BBB"][COLUMNS][CUT + 1 :]).all().all()


def test_days_that_an_index_lacks_take_the_mean_of_the_tickers(
    tmp_path: Path, warehouse, make_bars
) -> None:
    bars = make_bars(TICKERS, n_sessions=N)
    first = sorted(bars["session_date"].unique())[40]
    gone = (bars["ticker"] == "ONE") & (bars["session_date"] >= first)
    _, rows = published(tmp_path / "a", warehouse, bars[~gone], OWN)
    _, mean = published(tmp_path / "b", warehouse, bars[~bars["ticker"].isin(["ONE", "TWO"])], {})
    # From 60 + 20 bars after its end on, the windows hold nothing but the mean.
    late = slice(40 + 80, None)
    pd.testing.assert_frame_equal(rows["AAA"][late], mean["AAA"][late], check_exact=True)


def test_an_index_without_bars_is_refused_where_a_feature_reads_it(
    tmp_path: Path, warehouse, make_bars
) -> None:
    bars = make_bars(("AAA", "BBB"), n_sessions=N)
    own = {"AAA": "^NONE", "ZZZ": "^OTHER"}  # ZZZ has no bars, so its index is asked by nobody
    with pytest.raises(SnapshotError, match=r"1 tickers .* AAA names '\^NONE'.*ingest \^NONE"):
        published(tmp_path, warehouse, bars, own)
    assert not list((tmp_path / "snapshots").glob("[!.]*"))
