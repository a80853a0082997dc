"""A fold is scored once its test sessions have arrived."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from transfergate.errors import NotEnoughData
from transfergate.market.panel import Panel
from transfergate.settings import WalkForwardParams
from transfergate.steps.folds import target_folds

PARAMS = WalkForwardParams(
    n_folds=3,
    min_train_sessions=100,
    embargo_sessions=3,
    validation_sessions=25,
    test_sessions=20,
)


@pytest.fixture
def panel() -> Panel:
    shape = (1, 240)
    return Panel(
        tickers=("TGT",),
        sessions=np.datetime64("2010-01-04") + np.arange(240),
        features=torch.zeros(*shape, 2),
        overnight=torch.zeros(shape),
        intraday=torch.zeros(shape),
        tradable=torch.ones(shape, dtype=torch.bool),
        ready=torch.ones(shape, dtype=torch.bool),
    )


def numbers(panel, recorded=(), pretrained=range(20)):
    folds = target_folds(panel, 0, PARAMS, pretrained=pretrained, recorded=recorded)
    return [fold.number for fold in folds]


def test_a_fold_waits_for_its_last_bars_unless_it_is_recorded(panel):
    assert numbers(panel) == [9, 10, 11]
    late = panel.tradable.clone()
    late[0, 239:] = False
    panel = dataclasses.replace(panel, tradable=late)
    assert numbers(panel) == [9, 10]
    assert numbers(panel, recorded=[11]) == [9, 10, 11]


def test_a_fold_waits_for_a_quarantined_batch(panel):
    ready = panel.ready.clone()
    ready[0, 205:208] = False
    assert numbers(dataclasses.replace(panel, ready=ready)) == [9, 11]


def test_a_foundation_without_the_folds_is_named(panel):
    with pytest.raises(NotEnoughData, match="foundation"):
        numbers(panel, pretrained=[])
