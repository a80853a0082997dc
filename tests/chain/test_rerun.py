"""A second run of everything changes no artefact and says that nothing was new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from transfergate import steps
from transfergate.settings import Settings


def _tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "data_docs" not in path.parts
    }


def test_second_run_changes_no_byte_and_says_so(
    bars: pd.DataFrame,
    tiny_settings: Callable[..., Settings],
    run_chain: Callable[[Settings], dict[str, Any]],
) -> None:
    settings = tiny_settings("rerun", bars)
    first = run_chain(settings)
    assert first["features"]["created"] is True
    assert first["results"][0]["status"] == "trained", first["results"][0]["reason"]
    before = _tree(settings.artefact_root)
    second = run_chain(settings)
    assert _tree(settings.artefact_root) == before
    assert second["load"]["already_loaded"] is True
    assert second["features"]["created"] is False
    assert second["foundation"]["registered"] is False
    assert [result["already"] for result in second["results"]] == [True]
    assert second["judged"]["evaluation_id"] == first["judged"]["evaluation_id"]
    assert second["judged"]["verdicts"] == first["judged"]["verdicts"]
    assert second["promoted"]["promoted"] == []


def test_new_sessions_extend_the_record_and_never_rewrite_it(
    bars: pd.DataFrame,
    tiny_settings: Callable[..., Settings],
    run_chain: Callable[[Settings], dict[str, Any]],
) -> None:
    dates = sorted(bars["session_date"].unique())
    settings = tiny_settings("grow", bars[bars["session_date"].isin(dates[:-40])])
    first = run_chain(settings)
    recipe = first["results"][0]["recipe"]
    ledger = settings.artefact_root / "ledger" / recipe
    before = _tree(ledger)
    steps.promote(settings, "TGT", first["results"][0]["candidate"], "test", "to be scored")
    settings = tiny_settings("grow", bars)
    second = run_chain(settings)
    after = _tree(ledger)
    assert second["results"][0]["recipe"] == recipe
    assert second["results"][0]["new_folds"] >= 1
    assert before.items() <= after.items()
    assert len(after) > len(before)
    _champion_is_scored_again_alike(settings, ledger, second["results"][0])


def _champion_is_scored_again_alike(
    settings: Settings, ledger: Path, result: dict[str, Any]
) -> None:
    """A champion that came after the fine-tuning is scored when that is found done."""
    rows = sorted(ledger.glob("TGT/champion@*/*.parquet"))
    assert len(rows) >= 2, "its own kept folds, and those after it"
    before = _tree(ledger)
    rows[0].unlink()
    again = steps.finetune_ticker(settings, result["foundation_version"], "TGT")
    assert again["already"] is True
    assert _tree(ledger) == before
