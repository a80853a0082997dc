"""A second run of everything changes no artefact and says that nothing was new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from transfergate import steps
from transfergate.evaluation.looks import Look
from transfergate.settings import RefreshParams, Settings
from transfergate.steps.refresh import _vetoes
from transfergate.storage import ArtefactStore
from transfergate.transfer.bundles import read_weights, sha256, weights_bytes


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
    parity = next(a for a in first["results"][0]["audits"] if a["name"] == "budget_parity")
    for figure in ("collapsed", "flat_in_test"):  # of every arm, fold and seed: 3 folds, 3 seeds
        assert all(0 <= n <= 9 for n in parity["figures"]["totals"][figure].values())
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
    steps.promote(
        settings, "TGT", first["results"][0]["candidate"], "test", "to be scored", force=True
    )
    settings = tiny_settings("grow", bars)
    second = run_chain(settings)
    after = _tree(ledger)
    assert second["results"][0]["recipe"] == recipe
    assert second["results"][0]["new_folds"] >= 1
    assert before.items() <= after.items()
    assert len(after) > len(before)
    _champion_is_scored_again_alike(settings, ledger, second["results"][0])
    _retrain_is_sane_within_its_limits_only(settings, second["results"][0])


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


def _retrain_is_sane_within_its_limits_only(settings: Settings, result: dict[str, Any]) -> None:
    """The veto runs the retrained bundle itself on its validation sessions."""
    store = ArtefactStore(settings.artefact_root)
    recipe, candidate = result["recipe"], result["candidate"]
    bundle = store.read_json(f"candidates/TGT/{candidate}/bundle.json")
    approval = Look(
        "TGT", recipe, 1, "c", "PROMOTE", "2010-01-04", bundle["last_session"], 60, 1, 0.1
    )
    flat, bundle = {**bundle, "flat": True}, {**bundle, "flat": False}
    assert _vetoes(settings, store, flat, approval) == ["it chose to stay flat"]

    def found(**limits: float) -> str:
        wide: dict[str, float] = {
            "min_exposure": 0.0,
            "max_exposure": 1.0,
            "max_turnover_ratio": 1e9,
            "min_validation_sharpe": -99.0,
        }
        refresh = RefreshParams.model_validate({**wide, **limits})
        changed = settings.model_copy(update={"refresh": refresh})
        return "; ".join(_vetoes(changed, store, bundle, approval))

    assert found() == ""
    assert "exposure" in found(min_exposure=0.999)
    assert "largest position" in found(max_exposure=0.5)
    assert "turnover" in found(max_turnover_ratio=1e-9)
    assert "validation Sharpe" in found(min_validation_sharpe=99.0)
    _spoil(store, bundle)
    assert "not finite" in found()


def _spoil(store: ArtefactStore, bundle: dict[str, Any]) -> None:
    key = f"candidates/TGT/{bundle['version']}/weights.safetensors"
    weights = read_weights(store, key)
    next(iter(weights.values())).view(-1)[0] = float("nan")
    content = weights_bytes(weights)
    store.replace(key, content)
    bundle["weights_sha256"] = sha256(content)
