from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from transfergate import steps
from transfergate.cli import main
from transfergate.errors import BarsRejected, QuarantineError, SettingsError
from transfergate.settings import Settings, SyntheticParams
from transfergate.sources import SyntheticSource
from transfergate.steps.quarantine import (
    Asked,
    export_quarantine,
    list_quarantine,
    show_quarantined,
    suspected_actions,
)
from transfergate.steps.releases import release_quarantined
from transfergate.warehouse import open_warehouse


def bars() -> pd.DataFrame:
    """Six tickers of 120 sessions, without a defect and without the vendor's adjustment."""
    source = SyntheticSource(SyntheticParams(n_sessions=120, n_sources=3))
    return source.fetch(source.tickers(), None, None).to_pandas().drop(columns=["adj_close"])


class Home:
    """A scratch installation whose files source reads what the test writes."""

    def __init__(self, folder: Path, **source):
        self.folder = folder / "in"
        self.folder.mkdir()
        declared = {"kind": "files", "root": str(self.folder), **source}
        self.settings = Settings(
            home=folder / "var", sources={"vendor": declared}, ingest={"source": "vendor"}
        )

    def ingest(self, frame: pd.DataFrame):
        frame.to_csv(self.folder / "bars.csv", index=False)
        plan = steps.plan_ingest(self.settings)
        landing = [steps.fetch_bars(self.settings, plan, b) for b in plan["ticker_batches"]]
        return steps.load_bars(
            self.settings, plan, steps.validate_bars(self.settings, plan, landing)
        )

    def query(self, sql: str):
        with open_warehouse(self.settings.warehouse_path, self.settings.sql_dir, 1) as conn:
            return conn.execute(sql).fetchall()

    def release(self, asked: Asked, rows=(), who="Ada", why="the exchange confirms it"):
        return release_quarantined(self.settings, asked, rows, who, why)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def loaded(home: Home):
    """One batch with a close above its high, a null close and two bars of one session."""
    frame = bars()
    frame.loc[5, ["low", "high"]] = frame.loc[5, "close"] * np.array([0.5, 0.9])
    frame.loc[200, "close"] = None
    twin = frame.iloc[[300]].assign(volume=7.0)
    result = home.ingest(pd.concat([frame, twin], ignore_index=True))
    assert (result["received"], result["loaded"], result["quarantined"]) == (721, 717, 4)
    return result


def test_a_release_is_a_load_of_its_own_and_the_row_stays(home, loaded):
    (row,) = [
        r for r in list_quarantine(home.settings, Asked(reason="high_bounds_the_bar"))["shown"]
    ]
    done = home.release(Asked(batch=loaded["batch_id"]), [row["row_id"]])
    assert (done["released"], done["new_revisions"], done["already_released"]) == (1, 1, 0)
    where = f"ticker = '{row['ticker']}' and session_date = '{row['session_date']}'"
    ((batch, high),) = home.query(f"select batch_id, high from bar_revisions where {where}")
    assert (batch, high) == (done["releases"][0], row["high"])
    assert home.query("select count(*) from quarantine") == [(4,)]
    assert home.query("select who, why, row_id from releases") == [
        ("Ada", "the exchange confirms it", row["row_id"])
    ]
    # Each batch adds up by itself, the release too, and later than what it releases.
    assert home.query(
        "select received_rows, loaded_rows, quarantined_rows from batches order by known_at"
    ) == [(721, 717, 4), (1, 1, 0)]


def test_releasing_twice_changes_nothing_and_says_so(home, loaded):
    asked = Asked(batch=loaded["batch_id"], reason="high_bounds_the_bar")
    first = home.release(asked)
    again = home.release(asked, who="Eve", why="because")
    assert (again["released"], again["releases"]) == (0, first["releases"])
    assert again["message"] == "nothing to do; 1 of 1 rows were released before"
    assert home.query("select count(*), max(who) from releases") == [(1, "Ada")]


def test_a_row_that_a_later_delivery_corrected_is_not_released_over_it(home, loaded):
    home.ingest(bars())
    before = home.query("select * from bar_revisions order by all")
    with pytest.raises(QuarantineError, match=r"came again with other values .*1 of 1 rows"):
        home.release(Asked(batch=loaded["batch_id"], reason="high_bounds_the_bar"))
    assert home.query("select * from bar_revisions order by all") == before
    assert home.query("select count(*) from releases") == [(0,)]


def test_a_release_lost_on_the_way_to_the_files_is_made_good(home, loaded):
    asked = Asked(batch=loaded["batch_id"], reason="high_bounds_the_bar")
    done = home.release(asked)
    record = home.settings.artefact_root / f"releases/vendor/{done['releases'][0]}.json"
    content = record.read_bytes()
    record.unlink()
    assert list_quarantine(home.settings, asked)["batches"][0]["released"] == 0
    home.release(asked)
    assert record.read_bytes() == content


def test_a_released_row_is_not_refused_again(home, loaded):
    home.release(Asked(batch=loaded["batch_id"], reason="high_bounds_the_bar"))
    frame = bars()
    frame.loc[5, ["low", "high"]] = frame.loc[5, "close"] * np.array([0.5, 0.9])
    again = home.ingest(frame)
    assert (again["loaded"], again["quarantined"]) == (720, 0)


@pytest.mark.parametrize(
    ("reason", "message"),
    [("close_present", "close is null"), ("unique_session", r"row \d+ are both .*: release one")],
)
def test_what_the_table_cannot_hold_is_not_released(home, loaded, reason, message):
    with pytest.raises(QuarantineError, match=message):
        home.release(Asked(batch=loaded["batch_id"], reason=reason))
    assert home.query("select count(*) from releases") == [(0,)]
    assert home.query("select count(*) from batches") == [(1,)]


def test_one_of_two_bars_of_a_session_can_be_released(home, loaded):
    rows = list_quarantine(home.settings, Asked(reason="unique_session"))["shown"]
    assert home.release(Asked(batch=loaded["batch_id"]), [rows[1]["row_id"]])["released"] == 1


def test_a_release_needs_rows_that_are_there_and_a_reason(home, loaded):
    asked = Asked(batch=loaded["batch_id"])
    with pytest.raises(QuarantineError, match="has no row 3 in quarantine"):
        home.release(asked, [3])
    with pytest.raises(QuarantineError, match="0 batches begin with 'zz'"):
        home.release(Asked(batch="zz"))
    with pytest.raises(QuarantineError, match="needs who and why"):
        home.release(asked, [5], why=" ")
    with pytest.raises(QuarantineError, match="which rows"):
        home.release(Asked(source="vendor"))


def test_what_nobody_can_mean_is_refused_in_words(home, loaded):
    huge = 10**23
    with pytest.raises(QuarantineError, match=f"has no row {huge} in quarantine"):
        show_quarantined(home.settings, loaded["batch_id"], huge)
    assert len(list_quarantine(home.settings, Asked(), limit=huge)["shown"]) == 4
    with pytest.raises(SettingsError, match=r"no source 'nope'; there are .*vendor"):
        list_quarantine(home.settings, Asked(source="nope"))
    last, first = date(2018, 1, 1), date(2018, 1, 2)
    with pytest.raises(QuarantineError, match="2018-01-02 is after the last, 2018-01-01"):
        list_quarantine(home.settings, Asked(first=first, last=last))


def test_rows_of_a_refused_batch_stay_whole_in_its_quarantine(home):
    with pytest.raises(BarsRejected, match="bad_tickers"):
        home.ingest(bars().assign(low=-1.0))
    listed = list_quarantine(home.settings, Asked(), limit=1)
    assert (listed["rows"], listed["reasons"]["batch_refused"]) == (720, 720)
    assert listed["batches"][0]["state"] == "refused"
    assert listed["shown"][0]["origin"].endswith("bars.csv")
    with pytest.raises(QuarantineError, match="was refused whole"):
        home.release(Asked(source="vendor", ticker="SRC01"))


def test_releases_cannot_be_changed(home, loaded):
    home.release(Asked(batch=loaded["batch_id"], reason="high_bounds_the_bar"))
    for change in ("update releases set who = 'Eve'", "delete from releases"):
        with pytest.raises(duckdb.Error, match="append-only"):
            home.query(change)


def test_suspected_splits_wait_for_a_reviewer_and_can_be_released_as_genuine(home):
    frame = bars()
    rows = frame.index[frame["ticker"] == "SRC02"][80:]
    frame.loc[rows, ["open", "high", "low", "close"]] /= 2.0
    day = str(frame.loc[rows[0], "session_date"])
    result = home.ingest(frame)
    assert (result["loaded"], result["quarantined"]) == (680, 40)
    assert suspected_actions(home.settings, Asked())["actions"] == [
        {"ticker": "SRC02", "effect_date": day, "kind": "split", "value": 2.0}
    ]
    done = home.release(Asked(source="vendor", ticker="SRC02", reason="suspected_split"))
    assert (done["released"], done["new_revisions"]) == (40, 40)
    assert suspected_actions(home.settings, Asked())["actions"] == []
    assert home.ingest(frame)["quarantined"] == 0


def test_copies_of_rows_that_wait_do_not_stop_their_release(tmp_path: Path):
    home = Home(tmp_path, prices="raw")
    frame = bars()
    late = (frame["ticker"] == "SRC01") & (frame["session_date"] >= frame["session_date"][90])
    prices = ["open", "high", "low", "close"]
    frame.loc[late, prices] /= 2
    copied = pd.concat([frame, frame[late].tail(1)], ignore_index=True)
    assert home.ingest(copied)["quarantined"] == late.sum() + 1
    asked = Asked(source="vendor", ticker="SRC01", reason="suspected_split")
    assert home.release(asked)["released"] == late.sum()


def test_listing_narrows_by_ticker_reason_and_dates(home, loaded):
    whole = list_quarantine(home.settings, Asked())
    assert whole["rows"] == sum(whole["tickers"].values()) == 4
    assert whole["reasons"] == {"unique_session": 2, "close_present": 1, "high_bounds_the_bar": 1}
    row = whole["shown"][0]
    day = date.fromisoformat(row["session_date"])
    one = list_quarantine(home.settings, Asked(ticker=row["ticker"], first=day, last=day))
    assert one["shown"][0] == row
    assert list_quarantine(home.settings, Asked(source="sample"))["rows"] == 0
    shown = show_quarantined(home.settings, loaded["batch_id"][:6], row["row_id"])
    assert (shown["line"], shown["release"]) == (row["row_id"] + 2, None)


def test_every_row_that_breaks_a_rule_is_on_record_also_where_it_is_loaded(home):
    frame = bars().drop(index=[30])
    frame.loc[50:119, ["open", "high", "low", "close"]] *= 1.45
    result = home.ingest(frame.assign(adj_close=frame["close"]))
    found = pd.read_parquet(
        home.settings.artefact_root / "batches" / result["batch_id"] / "findings.parquet"
    )
    assert result["quarantined"] == 0
    # One missing session in 720 is tolerated, and is on record all the same.
    assert set(found["rule"]) == {"return_outlier", "gap"}
    assert found.set_index("rule").loc["gap", "severity"] == "warning"


def test_the_command_lists_shows_and_releases(home, loaded, monkeypatch, capsys):
    monkeypatch.setattr("transfergate.settings.load", lambda: home.settings)
    assert main(["quarantine", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    row = str(listed["shown"][0]["row_id"])
    assert main(["quarantine", "show", loaded["batch_id"], row]) == 0
    assert "high_bounds_the_bar" in capsys.readouterr().out
    release = ["quarantine", "release", "--batch", loaded["batch_id"], "--rows", row]
    assert main([*release, "--why", "it is so"]) == 0
    assert capsys.readouterr().out.startswith("1 rows released as load")
    assert main([*release, "--why", "it is so"]) == 0
    assert "released before" in capsys.readouterr().out
    assert main(["quarantine", "list", "--as-actions"]) == 0
    assert capsys.readouterr().out == "ticker,effect_date,kind,value\n"
    page = home.settings.artefact_root / f"data_docs/batches/{loaded['batch_id']}"
    assert "it is so" in page.with_suffix(".html").read_text()
    assert "it is so" in (page / "quarantine.html").read_text()


def test_rows_are_exported_with_batch_and_release_and_no_formula(home, loaded, monkeypatch, capsys):
    monkeypatch.setattr("transfergate.settings.load", lambda: home.settings)
    file, table = home.settings.home / "out" / "rows.parquet", home.settings.home / "rows.csv"
    before = list_quarantine(home.settings, Asked())
    row = before["shown"][0]["row_id"]
    release = ["quarantine", "release", "--batch", loaded["batch_id"], "--rows", str(row)]
    assert main([*release, "--why", "it is so"]) == 0
    assert main(["quarantine", "export", str(file)]) == 0
    assert main(["quarantine", "export", str(table), "--batch", loaded["batch_id"]]) == 0
    rows = pd.read_parquet(file)
    assert len(rows) == before["rows"]
    assert set(rows["batch_id"]) == {loaded["batch_id"]}
    assert rows.set_index("row_id").loc[row, "released"]
    assert rows["released"].sum() == 1
    text = pd.read_csv(table)
    assert list(text.columns) == list(rows.columns)
    assert text["row_id"].tolist() == rows["row_id"].tolist()
    assert main(["quarantine", "export", str(file.with_suffix(".xlsx"))]) == 2
    assert "expected .csv or .parquet" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_export_that_fails_leaves_the_one_before(home, loaded, ending, monkeypatch):
    file = home.settings.home / "out" / f"rows.{ending}"
    export_quarantine(home.settings, Asked(), file)
    before = file.read_bytes()
    with pytest.raises(QuarantineError, match="0 batches begin with 'none'"):
        export_quarantine(home.settings, Asked(batch="none"), file)
    assert file.read_bytes() == before

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transfergate.steps.quarantine._told", full)
    with pytest.raises(QuarantineError, match=r"cannot be written \(No space left on device\)"):
        export_quarantine(home.settings, Asked(), file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("transfergate.storage.ArtefactStore.read", broken)
    with pytest.raises(QuarantineError, match=r"the quarantine cannot be read .*Input/output"):
        export_quarantine(home.settings, Asked(), file)
    assert file.read_bytes() == before
