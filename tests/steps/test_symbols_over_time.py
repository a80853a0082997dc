"""A received symbol becomes the ticker that it stood for on its session, before it is judged."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfergate import steps
from transfergate.calendars import exchange_sessions
from transfergate.errors import BarsRejected
from transfergate.settings import Settings
from transfergate.steps.bars import read_bars
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import read_parquet
from transfergate.storage.landing import read_landed_bars, read_landed_reference

DAYS = exchange_sessions("XNYS", date(2014, 1, 2), date(2014, 3, 31))
CHANGE = DAYS[30]
"""First session on which HINDALC0 is written as HINDALCO, and GOOG becomes another class."""


def rows(symbol: str, days: tuple[date, ...], level: float = 50.0) -> pd.DataFrame:
    close = [level + 0.01 * i for i in range(len(days))]
    prices = {name: close for name in ("open", "high", "low", "close")}
    return pd.DataFrame({"ticker": symbol, "session_date": days, **prices, "volume": 1e6})


def installation(home: Path, frame: pd.DataFrame, symbols: str, **more: Any) -> Settings:
    folder = home / "vendor"
    folder.mkdir(parents=True)
    frame.to_csv(folder / "bars.csv", index=False)
    (folder / "symbols.csv").write_text("symbol,ticker,first_date,last_date\n" + symbols)
    (folder / "instruments.csv").write_text("ticker,cost_bps\nHINDALCO,7\n")
    source = {"kind": "files", "root": str(folder), "symbols": "symbols.csv", "prices": "adjusted",
              "instruments": "instruments.csv", **more}  # fmt: skip
    return Settings(home=home, sources={"files": source})


def ingest(settings: Settings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    plan = steps.plan_ingest(settings, source="files")
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    loaded = steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    store = ArtefactStore(settings.artefact_root)
    loaded["landing"] = landing
    quarantine = store.read(f"batches/{loaded['batch_id']}/quarantine.parquet")
    return loaded, read_parquet(quarantine).to_pylist()


def test_a_renamed_ticker_is_one_series(tmp_path: Path):
    old, new = rows("HINDALC0", DAYS[:30]), rows("HINDALCO", DAYS[30:])
    symbols = f"HINDALC0,HINDALCO,,{DAYS[29]}\nHINDALCO,HINDALCO,{CHANGE},\n"
    settings = installation(tmp_path, pd.concat([old, new, rows("ITC", DAYS)]), symbols)
    loaded, quarantined = ingest(settings)
    assert (quarantined, loaded["tickers"]) == ([], 2)
    bars = read_bars(settings, "HINDALCO", source="files")
    assert bars["session_date"].to_pylist() == list(DAYS)
    report = ArtefactStore(settings.artefact_root).read_json(
        f"batches/{loaded['batch_id']}/validation.json"
    )
    coverage = [item for item in report["expectations"] if item["rule"] == "ticker_coverage"]
    assert coverage[0]["passed"]
    (key,) = loaded["landing"]
    store = ArtefactStore(settings.artefact_root)
    landed, reference = read_landed_bars(store, key), read_landed_reference(store, key)
    assert sorted(set(landed["ticker"].to_pylist())) == ["HINDALC0", "HINDALCO", "ITC"]
    assert reference.instruments["ticker"].to_pylist() == ["HINDALCO"]
    again, _ = ingest(settings)
    assert again["already_loaded"]


def test_a_session_that_no_entry_covers_waits_under_its_symbol(tmp_path: Path):
    # FB was another company until DAYS[9]: more bad rows than any ticker's limit allows.
    frame = pd.concat([rows("FB", DAYS), rows("ITC", DAYS, 20.0), rows("XOM", DAYS, 90.0)])
    settings = installation(tmp_path, frame, f"FB,FB,{DAYS[10]},\n")
    loaded, quarantined = ingest(settings)
    assert [row["reasons"] for row in quarantined] == [["symbol_not_valid"]] * 10
    assert {(row["symbol"], row["ticker"]) for row in quarantined} == {("FB", None)}
    assert loaded["loaded"] == 3 * len(DAYS) - 10
    assert read_bars(settings, "FB", source="files")["session_date"][0].as_py() == DAYS[10]


def test_one_symbol_is_two_tickers_in_turn_and_a_collision_breaks_uniqueness(tmp_path: Path):
    # Class A was GOOG and is GOOGL; class C was GOOCV for four sessions and is GOOG.
    frame = pd.concat([
        rows("GOOG", DAYS, 100.0), rows("GOOCV", DAYS[26:30], 70.0), rows("GOOGL", DAYS[29:], 40.0)
    ])  # fmt: skip
    symbols = (
        f"GOOG,GOOGL,,{DAYS[29]}\nGOOG,GOOG,{CHANGE},\n"
        f"GOOCV,GOOG,{DAYS[26]},{DAYS[29]}\nGOOGL,GOOGL,{DAYS[29]},\n"
    )
    lenient = {"max_bad_row_frac": 0.1}
    _, quarantined = ingest(installation(tmp_path, frame, symbols, quality=lenient))
    # GOOGL's first row meets GOOG's last one as class A: neither is believed.
    assert [(row["ticker"], row["symbol"], row["session_date"]) for row in quarantined] == [
        ("GOOGL", "GOOG", DAYS[29]), ("GOOGL", "GOOGL", DAYS[29])
    ]  # fmt: skip
    assert {reason for row in quarantined for reason in row["reasons"]} == {"unique_session"}
    bars = read_bars(Settings(home=tmp_path), "GOOG", source="files")
    assert bars["session_date"].to_pylist() == list(DAYS[26:])
    assert bars["close"][0].as_py() == 70.0


def test_a_map_on_file_goes_on_and_a_contradiction_with_it_is_refused(tmp_path: Path):
    symbols = f"OLD,NEW,,{DAYS[29]}\n"
    ingest(installation(tmp_path, rows("OLD", DAYS[:20]), symbols))
    vendor = tmp_path / "vendor"
    more = Settings(home=tmp_path, sources={"files": {"kind": "files", "root": str(vendor)}})
    (vendor / "symbols.csv").unlink()
    (vendor / "instruments.csv").unlink()
    rows("OLD", DAYS[20:32]).to_csv(vendor / "bars.csv", index=False)
    loaded, quarantined = ingest(more)
    assert (loaded["loaded"], len(quarantined)) == (10, 2)
    assert read_bars(more, "NEW", source="files").num_rows == 30
    (vendor / "symbols.csv").write_text(
        f"symbol,ticker,first_date,last_date\nOLD,OTHER,{DAYS[29]},\n"
    )
    torn = Settings(
        home=tmp_path,
        sources={"files": {"kind": "files", "root": str(vendor), "symbols": "symbols.csv"}},
    )
    with pytest.raises(BarsRejected, match=f"OLD for NEW and for OTHER on {DAYS[29]}"):
        ingest(torn)


def test_leans_files_say_themselves_who_had_a_symbol(tmp_path: Path):
    root = tmp_path / "lean"
    for name in ("daily", "map_files"):
        (root / name).mkdir(parents=True)
    for symbol in ("goog", "goocv"):
        days = DAYS[26:30] if symbol == "goocv" else DAYS
        text = "".join(f"{day:%Y%m%d} 00:00,500000,510000,490000,500000,100\n" for day in days)
        with zipfile.ZipFile(root / f"daily/{symbol}.zip", "w") as packed:
            packed.writestr(f"{symbol}.csv", text)
    first, last, change = DAYS[3], DAYS[29], DAYS[26]
    maps = {
        "googl": f"{first:%Y%m%d},goog,Q\n{last:%Y%m%d},goog,Q\n20501231,googl,Q\n",
        "goog": f"{change:%Y%m%d},goocv,Q\n{last:%Y%m%d},goocv,Q\n20501231,goog,Q\n",
    }
    for name, text in maps.items():
        (root / f"map_files/{name}.csv").write_text(text)
    source = {"kind": "files", "root": str(root), "prices": "raw",
              "formats": [{"pattern": "daily/*.zip", "kind": "lean"}]}  # fmt: skip
    settings = Settings(home=tmp_path, sources={"files": source})
    loaded, quarantined = ingest(settings)
    assert [(row["symbol"], row["reasons"]) for row in quarantined] == [
        ("GOOG", ["symbol_not_valid"])
    ] * 3
    days = {t: read_bars(settings, t, source="files")["session_date"].to_pylist()
            for t in ("GOOG", "GOOGL")}  # fmt: skip
    assert days == {"GOOG": list(DAYS[26:]), "GOOGL": list(DAYS[3:30])}
    assert loaded["new_symbols"] == 4
