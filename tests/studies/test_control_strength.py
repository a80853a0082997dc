"""The study of the control: one cut and test for all, errors over worlds, and what is a miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies import control_strength
from studies.control_strength import ARMS, TEST, cell_of, folds_of, kept_world, missed, render
from transfergate.settings import MarketParams


def worlds(tuned: list[float]) -> list[dict[int, dict[str, float]]]:
    return [{500: {**dict.fromkeys(ARMS, 0.5), "tuned": t, "tuned_flat": t == 0.0}} for t in tuned]


def cell(tuned: list[float]) -> dict[str, Any]:
    return cell_of(4, 500, worlds(tuned))


def test_histories_end_at_one_cut_and_share_the_test():
    folds = folds_of([500, 1000, 2000])
    assert len({(fold.train.stop, fold.validation, fold.test) for fold in folds}) == 1
    for fold in folds:
        assert fold.test is not None
        assert fold.validation.stop - fold.train.first == fold.number
        assert fold.test.first > fold.validation.stop
        assert fold.test.sessions == TEST


def test_a_control_below_flat_by_more_than_its_error_is_a_miss():
    values = [-0.6, -0.4, -0.5, 0.0]
    found = cell(values)
    assert found["tuned"]["mean"] == pytest.approx(np.mean(values))
    assert found["tuned"]["se"] == pytest.approx(np.std(values, ddof=1) / 2)
    assert found["tuned_flat_worlds"] == 1
    assert missed([found]) == [{"sessions": 500, "features": 4}]
    assert missed([cell([-0.5, 0.3]), cell([0.2, 0.4])]) == []


def test_the_table_says_where_the_rule_is_missed():
    bad = cell([-0.5, -0.5])
    text = render({"cells": [bad], "worlds": 2, "missed": missed([bad])})
    assert "| 500 | 4 | -0.50 (0.00) | +0.50 (0.00) |" in text
    assert text.endswith("MISSED at 500 sessions, 4 features.")
    assert "holds in every cell" in render({"cells": [bad], "worlds": 2, "missed": []})


def test_a_world_that_is_kept_is_not_trained_again_but_by_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folds = folds_of([500, 2000])
    done = {500: {"tuned": 0.25}, 2000: {"tuned": 0.5}}
    trained = []
    monkeypatch.setattr(control_strength, "world", lambda *asked: trained.append(asked) or done)
    for _ in range(2):
        assert kept_world(4, 3000, "momentum", folds, 3, tmp_path) == done
    assert len(trained) == 1
    monkeypatch.setattr(control_strength, "MARKET", MarketParams(cost_bps=11.0))
    assert kept_world(4, 3000, "momentum", folds, 3, tmp_path) == done
    assert len(trained) == 2
