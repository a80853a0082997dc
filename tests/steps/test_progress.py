import logging

import pytest
import torch

from transfergate.learning import TrainingProgress
from transfergate.steps.progress import log_progress


def progress(update: int) -> TrainingProgress:
    return TrainingProgress(update, 100, torch.zeros(4), None, torch.ones(4), 2000)


def test_lines_come_at_a_steady_rhythm_with_rate_share_and_time_left(
    caplog: pytest.LogCaptureFixture,
):
    now = [0.0]
    with caplog.at_level(logging.INFO):
        report = log_progress("teaching", clock=lambda: now[0])
        for update in range(1, 101):
            now[0] += 1.0
            report(progress(update))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 20
    assert "teaching: update 5 of 100 (5 %), 2000 steps/s, 1 min 35 s left" in lines[0]
    assert "update 100 of 100 (100 %), 2000 steps/s, 0 s left" in lines[-1]


def test_a_resumed_training_counts_from_where_it_resumed(caplog: pytest.LogCaptureFixture):
    now = [0.0]
    with caplog.at_level(logging.INFO):
        report = log_progress("teaching", clock=lambda: now[0])
        now[0] = 10.0
        report(progress(51))
    assert "51 of 100 (51 %), 200 steps/s, 8 min 10 s left" in caplog.records[0].getMessage()


def test_before_the_first_validation_there_is_no_score(caplog: pytest.LogCaptureFixture):
    unknown = torch.full((4,), -torch.inf)
    with caplog.at_level(logging.INFO):
        report = log_progress("teaching")
        report(TrainingProgress(100, 100, torch.zeros(4), None, unknown, 2000))
    assert "not validated yet (means over 4 models)" in caplog.records[0].getMessage()
