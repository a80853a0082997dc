import pytest
import torch
from torch import Tensor

from transfergate.learning.head import HeadWeights, head_backward, head_forward


def head(hidden: float, position: float) -> tuple[HeadWeights, Tensor]:
    """Two heads whose hidden values and position vectors spread so far."""
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    weights = HeadWeights(
        hidden * randn(2, 16, 24) / 4, position * randn(2, 3, 24), randn(2, 24, 3), randn(2, 1, 3)
    )
    return weights, randn(2, 40, 16)


@pytest.mark.parametrize(
    ("hidden", "position"), [(1, 1), (60, 1), (1, 20), (60, 20), (300, 100), (1e4, 1), (1, 1e4)]
)
def test_logits_and_gradients_equal_autograd_however_large_the_weights_are(
    hidden: float, position: float
):
    weights, states = head(hidden, position)
    logits, trace = head_forward(weights, states)
    grad = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    grads, by_states = head_backward(trace, grad)

    parts = [x.double().requires_grad_() for x in (*vars(weights).values(), states)]
    first, shift, output, bias, inputs = parts
    units = torch.tanh((inputs @ first).unsqueeze(2) + shift.unsqueeze(1))
    want = (units @ output.unsqueeze(1) + bias.unsqueeze(1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(logits.double(), want, rtol=0.0, atol=1e-3)
    wanted = torch.autograd.grad((want * grad).sum(), parts)
    for got, sought in zip((*vars(grads).values(), by_states), wanted, strict=True):
        scale = float(sought.abs().max())
        torch.testing.assert_close(got.double(), sought, rtol=0.0, atol=1e-3 * scale)


def test_a_models_logits_do_not_depend_on_a_steep_one_beside_it():
    weights, states = head(1.0, 1.0)
    alone, _ = head_forward(weights, states)
    weights.position[1, 0, 0] = 50.0
    beside, _ = head_forward(weights, states)
    assert torch.equal(alone[0], beside[0])
    assert not torch.equal(alone[1], beside[1])
