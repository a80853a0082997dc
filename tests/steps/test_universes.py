from __future__ import annotations

import logging
from pathlib import Path

import pytest

from transfergate import steps
from transfergate.errors import SourceError
from transfergate.orchestration import retrain
from transfergate.settings import Settings
from transfergate.storage import json_bytes, open_store

HEADER = "ticker,session_date,open,high,low,close,volume\n"


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    place = tmp_path / "bars"
    place.mkdir()
    rows = [f"{ticker},2020-01-02,1,1,1,1,1\n" for ticker in ("AAA", "BBB", "OLD")]
    (place / "a.csv").write_text(HEADER + "".join(rows))
    return place


def describe(bars: Path, universe: str, rest: str = "") -> None:
    (bars / "source.toml").write_text(f"{rest}\n[universe]\n{universe}\n")


def ask(bars: Path, home: Path, **named: list[str]) -> None:
    steps.require_universe(Settings(home=home), source="files", data=str(bars), **named)


def test_a_source_or_target_without_bars_is_named_beside_those_there_are(bars, tmp_path):
    describe(bars, 'sources = ["AAA", "CCC"]\ntargets = ["BBB", "DDD"]')
    with pytest.raises(SourceError, match=r"names CCC, DDD, .* there are AAA, BBB, OLD: correct"):
        ask(bars, tmp_path)
    with pytest.raises(SourceError, match="names DDD,"):
        ask(bars, tmp_path, sources=["AAA"])
    ask(bars, tmp_path, sources=["AAA"], targets=["BBB"])


def test_an_index_without_bars_is_refused_too(bars, tmp_path):
    describe(bars, 'index = "^GSPC"')
    with pytest.raises(SourceError, match=r"names \^GSPC,"):
        ask(bars, tmp_path)


def test_nobody_named_is_nothing_to_refuse(bars, tmp_path):
    ask(bars, tmp_path)
    ask(bars, tmp_path, targets=["OLD"])


def test_a_ticker_goes_by_the_name_that_the_map_of_symbols_gives_it(bars, tmp_path):
    (bars / "symbols.csv").write_text("symbol,ticker,first_date,last_date\nOLD,NEW,,\n")
    describe(bars, 'targets = ["NEW"]', 'symbols = "symbols.csv"')
    ask(bars, tmp_path)
    with pytest.raises(SourceError, match=r"names OLD, .* there are AAA, BBB, NEW:"):
        ask(bars, tmp_path, targets=["OLD"])


def test_a_ticker_of_the_last_snapshot_need_not_be_delivered_again(bars, tmp_path):
    manifest = {"source": "files", "tickers": ["GONE"], "index": ["^X"]}
    open_store(Settings(home=tmp_path)).write_once(
        "snapshots/abc/manifest.json", json_bytes(manifest)
    )
    ask(bars, tmp_path, targets=["GONE"], sources=["^X"])
    with pytest.raises(SourceError, match=r"names AWAY, .* there are AAA, BBB, GONE, OLD, \^X:"):
        ask(bars, tmp_path, targets=["AWAY", "GONE"])


def test_ingest_itself_goes_on_and_says_so(bars, tmp_path, caplog):
    describe(bars, 'sources = ["AAA", "CCC"]')
    with caplog.at_level(logging.WARNING):
        plan = steps.plan_ingest(Settings(home=tmp_path), source="files", data=str(bars))
    assert plan["ticker_batches"] == [["AAA", "BBB", "OLD"]]
    assert "no bars of CCC in this delivery" in caplog.text


def test_retrain_refuses_before_anything_starts(bars, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(retrain, "interruptible", lambda: None)
    arguments = ["--source", "files", "--data", str(bars), "--sources", "AAA", "--targets", "XYZ"]
    assert retrain.main(arguments) == 2
    assert "names XYZ" in capsys.readouterr().err
    assert not (tmp_path / "home" / "airflow").exists()


def test_tickers_that_differ_in_case_alone_are_told_of(bars, tmp_path, caplog):
    (bars / "b.csv").write_text(HEADER + "aaa,2020-01-03,1,1,1,1,1\n")
    with caplog.at_level(logging.WARNING):
        plan = steps.plan_ingest(Settings(home=tmp_path), source="files", data=str(bars))
    assert plan["ticker_batches"] == [["AAA", "BBB", "OLD", "aaa"]]
    assert "AAA and aaa; each is taken as a ticker of its own" in caplog.text
