import pytest
import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning import (
    encode,
    head_logits,
    init_weights,
    networks,
    parameter_group,
    select_models,
    stack_models,
)
from transfergate.settings import NetworkParams

ENCODERS = ["gru", "lstm", "mlp"]


def network(encoder: str) -> NetworkParams:
    return NetworkParams(encoder=encoder, encoder_units=5, head_units=4)


def textbook_logits(weights: dict[str, Tensor], encoder: str, x: Tensor, burn_in: int) -> Tensor:
    """One operation a line, autograd throughout; x (S, B, T, F) -> (S, B, T, P, A)."""
    w, b, u = (weights.get(f"encoder.{n}") for n in ("input", "bias", "recurrent"))
    h = c = x.new_zeros(*x.shape[:2], weights["head.hidden"].shape[1])
    states = []
    for t in range(x.shape[2]):
        a = x[:, :, t] @ w + b
        if encoder == "gru":
            ar, az, an = a.chunk(3, -1)
            hr, hz, hn = (h @ u).chunk(3, -1)
            r, z = torch.sigmoid(ar + hr), torch.sigmoid(az + hz)
            h = (1 - z) * torch.tanh(an + r * hn) + z * h
        elif encoder == "lstm":
            i, f, o, g = (a + h @ u).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        else:
            h = torch.tanh(a)
        if t == burn_in - 1:
            h, c = h.detach(), c.detach()
        states.append(h)
    own = (torch.stack(states, 2).flatten(1, 2) @ weights["head.hidden"]).unsqueeze(2)
    hidden = torch.tanh(own + weights["head.position"].unsqueeze(1))
    logits = hidden @ weights["head.output"].unsqueeze(1) + weights["head.bias"].unsqueeze(1)
    return logits.view(*x.shape[:3], *logits.shape[2:])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_forward_and_backward_equal_the_textbook_under_autograd(encoder: str):
    net, burn_in, kept, tail = network(encoder), 3, 6, 2
    weights = init_weights(net, 4, 3, [1, 2])
    generator = torch.Generator().manual_seed(0)
    for name, value in weights.items():
        weights[name] = value.double() + 0.3 * torch.randn(value.shape, generator=generator)
    x = torch.randn(2, 3, burn_in + kept + tail, 4, generator=generator, dtype=torch.float64)

    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    want = textbook_logits(leaves, encoder, x, burn_in)
    states = encode(weights, net, x)
    torch.testing.assert_close(head_logits(weights, states), want)

    logits, trace = networks.forward(weights, net, x.transpose(1, 2), burn_in, kept)
    in_order = logits.permute(0, 3, 2, 4, 1)  # (S, A, T, B, P) -> (S, B, T, P, A)
    torch.testing.assert_close(in_order, want[:, :, burn_in:])
    by_logits = torch.randn(logits[:, :, :kept].shape, generator=generator, dtype=torch.float64)
    objective = (want[:, :, burn_in : burn_in + kept] * by_logits.permute(0, 3, 2, 4, 1)).sum()
    expected = dict(zip(leaves, torch.autograd.grad(objective, list(leaves.values())), strict=True))
    got = networks.backward(trace, by_logits)
    assert sorted(got) == sorted(expected)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, msg=name)
    without = networks.backward(trace, by_logits, encoder=False)
    assert {parameter_group(name) for name in without} == {"head"}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoders_are_causal(encoder: str):
    net = network(encoder)
    weights = init_weights(net, 4, 3, [0])
    x = torch.randn(1, 2, 12, 4, generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[:, :, 7:] = 99.0
    a, b = encode(weights, net, x), encode(weights, net, other)
    assert torch.equal(a[:, :, :7], b[:, :, :7])
    assert not torch.equal(a[:, :, 7:], b[:, :, 7:])


def test_a_model_depends_on_its_own_seed_alone():
    net = network("gru")
    alone, together = init_weights(net, 4, 3, [5]), init_weights(net, 4, 3, [1, 5, 9])
    for name in alone:
        assert torch.equal(alone[name][0], together[name][1])
        assert not name.endswith("input") or not torch.equal(together[name][0], together[name][1])


def test_policies_start_near_uniform():
    net = NetworkParams()
    weights = init_weights(net, 16, 3, range(20))
    x = torch.randn(20, 1, 40, 16, generator=torch.Generator().manual_seed(0))
    policy = torch.softmax(head_logits(weights, encode(weights, net, x)), -1)
    assert (policy - 1 / 3).abs().max() < 0.05


def test_stacks_are_selected_and_joined():
    net = network("mlp")
    weights = init_weights(net, 4, 3, [0, 1, 2])
    again = stack_models([select_models(weights, [2]), select_models(weights, [0, 0])])
    for name, value in weights.items():
        assert torch.equal(again[name], value[[2, 0, 0]])
    with pytest.raises(TrainingError, match="stack 1"):
        stack_models([weights, init_weights(net, 5, 3, [0])])
