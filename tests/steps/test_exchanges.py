"""Each ticker is judged by its own exchange's sessions, special sessions included."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfergate import steps
from transfergate.calendars import early_closes, exchange_sessions
from transfergate.errors import BarsRejected
from transfergate.settings import Settings
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import read_parquet

FIRST, LAST = date(2019, 1, 2), date(2019, 3, 29)
SATURDAY = date(2019, 2, 2)


def sessions(exchange: str) -> list[date]:
    return list(exchange_sessions(exchange, FIRST, LAST))


def rows(ticker: str, days: list[date]) -> pd.DataFrame:
    close = [50 + 0.01 * i for i in range(len(days))]
    prices = {name: close for name in ("open", "high", "low", "close")}
    return pd.DataFrame({"ticker": ticker, "session_date": days, **prices, "volume": 1e6})


def installation(home: Path, frame: pd.DataFrame, **more: Any) -> Settings:
    folder = home / "vendor"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "bars.csv", index=False)
    if "instruments" in more:
        (folder / "instruments.csv").write_text(more["instruments"])
        more["instruments"] = "instruments.csv"
    source = {"kind": "files", "root": str(folder), "prices": "adjusted", **more}
    return Settings(home=home, sources={"files": source})


def ingest(settings: Settings, **asked: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    plan = steps.plan_ingest(settings, source="files", **asked)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch_id = steps.validate_bars(settings, plan, landing)
    steps.load_bars(settings, plan, batch_id)
    store = ArtefactStore(settings.artefact_root)
    rows = read_parquet(store.read(f"batches/{batch_id}/quarantine.parquet")).to_pylist()
    return store.read_json(f"batches/{batch_id}/validation.json"), rows


def warnings(report: dict[str, Any]) -> dict[str, int]:
    return {item["rule"]: item["rows"] for item in report["expectations"] if not item["passed"]}


INSTRUMENTS = "ticker,exchange\nINFY,XBOM\nBTC,24/7\n"


def test_exchanges_that_close_on_other_days_stand_in_one_batch(tmp_path: Path):
    frame = pd.concat([
        rows("IBM", sessions("XNYS")), rows("INFY", sessions("XBOM")), rows("BTC", sessions("24/7"))
    ])  # fmt: skip
    report, quarantined = ingest(installation(tmp_path, frame, instruments=INSTRUMENTS))
    assert quarantined == []
    assert set(warnings(report)) == set()
    assert [(m["exchange"], m["tickers"]) for m in report["exchanges"]] == [
        ("XNYS", 1), ("24/7", 1), ("XBOM", 1)
    ]  # fmt: skip
    # By the source's calendar alone the same rows are off it.
    lenient = {"max_bad_row_frac": 0.5, "max_bad_ticker_frac": 0.5}
    _, quarantined = ingest(installation(tmp_path / "one", frame, quality=lenient))
    assert {row["ticker"] for row in quarantined} == {"INFY", "BTC"}
    assert {tuple(row["reasons"]) for row in quarantined} == {("exchange_session",)}


def test_a_missing_session_is_one_of_the_tickers_own_exchange(tmp_path: Path):
    days = sessions("24/7")
    days.remove(SATURDAY)
    frame = pd.concat([rows("IBM", sessions("XNYS")), rows("BTC", days)])
    settings = installation(
        tmp_path, frame, instruments=INSTRUMENTS, quality={"max_missing_session_frac": 0.0}
    )
    report, _ = ingest(settings)
    assert warnings(report) == {"gap": 1}


def test_a_stale_exchange_is_not_hidden_by_a_fresh_one(tmp_path: Path):
    frame = pd.concat([rows("IBM", sessions("XNYS")), rows("INFY", sessions("XBOM")[:-12])])
    settings = installation(tmp_path, frame, instruments=INSTRUMENTS)
    with pytest.raises(BarsRejected, match=r"fresh_XBOM.*2019-03"):
        ingest(settings, end="2019-03-29")


def test_an_exchange_that_there_is_not_is_refused_by_name(tmp_path: Path):
    settings = installation(
        tmp_path, rows("IBM", sessions("XNYS")), instruments="ticker,exchange\nIBM,NYSE-X\n"
    )
    with pytest.raises(BarsRejected, match=r"no calendar 'NYSE-X'.*exchange of IBM"):
        ingest(settings)


def special(holders: int, *, of: int = 6) -> pd.DataFrame:
    days = sessions("XBOM")
    return pd.concat(
        rows(f"T{i}", sorted([*days, SATURDAY] if i < holders else days)) for i in range(of)
    )


def test_a_closed_day_that_nearly_all_tickers_traded_is_a_session(tmp_path: Path):
    settings = installation(tmp_path, special(5), calendar="XBOM")
    report, quarantined = ingest(settings)
    assert quarantined == []
    assert report["exchanges"][0]["special_sessions"] == {"2019-02-02": "5 of 6 tickers"}
    assert warnings(report)["special_session"] == 5
    # Later alone: a batch with a single ticker's late bar of that day is believed.
    late = rows("T5", [SATURDAY])
    report, quarantined = ingest(installation(tmp_path, late, calendar="XBOM"))
    assert quarantined == []
    assert report["exchanges"][0]["special_sessions"] == {"2019-02-02": "accepted before"}


@pytest.mark.parametrize(("holders", "of"), [(4, 6), (4, 4), (1, 6)])
def test_a_few_bars_on_a_closed_day_wait_in_quarantine(tmp_path: Path, holders: int, of: int):
    _, quarantined = ingest(installation(tmp_path, special(holders, of=of), calendar="XBOM"))
    assert [row["reasons"] for row in quarantined] == [["exchange_session"]] * holders
    declared = installation(
        tmp_path / "d", special(holders, of=of), calendar="XBOM", special_sessions=(SATURDAY,)
    )
    report, quarantined = ingest(declared)
    assert quarantined == []
    assert report["exchanges"][0]["special_sessions"] == {"2019-02-02": "declared"}


def test_a_market_that_trades_every_weekend_has_another_calendar(tmp_path: Path):
    frame = pd.concat(rows(f"C{i}", sessions("24/7")) for i in range(6))
    with pytest.raises(BarsRejected, match="bad_tickers"):
        ingest(installation(tmp_path, frame))
    _, quarantined = ingest(installation(tmp_path / "own", frame, calendar="24/7"))
    assert quarantined == []


def test_an_early_close_is_a_normal_session_and_stands_in_the_report(tmp_path: Path):
    assert early_closes("XNYS", date(2019, 11, 1), date(2019, 12, 31)) == (
        date(2019, 11, 29), date(2019, 12, 24)
    )  # fmt: skip
    days = list(exchange_sessions("XNYS", date(2019, 11, 1), date(2019, 12, 31)))
    report, quarantined = ingest(installation(tmp_path, rows("IBM", days)))
    assert quarantined == []
    assert report["exchanges"][0]["early_closes"] == ["2019-11-29", "2019-12-24"]
    assert warnings(report) == {}


@pytest.mark.parametrize("wrong", ["0001-01-01", "1066-10-14", "2099-01-02", "9999-12-31"])
def test_a_date_that_no_calendar_reaches_waits_in_quarantine(tmp_path: Path, wrong: str):
    frame = rows("IBM", sessions("XNYS")).astype({"session_date": str})
    frame.loc[7, "session_date"] = wrong
    report, quarantined = ingest(installation(tmp_path, frame))
    assert report["accepted"] == len(frame) - 1
    (row,) = quarantined
    assert str(row["session_date"]) == wrong
    assert any(reason.startswith("exchange_session") for reason in row["reasons"])
