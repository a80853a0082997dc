"""Corrections, late bars and splits arrive; every earlier snapshot can be rebuilt to the byte."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from transfergate import cli, steps
from transfergate.errors import SnapshotError, SourceError
from transfergate.settings import FeatureParams, Settings
from transfergate.sources.base import bars_table
from transfergate.steps.bars import parse_moment, read_bars
from transfergate.storage.bars import ACTION_SCHEMA, BAR_SCHEMA
from transfergate.storage.landing import Reference
from transfergate.warehouse import load_batch, open_warehouse

DAYS = pd.bdate_range("2015-01-02", periods=140)
REFUSED = pa.schema([("row_id", pa.int64()), *BAR_SCHEMA, ("reasons", pa.list_(pa.string()))])
FEATURES = {"names": ("return_1", "rsi_14", "volume_surprise_20"), "z_window": 20}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", features=FeatureParams(**FEATURES))


def bars() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frames = []
    for ticker in ("AAA", "BBB", "^IDX"):
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, len(DAYS))))
        frame = pd.DataFrame({"ticker": ticker, "session_date": DAYS, "volume": 1000.0})
        for name in ("open", "high", "low", "close"):
            frame[name] = close
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def load(settings: Settings, frame: pd.DataFrame, *actions: dict[str, Any]) -> None:
    with open_warehouse(settings.warehouse_path, settings.sql_dir, 1) as conn:
        ((number,),) = conn.execute("select count(*) from batches").fetchall()
        load_batch(
            conn, source="files", batch_id=f"b{number}", accepted=bars_table(frame),
            quarantine=REFUSED.empty_table(), received=len(frame),
            known_at=datetime(2020, 1, 1, 22, tzinfo=UTC) + timedelta(days=number),
            reference=Reference(pa.Table.from_pylist(list(actions), schema=ACTION_SCHEMA)),
        )  # fmt: skip


def history(settings: Settings) -> list[str]:
    """Publish after each of: first bars, a correction, late bars, new bars, a split, its end."""
    whole = bars()
    late = whole["session_date"].eq(DAYS[50]) & whole["ticker"].eq("BBB")
    new = whole["session_date"] > DAYS[119]
    published = []

    def publish() -> None:
        published.append(str(steps.build_features(settings, "files")["snapshot_id"]))

    load(settings, whole[~late & ~new])
    publish()
    load(settings, whole.loc[[30, 31]].assign(close=51.0, high=60.0))
    publish()
    load(settings, whole[late])
    publish()
    load(settings, whole[new])
    publish()
    split = {"ticker": "AAA", "effect_date": date(2015, 5, 1), "kind": "split"}
    load(settings, whole[:0], {**split, "value": 2.0})
    publish()
    load(settings, whole[:0], {**split, "value": None})
    # The bars are those of the fourth again, and so is the snapshot.
    assert steps.build_features(settings, "files")["snapshot_id"] == published[3]
    return published


def test_every_earlier_snapshot_is_rebuilt_byte_for_byte(settings, tmp_path):
    published = history(settings)
    assert len(set(published)) == len(published) == 5
    for number, snapshot_id in enumerate(published):
        result = steps.rebuild_snapshot(settings, snapshot_id, tmp_path / "again")
        assert json.loads(json.dumps(result)) == result
        assert (result["identical"], result["differences"]) == (True, [])
        assert result["as_of"] == f"2020-01-0{number + 1}T22:00:00.000000+00:00"
        before = settings.artefact_root / "snapshots" / snapshot_id
        assert result["files"] == len(list(before.iterdir())) == 6
        for path in before.iterdir():
            assert (Path(result["folder"]) / path.name).read_bytes() == path.read_bytes()


def test_a_rebuild_does_not_depend_on_todays_settings(settings, tmp_path):
    load(settings, bars())
    made = steps.build_features(settings, "files")["snapshot_id"]
    other = Settings(home=settings.home, features=FeatureParams(names=("momentum",), z_window=60))
    result = steps.rebuild_snapshot(other, made)
    assert result["identical"]
    assert result["folder"] is None


def test_a_snapshot_that_was_tampered_with_is_found_out(settings, capsys, monkeypatch):
    load(settings, bars())
    made = str(steps.build_features(settings, "files")["snapshot_id"])
    file = settings.artefact_root / "snapshots" / made / "AAA.parquet"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    monkeypatch.setenv("TRANSFERGATE_HOME", str(settings.home))
    assert cli.main(["features", "--rebuild", made, "--json"]) == 2
    result = json.loads(capsys.readouterr().out)
    assert result["differences"] == ["AAA.parquet: other bytes"]
    assert not result["identical"]


def test_other_bars_give_another_id_and_are_named(settings):
    load(settings, bars())
    made = str(steps.build_features(settings, "files")["snapshot_id"])
    manifest = settings.artefact_root / "snapshots" / made / "manifest.json"
    content = json.loads(manifest.read_text())
    load(settings, bars().assign(close=1.0, low=0.5))
    manifest.chmod(0o644)
    manifest.write_text(json.dumps({**content, "as_of": "2020-02-01T00:00:00+00:00"}))
    differences = steps.rebuild_snapshot(settings, made)["differences"]
    assert differences[0].startswith(f"id: {made} published")
    assert "+recent.parquet: other bytes" in differences


def test_what_cannot_be_rebuilt_is_refused_with_the_reason(settings, tmp_path):
    load(settings, bars())
    made = str(steps.build_features(settings, "files")["snapshot_id"])
    with pytest.raises(SnapshotError, match="does not exist"):
        steps.rebuild_snapshot(settings, "nothing")
    with pytest.raises(SnapshotError, match="name another folder"):
        steps.rebuild_snapshot(settings, made, settings.artefact_root)
    (tmp_path / "a file").write_text("")
    with pytest.raises(SnapshotError, match=r"a file: cannot hold the rebuilt snapshot \(File ex"):
        steps.rebuild_snapshot(settings, made, tmp_path / "a file")
    manifest = settings.artefact_root / "snapshots" / made / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.chmod(0o644)
    manifest.write_text(json.dumps({**content, "sql_hash": "other"}))
    with pytest.raises(SnapshotError, match=r"hash other, found .*: check out the revision"):
        steps.rebuild_snapshot(settings, made)
    del content["as_of"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(SnapshotError, match="records no moment"):
        steps.rebuild_snapshot(settings, made)


@pytest.mark.parametrize("name", ["", "../../etc", "a\0b"])
def test_a_name_that_no_snapshot_has_is_refused(settings, capsys, monkeypatch, name: str):
    monkeypatch.setenv("TRANSFERGATE_HOME", str(settings.home))
    assert cli.main(["features", "--rebuild", name]) == 2
    told = capsys.readouterr().err
    assert f"{name!r} is no snapshot, expected" in told or f"{name!r} does not exist" in told
    assert "Traceback" not in told


def test_bars_are_shown_as_they_were_known(settings):
    history(settings)

    def close(as_of: str | None, **options: Any) -> float:
        table = read_bars(settings, "AAA", source="files", as_of=as_of, **options)
        return float(table.to_pandas().set_index("session_date")["close"][DAYS[30].date()])

    first = bars().loc[30, "close"]
    assert [close(at) for at in ("2020-01-01", "2020-01-02T21:59:59", "2020-01-02", None)] == [
        first, first, 51.0, 51.0
    ]  # fmt: skip
    late = read_bars(settings, "BBB", source="files", as_of="2020-01-03", start="2015-03-13",
                     end="2015-03-13")  # fmt: skip
    assert late["known_at"].to_pylist() == ["2020-01-03T22:00:00.000000+00:00"]
    split = read_bars(settings, "AAA", source="files", as_of="2020-01-05", adjusted=True)
    assert set(split["factor"].to_pylist()) == {1.0, 2.0}
    now = read_bars(settings, "AAA", source="files", adjusted=True)
    assert set(now["factor"].to_pylist()) == {1.0}


def test_the_command_writes_files_and_json(settings, tmp_path, capsys, monkeypatch):
    load(settings, bars())
    monkeypatch.setenv("TRANSFERGATE_HOME", str(settings.home))
    base = ["bars", "AAA", "--source", "files", "--start", "2015-02-02", "--end", "2015-02-27"]
    assert cli.main(base) == 0
    assert "AAA: 20 bars, the last 10" in capsys.readouterr().out
    assert cli.main([*base, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rows"], shown["bars"][0]["session_date"]) == (20, "2015-02-02")
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        file = tmp_path / "out" / f"bars.{kind}"
        assert cli.main([*base, "--adjusted", f"--{kind}", str(file), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["file"] == str(file)
        found = read(file)
        assert len(found) == 20
        assert found["close"].tolist() == [row["close"] for row in shown["bars"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ZZZ"], "ZZZ of source 'files': no bar as of .*AAA, BBB, ^IDX"),
        (["AAA", "--as-of", "2019-12-31"], "no bar of this source was loaded by.*ingest --source"),
        (["AAA", "--as-of", "yesterday"], "neither a date nor a moment"),
        (["AAA", "--csv", "/proc/nowhere/bars.csv"], "cannot be written"),
        (["AAA", "--csv", "/"], "cannot be written .*directory"),
        (["AAA", "--start", "2015-02-01", "--end", "2015-01-01"], "start 2015-02-01 is after end"),
    ],
)
def test_what_cannot_be_shown_is_refused(settings, capsys, monkeypatch, arguments, message):
    load(settings, bars())
    monkeypatch.setenv("TRANSFERGATE_HOME", str(settings.home))
    assert cli.main(["bars", "--source", "files", *arguments]) == 2
    assert message.split(".*")[-1] in capsys.readouterr().err


@pytest.mark.parametrize("text", ["2020-01-01", "20200101", "2020-W01-3", "2020W013"])
def test_a_date_alone_means_its_end_however_iso_writes_it(text):
    assert parse_moment(text) == datetime(2020, 1, 1, 23, 59, 59, 999999, UTC)


def test_moments_are_utc_where_they_name_no_zone():
    assert parse_moment("2020-01-01T10:00") == datetime(2020, 1, 1, 10, tzinfo=UTC)
    assert parse_moment("2020-01-01T10:00+05:30") == datetime(2020, 1, 1, 4, 30, tzinfo=UTC)
    with pytest.raises(SourceError):
        parse_moment("2020-13-01")
