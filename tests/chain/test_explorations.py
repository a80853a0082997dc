"""What is found out beside a verdict: the sizing curve leaves no trace, importance is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfergate import cli, steps
from transfergate.errors import SettingsError
from transfergate.settings import Settings
from transfergate.steps.sizing import size_ticker
from transfergate.storage import ArtefactStore


def contents(settings: Settings) -> dict[str, bytes]:
    store = ArtefactStore(settings.artefact_root)
    return {key: store.read(key) for key in store.keys("")}


def check_importance(settings: Settings, evaluation: str, report: Path) -> None:
    """Every feature has its bar in the report, from what the folds recorded."""
    found = steps.summary(settings, evaluation)["tickers"]["TGT"]["importance"]
    store = ArtefactStore(settings.artefact_root)
    records = [store.read_json(k) for k in store.keys("ledger") if k.endswith("fold.json")]
    assert found["folds"] == len(records) == 3
    for row in found["features"]:
        drops = [
            part["drop_sharpe"]
            for record in records
            for part in record["importance"]["features"]
            if part["name"] == row["name"]
        ]
        assert row["drop_sharpe"] == pytest.approx(sum(drops) / 3)
        assert f">{row['name']}</th>" in report.read_text()


@pytest.fixture
def pretrained(tiny_settings: Callable[..., Settings], bars: pd.DataFrame) -> tuple[Settings, str]:
    settings = tiny_settings("sizing", bars)
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    made = steps.build_features(settings, plan["source"])
    return settings, steps.pretrain_foundation(settings, made["snapshot_id"])


def test_only_judged_test_windows_are_scored_and_nothing_is_written(
    pretrained: tuple[Settings, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    settings, foundation = pretrained
    asked: dict[str, Any] = {"shares": [10, 100], "tiers": ["head"], "n_seeds": 2}
    before = contents(settings)
    fresh = size_ticker(settings, foundation, "TGT", **asked)
    assert contents(settings) == before
    assert fresh["n_judged"] == 0
    with pytest.raises(SettingsError, match="none of its 3 test windows has been scored"):
        size_ticker(settings, foundation, "TGT", on="test", **asked)
    with pytest.raises(SettingsError, match="among its sources"):
        size_ticker(settings, foundation, "AAA", **asked)

    result = steps.finetune_ticker(settings, foundation, "TGT")
    assert result["status"] == "trained"
    judged = steps.judge(settings, foundation, [result])
    check_importance(settings, judged["evaluation_id"], Path(judged["report"]))
    record = contents(settings)
    later = size_ticker(settings, foundation, "TGT", **asked)
    assert later["n_judged"] > 0, "what a verdict has used may be looked at"
    assert later["n_sessions"] > fresh["n_sessions"]
    tested = size_ticker(settings, foundation, "TGT", on="test", **asked)
    assert tested["n_judged"] == tested["n_sessions"] == 60
    short, whole = tested["shares"]
    assert "sessions in the fold with the shortest history" in short["reason"]
    assert short["arms"] == {}
    assert set(whole["arms"]) == {"scratch", "head"}

    monkeypatch.setattr("transfergate.cli.sizing.settings_module.load", lambda: settings)
    page = tmp_path / "out" / "curve.html"
    given = ["sizing", "TGT", "--shares", "10,100", "--tiers", "head", "--seeds", "2"]
    assert cli.main([*given, "--html", str(page), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {**printed, "wall_s": 0} == {**later, "wall_s": 0}
    text = page.read_text()
    assert "Exploration, not a verdict" in text
    assert "too short" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert contents(settings) == record
    assert cli.main(["sizing", "TGT", "--shares", "0,10"]) == 2
