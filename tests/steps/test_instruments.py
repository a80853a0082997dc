"""What a source trades: listed as of a moment, in a snapshot's manifest, and what trading costs."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfergate import steps
from transfergate.calendars import exchange_sessions
from transfergate.cli import main
from transfergate.errors import SourceError
from transfergate.settings import FeatureParams, MarketParams, Settings
from transfergate.steps.instruments import instruments
from transfergate.steps.pretraining import load_panel
from transfergate.storage import ArtefactStore, Snapshot, open_snapshot
from transfergate.transfer.arms import ArmRun
from transfergate.transfer.recipe import foundation_document
from transfergate.transfer.scoring import ticker_market

DAYS = exchange_sessions("XNYS", date(2019, 9, 3), date(2020, 3, 31))
HEADER = "ticker,name,sector,exchange,currency,index_ticker,cost_bps\n"


def installation(home: Path, listed: str) -> Settings:
    folder = home / "vendor"
    folder.mkdir(parents=True, exist_ok=True)
    close = [50 + 0.1 * (i % 7) + 0.01 * i for i in range(len(DAYS))]
    prices = {name: close for name in ("open", "high", "low", "close")}
    bars = pd.DataFrame({"session_date": DAYS, **prices, "volume": 1e6})
    both = pd.concat([bars.assign(ticker="IBM"), bars.iloc[5:].assign(ticker="AAPL")])
    both.to_csv(folder / "bars.csv", index=False)
    (folder / "instruments.csv").write_text(HEADER + listed)
    source = {"kind": "files", "root": str(folder), "instruments": "instruments.csv",
              "currency": "USD", "prices": "adjusted"}  # fmt: skip
    features = FeatureParams(names=("return_1", "momentum"), z_window=20)
    return Settings(home=home, sources={"files": source}, features=features,
                    market=MarketParams(cost_bps=5.0))  # fmt: skip


def publish(settings: Settings) -> Snapshot:
    plan = steps.plan_ingest(settings, source="files")
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    built = steps.build_features(settings, "files")
    return open_snapshot(ArtefactStore(settings.artefact_root), built["snapshot_id"])


def test_instruments_are_listed_as_they_were_known(tmp_path: Path, monkeypatch, capsys):
    settings = installation(tmp_path, "AAPL,Apple,Technology,,,^NDX,\nIBM,IBM,,XNYS,USD,,12\n")
    snapshot = publish(settings)
    publish(installation(tmp_path, "AAPL,Apple,Technology,,,^NDX,3\nIBM,IBM,,XNYS,USD,,12\n"))
    apple, ibm = instruments(settings, source="files")["instruments"]
    assert (apple["cost_bps"], apple["exchange"], apple["currency"]) == (3.0, "XNYS", "USD")
    assert (apple["first_session"], ibm["first_session"]) == (str(DAYS[5]), str(DAYS[0]))
    assert (ibm["last_session"], ibm["bars"]) == (str(DAYS[-1]), len(DAYS))
    before = instruments(settings, source="files", as_of=snapshot.manifest["as_of"])
    assert before["instruments"][0]["cost_bps"] == 5.0  # the market's: nothing was said yet
    with pytest.raises(SourceError, match="as of 2001-01-01"):
        instruments(settings, source="files", as_of="2001-01-01")
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    assert main(["instruments", "--source", "files", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["instruments"]) == 2
    assert main(["instruments", "--source", "files"]) == 0
    assert "Technology" in capsys.readouterr().out


def test_a_snapshot_holds_its_instruments_and_another_cost_is_another_snapshot(tmp_path: Path):
    before = publish(installation(tmp_path, "IBM,IBM,,,,,12\n"))
    assert before.manifest["instruments"] == {"IBM": {"name": "IBM", "cost_bps": 12.0}}
    after = publish(installation(tmp_path, "IBM,IBM,,,,,13\n"))
    assert after.manifest["instruments"]["IBM"]["cost_bps"] == 13.0
    assert before.id != after.id
    assert before.manifest["recent"] == after.manifest["recent"]
    rebuilt = steps.rebuild_snapshot(installation(tmp_path, ""), before.id)
    assert rebuilt["identical"], rebuilt["differences"]


def test_a_tickers_own_cost_counts_in_market_and_baselines_and_the_rule_in_the_recipe(
    tmp_path: Path,
):
    settings = installation(tmp_path, "IBM,,,,,,12\nAAPL,,,,,,0\n")
    snapshot = publish(settings)
    costs: dict[str, Any] = {}
    for ticker in ("IBM", "AAPL"):
        panel = load_panel(snapshot, [ticker])
        costs[ticker] = ticker_market(panel, settings.market).cost_rate
    # A cost of 0 is no cost: free trading is for replications, by the market's settings.
    assert costs == pytest.approx({"IBM": 12e-4, "AAPL": 5e-4})
    document = foundation_document(settings, snapshot, {})
    assert document["costs"] == "cost_bps of the instrument, else of the market"
    assert "costs" in ArmRun.__dataclass_fields__
