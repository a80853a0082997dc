"""Snapshots are content-addressed, deterministic to the byte, and never published unchecked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from transfergate.errors import SettingsError, SnapshotError
from transfergate.settings import FeatureParams, UniverseParams
from transfergate.storage import ArtefactStore, open_snapshot
from transfergate.warehouse import features
from transfergate.warehouse.publish import PublishedSnapshot, SnapshotRequest, publish_snapshot
from transfergate.warehouse.snapshot_writer import run_checks
from transfergate.warehouse.zscores import z_scores

SQL_DIR = Path(__file__).resolve().parents[2] / "sql"
NAMES = ("return_1", "momentum")
MakeBars = Callable[..., pd.DataFrame]
Publish = Callable[..., PublishedSnapshot]


def _request(**changes: Any) -> SnapshotRequest:
    values: dict[str, Any] = {
        "source": "files",
        "features": FeatureParams(names=NAMES),
        "universe": UniverseParams(),
        "calendar": "XNYS",
        "sql_dir": SQL_DIR,
    }
    return SnapshotRequest(**{**values, **changes})


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(tmp_path / "artefacts")


@pytest.fixture
def publish(store: ArtefactStore, warehouse: Any) -> Publish:
    def run(bars: pd.DataFrame, into: ArtefactStore = store, **changes: Any) -> PublishedSnapshot:
        with warehouse(bars) as conn:
            return publish_snapshot(conn, into, _request(**changes))

    return run


def _bytes(store: ArtefactStore, snapshot_id: str) -> dict[str, str]:
    folder = store.path(f"snapshots/{snapshot_id}")
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_a_snapshot_holds_prices_and_scores_of_every_ticker(
    make_bars: MakeBars, publish: Publish, store: ArtefactStore
) -> None:
    bars = make_bars(n_sessions=120)
    published = publish(bars)
    snapshot = open_snapshot(store, published.id)
    manifest = snapshot.manifest
    assert published.created
    assert manifest == published.manifest
    assert set(manifest) == {
        *("id", "source", "tickers", "index", "index_return", "features", "z_window", "z_clip"),
        *("calendar", "sessions", "first_session_ordinal", "rows", "files", "sql_hash"),
        *("recent_from", "recent", "restart", "versions", "feature_names", "instruments"),
        "as_of",
    }
    assert manifest["features"] == ["return_1", "momentum_5", "momentum_10", "momentum_20"]
    assert manifest["rows"] == {"AAA": 120, "BBB": 120, "CCC": 120}
    table = snapshot.table("BBB")
    expected = [("session_date", pa.date32()), ("open", pa.float64()), ("close", pa.float64())]
    expected += [(name, pa.float32()) for name in manifest["features"]]
    assert [(field.name, field.type) for field in table.schema] == expected
    one = bars[bars["ticker"] == "BBB"]
    assert table["session_date"].to_pylist() == one["session_date"].tolist()
    assert table["close"].to_pylist() == one["close"].tolist()
    assert table["return_1"].null_count == 60
    for file in (*manifest["files"].values(), manifest["recent"]):
        assert _bytes(store, published.id)[file["name"]] == file["sha256"]


def test_sessions_are_the_calendars_and_whatever_was_traded(
    make_bars: MakeBars, publish: Publish
) -> None:
    bars = make_bars(("AAA",), n_sessions=60)
    gone = bars["session_date"] == pd.Timestamp("2015-01-07").date()
    bars = bars[~gone].reset_index(drop=True)
    bars.loc[3, "session_date"] = pd.Timestamp("2015-01-10").date()
    manifest = publish(bars).manifest
    sessions = manifest["sessions"]
    assert sessions == sorted(set(sessions))
    assert {"2015-01-07", "2015-01-10"} <= set(sessions)
    assert sessions[0] == "2015-01-02"
    # The exchange held 6,301 sessions from 1990 to 2014.
    assert manifest["first_session_ordinal"] == 6301


@pytest.mark.parametrize("first", ["1989-12-28", "1990-01-02"])
def test_the_ordinal_counts_from_1990(make_bars: MakeBars, publish: Publish, first: str) -> None:
    bars = make_bars(("AAA",), n_sessions=30)
    days = pd.bdate_range(first, periods=30).date
    bars["session_date"] = days
    ordinal = publish(bars).manifest["first_session_ordinal"]
    assert ordinal == {"1989-12-28": -2, "1990-01-02": 0}[first]


def test_publishing_again_does_nothing(
    make_bars: MakeBars, publish: Publish, store: ArtefactStore
) -> None:
    bars = make_bars(n_sessions=80)
    first = publish(bars)
    before = _bytes(store, first.id)
    second = publish(bars)
    assert (second.id, second.created) == (first.id, False)
    assert second.manifest == first.manifest
    assert _bytes(store, first.id) == before


def test_the_order_of_ingestion_changes_no_byte(
    make_bars: MakeBars, publish: Publish, warehouse: Any, load_bars: Any, tmp_path: Path
) -> None:
    bars = make_bars(n_sessions=80)
    one, other = ArtefactStore(tmp_path / "one"), ArtefactStore(tmp_path / "other")
    first = publish(bars, one)
    shuffled = bars.sample(frac=1.0, random_state=3)
    wrong = bars.iloc[:40].assign(close=1.0)
    with warehouse(wrong, known_at="2020-01-01") as conn:
        load_bars(conn, shuffled.iloc[100:], known_at="2020-02-01")
        load_bars(conn, shuffled.iloc[:100], known_at="2020-03-01")
        load_bars(conn, bars.iloc[:40], known_at="2020-04-01")
        second = publish_snapshot(conn, other, _request())
    assert first.id == second.id
    before, after = _bytes(one, first.id), _bytes(other, second.id)
    # When the last of them became known is another matter.
    assert first.manifest.pop("as_of") == "2020-01-01T00:00:00.000000+00:00"
    assert second.manifest.pop("as_of") == "2020-04-01T00:00:00.000000+00:00"
    assert first.manifest == second.manifest
    assert before.pop("manifest.json") != after.pop("manifest.json")
    assert before == after


def test_an_old_snapshot_is_rebuilt_as_of_its_moment(
    make_bars: MakeBars, warehouse: Any, load_bars: Any, tmp_path: Path
) -> None:
    bars = make_bars(n_sessions=80)
    one, other = ArtefactStore(tmp_path / "one"), ArtefactStore(tmp_path / "other")
    with warehouse(bars, known_at="2020-01-01") as conn:
        old = publish_snapshot(conn, one, _request())
        load_bars(conn, bars.iloc[50:60].assign(close=50.0), known_at="2020-02-01")
        new = publish_snapshot(conn, other, _request())
        rebuilt = publish_snapshot(conn, other, _request(as_of=datetime(2020, 1, 15, tzinfo=UTC)))
    assert rebuilt.id == old.id != new.id
    assert _bytes(one, old.id) == _bytes(other, rebuilt.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": FeatureParams(names=NAMES, z_window=50)},
        {"features": FeatureParams(names=NAMES, z_clip=4.0)},
        {"features": FeatureParams(names=tuple(reversed(NAMES)))},
        {"universe": UniverseParams(index="AAA")},
        {"calendar": "XLON"},
    ],
)
def test_other_settings_give_another_id(
    make_bars: MakeBars, publish: Publish, changes: dict[str, Any]
) -> None:
    bars = make_bars(n_sessions=70)
    assert publish(bars).id != publish(bars, **changes).id


def test_other_bars_and_other_sql_give_another_id(
    make_bars: MakeBars, publish: Publish, own_sql: Path
) -> None:
    bars = make_bars(n_sessions=70)
    ids = {publish(bars).id, publish(bars, sql_dir=own_sql).id}
    assert len(ids) == 1
    touched = bars.copy()
    touched.loc[5, "close"] += 1
    ids.add(publish(touched).id)
    file = own_sql / "marts/features/momentum.sql"
    file.write_text(file.read_text() + "-- other\n")
    ids.add(publish(bars, sql_dir=own_sql).id)
    assert len(ids) == 3


def test_index_series_are_used_but_not_published_unless_traded(
    make_bars: MakeBars, publish: Publish
) -> None:
    bars = make_bars(("AAA", "^GSPC", "^IXIC"), n_sessions=70)
    manifest = publish(bars, universe=UniverseParams(index="^GSPC")).manifest
    assert (manifest["tickers"], manifest["index"]) == (["AAA"], ["^GSPC", "^IXIC"])
    assert manifest["index_return"] == "^GSPC"
    traded = UniverseParams(index="^GSPC", targets=("^IXIC",))
    manifest = publish(bars, universe=traded).manifest
    assert (manifest["tickers"], manifest["index"]) == (["AAA", "^IXIC"], ["^GSPC"])
    manifest = publish(bars, universe=UniverseParams(index="^NONE")).manifest
    assert manifest["index_return"] == "equal_weight"
    with pytest.raises(SnapshotError, match="all 2 tickers are index series"):
        publish(bars[bars["ticker"] != "AAA"])


def test_file_names_are_safe(make_bars: MakeBars, publish: Publish, store: ArtefactStore) -> None:
    odd = ("GC=F", "BRK.B", "M&M", "^GSPC")
    published = publish(make_bars(odd, n_sessions=40), universe=UniverseParams(targets=("^GSPC",)))
    names = {ticker: file["name"] for ticker, file in published.manifest["files"].items()}
    assert names == {
        "GC=F": "GC%3DF.parquet",
        "BRK.B": "BRK.B.parquet",
        "M&M": "M%26M.parquet",
        "^GSPC": "%5EGSPC.parquet",
    }
    assert open_snapshot(store, published.id).table("M&M").num_rows == 40


def test_a_look_ahead_feature_is_not_published(
    make_bars: MakeBars, publish: Publish, store: ArtefactStore, own_sql: Path
) -> None:
    (own_sql / "marts/features/prophet.sql").write_text(
        "-- warm_up: 0\nselect ticker, session_date, lead(close) over (partition by ticker "
        "order by session_date) / close as prophet from int_bars"
    )
    params = FeatureParams(names=(*NAMES, "prophet"))
    with pytest.raises(SnapshotError, match=r"prophet.*look ahead"):
        publish(make_bars(n_sessions=90), features=params, sql_dir=own_sql)
    assert not store.exists("snapshots")


ROW = "('AAA', date '2015-01-05', 1.0, 1.0, {}::float)"


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        ((ROW.format("5.1"),), "snapshot_z_within_clip"),
        ((ROW.format("'nan'"),), "snapshot_z_within_clip"),
        ((ROW.format("1"), ROW.format("1")), "snapshot_unique_rows"),
        ((ROW.format("1"), ROW.format("1").replace("-05", "-06")), "snapshot_row_counts"),
    ],
)
def test_a_check_that_selects_a_row_refuses(rows: tuple[str, ...], check: str) -> None:
    with duckdb.connect() as conn:
        conn.execute("set variable z_clip = 5.0")
        conn.execute(
            f"create temp table snapshot_rows as from (values {', '.join(rows)}) "
            f"as rows (ticker, session_date, open, close, return_1)"
        )
        conn.execute("create temp table int_bars as select 'AAA' as ticker, date '2015-01-05' as "
                     "session_date")  # fmt: skip
        conn.execute("create temp table feature_batch as select 'AAA' as ticker, date '2015-01-05' "
                     "as changed_from")  # fmt: skip
        with pytest.raises(SnapshotError, match=check):
            run_checks(conn, [SQL_DIR / f"checks/{check}.sql"])


def test_scores_beyond_the_clip_are_not_published(
    make_bars: MakeBars, publish: Publish, store: ArtefactStore, monkeypatch: Any
) -> None:
    def beyond(values: Any, valid: Any, window: int, clip: float) -> Any:
        return 100 * z_scores(values, valid, window, clip)

    monkeypatch.setattr(features, "z_scores", beyond)
    with pytest.raises(SnapshotError, match=r"snapshot_z_within_clip.sql: .*±z_clip"):
        publish(make_bars(n_sessions=90))
    assert list(store.keys("snapshots")) == []


def test_a_failed_check_publishes_nothing(
    make_bars: MakeBars, publish: Publish, store: ArtefactStore, own_sql: Path
) -> None:
    (own_sql / "checks/snapshot_no_monday.sql").write_text(
        "-- No rows on Mondays.\nselect ticker, session_date from snapshot_rows "
        "where dayofweek(session_date) = 1"
    )
    with pytest.raises(SnapshotError, match=r"snapshot_no_monday.sql: No rows on Mondays\."):
        publish(make_bars(n_sessions=90), sql_dir=own_sql)
    assert list(store.keys("snapshots")) == []


def test_refusals_name_what_to_do(make_bars: MakeBars, publish: Publish) -> None:
    bars = make_bars(n_sessions=30)
    with pytest.raises(SnapshotError, match=r"no bars.*ingest this source first"):
        publish(bars, source="sample")
    with pytest.raises(SettingsError, match="no exchange calendar"):
        publish(bars, calendar="NOWHERE")


def test_a_special_session_is_in_the_snapshot_and_not_in_the_number_of_its_first_session(
    make_bars: MakeBars, publish: Publish
) -> None:
    bars = make_bars(n_sessions=80)
    before = publish(bars).manifest
    first = pd.Timestamp(before["sessions"][0])
    saturday = first + pd.Timedelta(days=(5 - first.day_of_week) % 7 + 7)
    special = bars.groupby("ticker").head(1).assign(session_date=saturday.date())
    after = publish(pd.concat([bars, special], ignore_index=True)).manifest
    assert after["first_session_ordinal"] == before["first_session_ordinal"]
    assert sorted([*before["sessions"], saturday.date().isoformat()]) == after["sessions"]
