"""Faults that would make transfer look good, planted in real small runs: each one is caught."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transfergate import steps
from transfergate.errors import SnapshotError
from transfergate.evaluation.baselines import Path as PolicyPath
from transfergate.learning import TrainingSlice
from transfergate.settings import Settings
from transfergate.steps import champion as champion_step
from transfergate.steps import finetuning
from transfergate.transfer import pretraining
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmRun
from transfergate.warehouse import features

from .conftest import market_bars, publish_features, small_settings

Change = Callable[[list[PolicyPath]], Sequence[PolicyPath]]
DRIFT = 0.005
"""Of the prices a session: every arm buys, for a fault in one that holds nothing does not show."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A home with features and a foundation, and their ids."""
    home = tmp_path_factory.mktemp("published") / "home"
    settings = small_settings(home, market_bars(drift=DRIFT))
    _, features = publish_features(settings)
    foundation = steps.pretrain_foundation(settings, features["snapshot_id"])
    return home, features["snapshot_id"], foundation


@pytest.fixture
def settings(published: tuple[Path, str, str], tmp_path: Path) -> Settings:
    """A home of its own with the same artefacts."""
    shutil.copytree(published[0], tmp_path / "home")
    return small_settings(tmp_path / "home", market_bars(drift=DRIFT))


def judged(settings: Settings, foundation: str) -> dict[str, Any]:
    """Fine-tune and judge the target: its report."""
    result = steps.finetune_ticker(settings, foundation, "TGT")
    assert result["status"] == "trained", result["reason"]
    done = steps.judge(settings, foundation, [result])
    evaluation = steps.summary(settings, done["evaluation_id"])
    # 4 checkpoints (3 folds and the refit), each of as many updates as the settings ask for
    cost, updates = evaluation["foundation"], settings.pretrain.optimiser.n_updates
    assert (cost["n_checkpoints"], cost["n_targets"]) == (4, 1)
    assert cost["updates"] == cost["updates_per_target"] == 4 * updates
    assert cost["env_steps"] == 4 * updates * 40
    report: dict[str, Any] = evaluation["tickers"]["TGT"]
    return report


def caught(report: dict[str, Any], audit: str, *words: str) -> dict[str, Any]:
    """The verdict is INVALID by this audit, and the reasons give the figures."""
    assert report["verdict"] == "INVALID", report["reasons"]
    assert report["audits"][audit]["passed"] is False, report["audits"]
    text = " ".join(report["reasons"])
    assert all(word in text for word in (audit, *words)), text
    figures: dict[str, Any] = report["audits"][audit]["figures"]
    return figures


def change_paths(monkeypatch: pytest.MonkeyPatch, arm: str, change: Change) -> None:
    """Let the real scoring of one arm end in something else."""
    real = finetuning.arm_paths

    def changed(panel: Any, run: ArmRun, *rest: Any) -> Sequence[PolicyPath]:
        paths = real(panel, run, *rest)
        return change(paths) if run.arm == arm else paths

    monkeypatch.setattr(finetuning, "arm_paths", changed)


def test_an_honest_run_passes_every_audit(
    settings: Settings, published: tuple[Path, str, str]
) -> None:
    report = judged(settings, published[2])
    assert report["verdict"] != "INVALID", report["reasons"]
    names = {"budget_parity", "leakage", "accounting", "selection", "features", "tradable_market"}
    assert set(report["audits"]) == names
    assert all(audit["passed"] for audit in report["audits"].values())
    totals = report["audits"]["budget_parity"]["figures"]["totals"]
    # 3 folds of 3 seeds and 2 choices; 4 updates of 2 paths of 20 sessions each
    assert totals["updates"] == {"finetuned": 72, "scratch": 72}
    assert totals["env_steps"] == {"finetuned": 72 * 40, "scratch": 72 * 40}
    assert report["audits"]["accounting"]["figures"]["rows"] == 3 * 20 * (3 + 3 + 4)


def test_z_scores_over_the_whole_sample_are_never_published(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole_sample(values: Any, valid: Any, window: int, clip: float) -> Any:
        known = np.where(valid, values.astype(float), np.nan)
        centre = np.nanmean(known, axis=1, keepdims=True)
        spread = np.nanstd(known, axis=1, keepdims=True)
        return np.clip((known - centre) / spread, -clip, clip).astype(np.float32)

    monkeypatch.setattr(features, "z_scores", whole_sample)
    # Another clip: settings that were never checked before.
    changed = settings.features.model_copy(update={"z_clip": 4.5})
    before = sorted((settings.artefact_root / "snapshots").iterdir())
    with pytest.raises(SnapshotError, match="look ahead"):
        steps.build_features(settings.model_copy(update={"features": changed}), "files")
    assert sorted((settings.artefact_root / "snapshots").iterdir()) == before


def test_features_standardised_again_over_the_whole_sample_are_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = finetuning.load_panel

    def load(*arguments: Any) -> Any:
        panel = real(*arguments)
        known = panel.features[:, panel.ready[0]]
        scaled = (panel.features - known.mean(1)) / known.std(1)
        return replace(panel, features=torch.where(panel.ready[..., None], scaled, 0.0))

    monkeypatch.setattr(finetuning, "load_panel", load)
    figures = caught(judged(settings, published[2]), "features", "differing")
    assert figures["differing"] == figures["sessions"] > 300


def test_sources_that_end_one_fold_late_are_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, late = pretraining.stage_slice, settings.walk_forward.test_sessions + 30

    def one_fold_later(panel: Any, fold: Any, *arguments: Any) -> TrainingSlice:
        found = real(panel, fold, *arguments)
        stop = min(found.stop + late, panel.n_sessions) if fold.test else found.stop
        return replace(found, stop=stop)

    monkeypatch.setattr(pretraining, "stage_slice", one_fold_later)
    # little budget reads far: every possible start is drawn in enough updates
    optimiser = settings.pretrain.optimiser.model_copy(update={"n_updates": 30})
    pretrain = settings.pretrain.model_copy(update={"optimiser": optimiser})
    settings = settings.model_copy(update={"pretrain": pretrain})
    foundation = steps.pretrain_foundation(settings, published[1])
    figures = caught(judged(settings, foundation), "leakage", "its foundation read")
    assert len(figures["problems"]) >= 2


def test_ten_times_the_budget_for_fine_tuning_is_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = finetuning.train_arms

    def generous(*arguments: Any, **named: Any) -> list[ArmRun]:
        params = named.pop("params")
        optimiser = params.optimiser
        more = optimiser.model_copy(update={"n_updates": 10 * optimiser.n_updates})
        rich = params.model_copy(update={"optimiser": more})
        one = real(*arguments, params=params, **named)
        ten = real(*arguments, params=rich, **named)
        return [b if b.arm == FINETUNED else a for a, b in zip(one, ten, strict=True)]

    monkeypatch.setattr(finetuning, "train_arms", generous)
    figures = caught(judged(settings, published[2]), "budget_parity", "env_steps")
    spent = figures["totals"]["env_steps"]
    assert spent["finetuned"] == 10 * spent["scratch"]


def test_more_steps_within_the_training_loop_are_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings promise equal budgets; the loop that counts trains one arm again on its batches."""
    from transfergate.learning import advance

    real = advance.update_models

    def again(weights: Any, start: Any, adam: Any, batch: Any, hyper: Any, *rest: Any) -> Any:
        objective, norm, steps = real(weights, start, adam, batch, hyper, *rest)
        return objective, norm, steps + (hyper.rates < hyper.rates.max()).long() * steps

    monkeypatch.setattr(advance, "update_models", again)
    figures = caught(judged(settings, published[2]), "budget_parity", "updates")
    assert figures["mismatch"]["figure"] == "updates"


def best_of(paths: list[PolicyPath]) -> PolicyPath:
    return max(paths, key=lambda path: float(path.net_return.sum()))


def test_the_best_seed_of_the_test_slice_in_the_place_of_all_is_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_paths(monkeypatch, FINETUNED, lambda paths: [best_of(paths)] * len(paths))
    caught(judged(settings, published[2]), "selection", "finetuned", "3 seeds trained")


def test_the_best_seed_of_the_test_slice_alone_is_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_paths(monkeypatch, FINETUNED, lambda paths: [best_of(paths)])
    change_paths(monkeypatch, SCRATCH, lambda paths: [best_of(paths)])  # on top: both arms
    caught(judged(settings, published[2]), "selection", "scratch", "3 seeds trained, 1 scored")


def test_gross_returns_are_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gross(paths: list[PolicyPath]) -> list[PolicyPath]:
        return [replace(path, net_return=path.net_return + path.cost) for path in paths]

    change_paths(monkeypatch, FINETUNED, gross)
    figures = caught(judged(settings, published[2]), "accounting", "finetuned", "wrong_net")
    assert {problem["arm"] for problem in figures["problems"]} == {"finetuned"}


def test_costs_that_nobody_charged_are_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def free(paths: list[PolicyPath]) -> list[PolicyPath]:
        return [
            replace(path, net_return=path.net_return + path.cost, cost=0 * path.cost)
            for path in paths
        ]

    change_paths(monkeypatch, SCRATCH, free)
    caught(judged(settings, published[2]), "accounting", "scratch", "wrong_cost")


def test_nan_in_one_arm_is_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(paths: list[PolicyPath]) -> list[PolicyPath]:
        net = paths[1].net_return.copy()
        net[4] = np.nan
        return [paths[0], replace(paths[1], net_return=net), *paths[2:]]

    change_paths(monkeypatch, SCRATCH, spoilt)
    report = judged(settings, published[2])
    assert report["verdict"] == "INVALID"
    assert "TGT scratch: net_return is not finite on 2011-" in report["reasons"][0]


def test_a_champion_that_was_not_run_again_is_invalid(
    settings: Settings, published: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = steps.finetune_ticker(settings, published[2], "TGT")
    steps.judge(settings, published[2], [first])
    why = "to be compared with"
    steps.promote(settings, "TGT", first["candidate"], "test", why, force=True)

    def stored(panel: Any, weights: Any, test: Any, *rest: Any) -> list[PolicyPath]:
        """A series with the Sharpe ratio that was on file, long throughout."""
        ones = np.ones(test.sessions)
        wave = 0.01 * np.resize([1.0, -1.0], test.sessions)
        return [PolicyPath(wave + 0.002, ones, 0 * ones, 0 * ones)]

    finetune = settings.finetune.model_copy(update={"n_seeds": 4})
    other = settings.model_copy(update={"finetune": finetune})
    with monkeypatch.context() as planted:
        planted.setattr(champion_step, "model_paths", stored)
        figures = caught(judged(other, published[2]), "champion", first["candidate"])
    assert figures["folds"] == 0
    assert "running its weights again" in figures["problem"]
    report = judged(other, published[2])
    assert report["verdict"] != "INVALID", report["reasons"]
    assert report["audits"]["champion"]["figures"]["folds"] == 3
    assert "champion" in report["sharpe"]
