import pytest
import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning.dropout import dropout_mask


def drawn(shape: tuple[int, int], rates: list[float], seeds: list[int], update: int) -> Tensor:
    mask = dropout_mask(shape, rates, seeds, update)
    assert mask is not None
    return mask


def test_a_mask_is_the_same_alone_and_in_a_stack():
    together = drawn((6, 9), [0.0, 0.5, 0.2], [3, 4, 5], 7)
    assert together.shape == (3, 1, 6, 9)
    alone = drawn((6, 9), [0.5], [4], 7)
    assert torch.equal(together[1:2], alone)
    assert torch.equal(together[0], torch.ones(1, 6, 9))
    wider = drawn((8, 9), [0.5], [4], 7)
    assert torch.equal(wider[:, :, :6], alone)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_rate_and_the_mean_is_one(rate: float):
    mask = drawn((200, 200), [rate], [1], 0)
    assert (mask == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert mask.mean().item() == pytest.approx(1.0, abs=0.05)
    assert mask.amax().item() == pytest.approx(1 / (1 - rate))


def test_updates_seeds_paths_and_units_draw_apart():
    first = drawn((40, 40), [0.5, 0.5], [1, 2], 0)
    later = drawn((40, 40), [0.5, 0.5], [1, 2], 1)
    for a, b in ((first, later), (first[0], first[1]), (first[..., 0, :], first[..., 1, :])):
        agree = (a == b).float().mean().item()
        assert 0.3 < agree < 0.7


def test_nothing_to_drop_is_no_mask_and_bad_rates_are_refused():
    assert dropout_mask((2, 2), [0.0, 0.0], [1, 2], 0) is None
    for rates in ([1.0], [-0.1], [0.1, 0.1], [float("nan")]):
        with pytest.raises(TrainingError, match="dropout"):
            dropout_mask((2, 2), rates, [1], 0)
