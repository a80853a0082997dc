"""Crude oil settled at -37.63 on 2020-04-20: the bars go through features and panel as declared."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
import torch

from transfergate import steps
from transfergate.calendars import exchange_sessions
from transfergate.settings import FeatureParams, Settings
from transfergate.steps.pretraining import load_panel
from transfergate.storage import ArtefactStore, open_snapshot

DAYS = exchange_sessions("XNYS", date(2019, 6, 3), date(2020, 6, 30))
FALL = DAYS.index(date(2020, 4, 20))
# open, high, low, close of CL=F from 2020-04-17 to 2020-04-22.
CRUDE = [
    (19.66, 20.51, 17.31, 18.27),
    (17.73, 17.85, -40.32, -37.63),
    (-14.00, 13.86, -16.74, 10.01),
    (11.37, 16.18, 10.26, 13.78),
]


def rows(ticker: str) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.01, len(DAYS))))
    bars = pd.DataFrame({"ticker": ticker, "session_date": DAYS})
    bars["open"] = close * np.exp(rng.normal(0, 0.002, len(DAYS)))
    bars["close"], bars["volume"] = close, 1e5
    bars["high"] = bars[["open", "close"]].max(axis=1)
    bars["low"] = bars[["open", "close"]].min(axis=1)
    return bars


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("crude")
    crude = rows("CL=F")
    for i, prices in enumerate(CRUDE, FALL - 1):
        crude.loc[i, ["open", "high", "low", "close"]] = prices
    folder = home / "vendor"
    folder.mkdir()
    pd.concat([crude, rows("AAA")]).to_csv(folder / "bars.csv", index=False)
    source = {"kind": "files", "root": str(folder), "negative_prices": ("CL=F",),
              "prices": "adjusted"}  # fmt: skip
    settings = Settings(
        home=home,
        sources={"files": source},
        features=FeatureParams(z_window=20),
    )
    plan = steps.plan_ingest(settings, source="files")
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    loaded = steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    assert (loaded["quarantined"], loaded["loaded"]) == (0, 2 * len(DAYS))
    return settings


def test_features_of_a_negative_price_are_finite_and_its_return_keeps_its_sign(settings):
    built = steps.build_features(settings, "files")
    snapshot = open_snapshot(ArtefactStore(settings.artefact_root), built["snapshot_id"])
    table = snapshot.table("CL=F").to_pandas()
    assert table["close"].min() == -37.63
    around = table.iloc[FALL - 1 :].drop(columns="session_date")
    assert np.isfinite(around.to_numpy(dtype=float)).all()
    assert table["return_1"].iloc[FALL] < -4
    assert table["return_1"].iloc[FALL + 1] > 0


def test_the_panel_measures_gains_from_the_size_of_the_price(settings):
    built = steps.build_features(settings, "files")
    snapshot = open_snapshot(ArtefactStore(settings.artefact_root), built["snapshot_id"])
    panel = load_panel(snapshot, ["CL=F", "AAA"])
    gains = torch.stack([panel.overnight[0], panel.intraday[0]])[:, FALL : FALL + 3]
    opened = [17.73 / 18.27 - 1, (-14.00 + 37.63) / 37.63, 11.37 / 10.01 - 1]
    closed = [(-37.63 - 17.73) / 17.73, (10.01 + 14.00) / 14.00, 13.78 / 11.37 - 1]
    torch.testing.assert_close(gains, torch.tensor([opened, closed], dtype=torch.float64))
    assert torch.isfinite(panel.overnight).all()
    assert torch.isfinite(panel.features).all()
