"""Foundations on files of bars: what is left out, what is back-tested, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from transfergate import steps
from transfergate.errors import FoundationRefused
from transfergate.registry import Registry
from transfergate.registry.tracking import FOUNDATION_MODEL
from transfergate.settings import (
    CurriculumStage,
    MarketParams,
    OptimiserParams,
    PretrainParams,
    Settings,
)
from transfergate.steps.pretraining import publish, read_foundation
from transfergate.storage import ArtefactStore, Snapshot
from transfergate.transfer.bundles import read_weights, sha256, weights_bytes

SHORT = OptimiserParams(
    n_updates=6, n_paths=2, path_sessions=20, burn_in_sessions=6, tail_sessions=4, n_validations=2
)


@pytest.fixture
def snapshot(published: tuple[Settings, str]) -> Callable[..., tuple[Settings, str]]:
    """Make settings of the module's installation, and the id of its snapshot."""
    settings, snapshot_id = published

    def make(**changes: Any) -> tuple[Settings, str]:
        return settings.model_copy(update=changes), snapshot_id

    return make


def registered(settings: Settings, version: str) -> bool:
    registry = Registry(ArtefactStore(settings.artefact_root), settings.tracking_uri)
    return registry.tracking.number(FOUNDATION_MODEL, version) is not None


def test_a_source_left_out_is_never_opened_in_training_and_back_tested_apart(
    snapshot: Callable[..., tuple[Settings, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = PretrainParams(
        optimiser=SHORT,
        holdout_tickers=("CCC",),
        curriculum=(
            CurriculumStage(name="all"),
            CurriculumStage(name="close", tickers=("BBB",)),
        ),
        admit_constant=True,
    )
    settings, snapshot_id = snapshot(pretrain=params)
    opened: list[str] = []
    table = Snapshot.table

    def watched(self: Snapshot, ticker: str) -> Any:
        opened.append(ticker)
        return table(self, ticker)

    monkeypatch.setattr(Snapshot, "table", watched)
    version = steps.pretrain_foundation(settings, snapshot_id)
    assert set(opened) == {"AAA", "BBB"}
    store = ArtefactStore(settings.artefact_root)
    manifest = read_foundation(store, version)
    assert (manifest["sources"], manifest["holdout"]) == (["AAA", "BBB"], ["CCC"])
    for checkpoint in manifest["checkpoints"]:
        assert [stage["tickers"] for stage in checkpoint["stages"]] == [["AAA", "BBB"], ["BBB"]]
        assert [stage["updates"] for stage in checkpoint["stages"]] == [3, 3]
    assert not list(store.keys("work"))
    report = steps.backtest_foundation(settings, version)
    assert {"AAA", "BBB", "CCC"} == set(opened)
    assert len(report["folds"]) == len(manifest["checkpoints"]) - 1
    for row in report["folds"]:
        assert row["sharpe"] is not None
        assert row["holdout_sharpe"] is not None
        assert row["first"] > manifest["checkpoints"][0]["train_last_session"]
    assert report["holdout_mean_sharpe"] == pytest.approx(
        sum(row["holdout_sharpe"] for row in report["folds"]) / len(report["folds"])
    )
    assert store.read_json(f"backtests/{version}.json") == report
    result = steps.register_foundation(settings, version)
    assert result["holdout"] == ["CCC"]
    assert result["holdout_sharpe"] == report["holdout_mean_sharpe"]
    assert registered(settings, version)


def test_settings_of_pretraining_make_another_foundation(
    snapshot: Callable[..., tuple[Settings, str]],
) -> None:
    """All of them are in the recipe, so nothing is mistaken for what was trained otherwise."""
    settings, snapshot_id = snapshot(pretrain=PretrainParams(optimiser=SHORT))
    versions = {steps.pretrain_foundation(settings, snapshot_id)}
    for change in (
        {"holdout_tickers": ("AAA",)},
        {"curriculum": (CurriculumStage(name="b", tickers=("BBB",)),)},
        {"adversary": settings.pretrain.adversary.model_copy(update={"strength": 0.5})},
        {"regularisation": settings.pretrain.regularisation.model_copy(update={"dropout": 0.2})},
    ):
        other = settings.model_copy(
            update={"pretrain": settings.pretrain.model_copy(update=change)}
        )
        versions.add(steps.pretrain_foundation(other, snapshot_id))
    assert len(versions) == 5


def test_a_foundation_that_never_trades_is_not_registered(
    snapshot: Callable[..., tuple[Settings, str]],
) -> None:
    """Costs of 5 % a trade teach it to stay flat."""
    sizes = SHORT.model_copy(update={"n_updates": 40, "learning_rate": 0.05, "n_validations": 1})
    dear = {"market": MarketParams(cost_bps=500.0)}
    settings, snapshot_id = snapshot(pretrain=PretrainParams(optimiser=sizes), **dear)
    version = steps.pretrain_foundation(settings, snapshot_id)
    with pytest.raises(FoundationRefused, match=r"flat by construction: .* now always flat"):
        steps.register_foundation(settings, version)
    assert not registered(settings, version)
    admitted = PretrainParams(optimiser=sizes, admit_constant=True)
    settings, _ = snapshot(pretrain=admitted, **dear)
    version = steps.pretrain_foundation(settings, snapshot_id)
    result = steps.register_foundation(settings, version)
    assert result["collapsed_checkpoints"] >= 1
    assert registered(settings, version)


def test_a_foundation_with_a_weight_that_is_no_number_is_not_registered(
    snapshot: Callable[..., tuple[Settings, str]],
) -> None:
    settings, snapshot_id = snapshot(pretrain=PretrainParams(optimiser=SHORT, admit_constant=True))
    store = ArtefactStore(settings.artefact_root)
    manifest = read_foundation(store, steps.pretrain_foundation(settings, snapshot_id))
    weights = read_weights(store, f"foundations/{manifest['version']}/weights.safetensors")
    weights["head.output"][1, 0, 0] = math.nan
    content = weights_bytes(weights)
    broken = {**manifest, "version": "b" * 16, "weights_sha256": sha256(content)}
    publish(store, f"foundations/{'b' * 16}", broken, "foundation.json", content)
    name = manifest["checkpoints"][1]["name"]
    with pytest.raises(FoundationRefused, match=f"not finite: the weights of {name} "):
        steps.register_foundation(settings, "b" * 16)
    assert not registered(settings, "b" * 16)
    report = store.read_json(f"backtests/{'b' * 16}.json")
    assert [row["sharpe"] is None for row in report["folds"]].count(True) == 1
