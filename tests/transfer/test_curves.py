"""What is kept of how the seeds of an arm learned."""

import math

import torch

from transfergate.learning import TrainingResult
from transfergate.learning.state import Meter
from transfergate.transfer.curves import MAX_POINTS, learning_curves


def result(n_updates: int, validated: list[int], n_models: int = 4) -> TrainingResult:
    zero = torch.zeros(n_models, dtype=torch.int64)
    models = torch.arange(n_models, dtype=torch.float32)
    return TrainingResult(
        weights={},
        last_weights={},
        best_score=zero.float(),
        best_update=torch.arange(n_models) * 10,
        objective=torch.arange(n_updates, dtype=torch.float32)[:, None] + 1000 * models,
        validation=torch.tensor(validated, dtype=torch.float32)[:, None] + 1000 * models,
        validation_updates=tuple(validated),
        meter=Meter(zero, zero, zero),
    )


def test_each_seed_keeps_its_scores_and_the_update_it_was_taken_at():
    found = learning_curves(result(6, [0, 3, 6]), [3, 1])
    assert found["updates"] == [0, 3, 6]
    assert found["validation"] == [[3000.0, 3003.0, 3006.0], [1000.0, 1003.0, 1006.0]]
    assert found["best_updates"] == [30, 10]
    assert found["training_updates"] == [1, 2, 3, 4, 5, 6]
    assert found["training"][1] == [1000.0, 1001.0, 1002.0, 1003.0, 1004.0, 1005.0]


def test_long_trainings_leave_a_bounded_number_of_points_that_cover_all_of_them():
    found = learning_curves(result(1001, list(range(0, 1002, 7))), [0])
    assert len(found["updates"]) == len(found["validation"][0]) == MAX_POINTS
    assert (found["updates"][0], found["updates"][-1]) == (0, 1001)
    assert len(found["training"][0]) == MAX_POINTS
    assert found["training_updates"][-1] == 1001
    assert found["training"][0][0] == sum(range(25)) / 25


def test_a_score_that_is_no_number_is_none():
    broken = result(2, [0, 2])
    broken.validation[1, 0] = math.nan
    assert learning_curves(broken, [0])["validation"] == [[0.0, None]]
