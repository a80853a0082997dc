"""Every encoder: causal, split anywhere, the same in a stack, with the gradients it claims."""

import pytest
import torch
from torch import Tensor

from transfergate.learning import (
    Weights,
    encode,
    frozen_parameters,
    init_weights,
    networks,
    parameter_group,
    select_models,
)
from transfergate.learning.encoders import ENCODERS, resnet_lstm
from transfergate.settings import NetworkParams

SMALL = {"encoder_units": 6, "head_units": 4}
NETWORKS = {
    "gru": NetworkParams(encoder="gru", **SMALL),
    "lstm": NetworkParams(encoder="lstm", **SMALL),
    "mlp": NetworkParams(encoder="mlp", **SMALL),
    "deep_mlp": NetworkParams(encoder="mlp", encoder_layers=3, **SMALL),
    "transformer": NetworkParams(
        encoder="transformer", encoder_layers=2, attention_heads=2, attention_window=7, **SMALL
    ),
    "wide_window": NetworkParams(
        encoder="transformer", attention_heads=3, attention_window=45, **SMALL
    ),
    "resnet_lstm": NetworkParams(encoder="resnet_lstm", conv_blocks=2, conv_kernel=3, **SMALL),
}
each_network = pytest.mark.parametrize("name", list(NETWORKS))


def models(name: str, seeds: range = range(2), spread: float = 0.3) -> Weights:
    """Double precision, and away from the start, where biases are zero and heads nearly so."""
    generator = torch.Generator().manual_seed(0)
    weights = init_weights(NETWORKS[name], 4, 3, seeds)
    return {
        k: v.double() + spread * torch.randn(v.shape[1:], generator=generator, dtype=torch.float64)
        for k, v in weights.items()
    }


def paths(n_models: int, sessions: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_models, 3, sessions, 4, generator=generator, dtype=torch.float64)


@each_network
@pytest.mark.parametrize("cut", [1, 31, 37])
def test_states_do_not_know_the_future(name: str, cut: int):
    weights, x = models(name), paths(2, 40)
    other = x.clone()
    other[:, :, cut:] = 50.0
    a, b = (encode(weights, NETWORKS[name], seen) for seen in (x, other))
    assert torch.equal(a[:, :, :cut], b[:, :, :cut])
    assert not torch.equal(a[:, :, cut], b[:, :, cut])


@each_network
@pytest.mark.parametrize("grad", [range(0, 40), range(9, 30), range(33, 40), range(0, 1)])
def test_states_do_not_depend_on_which_sessions_are_trained(name: str, grad: range):
    weights, x = models(name), paths(2, 40)
    states, _ = ENCODERS[NETWORKS[name].encoder].forward(
        weights, NETWORKS[name], x.transpose(1, 2), grad
    )
    torch.testing.assert_close(states.transpose(1, 2), encode(weights, NETWORKS[name], x))


@each_network
def test_a_model_of_a_stack_equals_the_model_alone(name: str):
    net, x = NETWORKS[name], paths(5, 40).float()
    weights = init_weights(net, 4, 3, range(5))
    by_logits = torch.randn(5, 3, 30, 3, 3, generator=torch.Generator().manual_seed(2))
    logits, trace = networks.forward(weights, net, x.transpose(1, 2), 6, 30)
    grads = networks.backward(trace, by_logits)
    for model in (0, 3):
        alone = select_models(weights, [model])
        own, own_trace = networks.forward(alone, net, x[model : model + 1].transpose(1, 2), 6, 30)
        torch.testing.assert_close(own[0], logits[model], rtol=1e-5, atol=1e-6)
        own_grads = networks.backward(own_trace, by_logits[model : model + 1])
        assert list(own_grads) == list(grads)
        for parameter, grad in own_grads.items():
            torch.testing.assert_close(grad[0], grads[parameter][model], rtol=1e-4, atol=1e-5)


@each_network
def test_gradients_are_those_of_finite_differences(name: str):
    net, x = NETWORKS[name], paths(1, 40)
    weights = models(name, range(1))
    generator = torch.Generator().manual_seed(3)
    by_logits = torch.randn(1, 3, 36, 3, 3, generator=generator, dtype=torch.float64)

    def objective(changed: Weights) -> float:
        logits, _ = networks.forward(changed, net, x.transpose(1, 2), 0, 36)
        return float((logits[:, :, :36] * by_logits).sum())

    _, trace = networks.forward(weights, net, x.transpose(1, 2), 0, 36)
    grads = networks.backward(trace, by_logits)
    assert sorted(grads) == sorted(weights)
    for parameter, value in weights.items():
        way = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        step = 1e-6
        up, down = (objective({**weights, parameter: value + s * way}) for s in (step, -step))
        expected = float((grads[parameter] * way).sum())
        assert (up - down) / (2 * step) == pytest.approx(expected, rel=1e-4, abs=1e-5), parameter


@pytest.mark.parametrize("name", ["transformer", "wide_window", "resnet_lstm"])
def test_what_comes_before_the_trained_sessions_counts_as_given(name: str):
    net, burn_in, kept = NETWORKS[name], 11, 25
    weights, x = models(name), paths(2, burn_in + kept)
    leaves = {k: v.clone().requires_grad_() for k, v in weights.items()}
    textbook = textbook_resnet_lstm if net.encoder == "resnet_lstm" else textbook_transformer
    want = textbook(leaves, net, x, burn_in)
    torch.testing.assert_close(encode(weights, net, x), want.detach())
    _, trace = ENCODERS[net.encoder].forward(
        weights, net, x.transpose(1, 2), range(burn_in, burn_in + kept)
    )
    generator = torch.Generator().manual_seed(4)
    by_states = torch.randn(2, kept, 3, 6, generator=generator, dtype=torch.float64)
    grads = trace.backward(by_states)
    objective = (want[:, :, burn_in:] * by_states.transpose(1, 2)).sum()
    encoder = [k for k in leaves if parameter_group(k) == "encoder"]
    expected = torch.autograd.grad(objective, [leaves[k] for k in encoder])
    assert sorted(grads) == sorted(encoder)
    for parameter, grad in zip(encoder, expected, strict=True):
        torch.testing.assert_close(grads[parameter], grad, msg=parameter)


def standardised(z: Tensor) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def textbook_transformer(w: Weights, net: NetworkParams, x: Tensor, burn_in: int) -> Tensor:
    """One session, head and key at a time; x (S, B, T, F) -> (S, B, T, H)."""
    heads, units = net.attention_heads, net.encoder_units // net.attention_heads
    z = x @ w["encoder.input"].unsqueeze(1) + w["encoder.bias"].unsqueeze(1)
    for layer in range(net.encoder_layers):
        p = {
            name: w[f"encoder.block{layer}_{name}"].unsqueeze(1)
            for name in ("attend", "mix", "widen", "widen_bias", "narrow")
        }
        for name in ("attend", "mix", "widen", "narrow"):
            p[name] = p[name] * 2.0 / p[name].shape[2] ** 0.5
        q, k, v = (standardised(z) @ p["attend"]).chunk(3, -1)
        k, v = (torch.cat([t[:, :, :burn_in].detach(), t[:, :, burn_in:]], 2) for t in (k, v))
        sessions = []
        for t in range(x.shape[2]):
            read = []
            for head in range(heads):
                own = slice(head * units, (head + 1) * units)
                slope = 2.0 ** (-8.0 * (head + 1) / heads)
                scores, values = [], []
                for back in range(net.attention_window):
                    at = t - back
                    key = k[:, :, at, own] if at >= 0 else torch.zeros_like(k[:, :, 0, own])
                    values.append(v[:, :, at, own] if at >= 0 else torch.zeros_like(key))
                    scores.append((q[:, :, t, own] * key).sum(-1) / units**0.5 - slope * back)
                share = torch.softmax(torch.stack(scores, -1), -1)
                read.append((share.unsqueeze(-1) * torch.stack(values, -2)).sum(-2))
            sessions.append(torch.cat(read, -1))
        z = z + torch.stack(sessions, 2) @ p["mix"]
        z = z + torch.relu(standardised(z) @ p["widen"] + p["widen_bias"]) @ p["narrow"]
    return torch.tanh(z)


def textbook_resnet_lstm(w: Weights, net: NetworkParams, x: Tensor, burn_in: int) -> Tensor:
    """One session and tap at a time; x (S, B, T, F) -> (S, B, T, H)."""

    def convolved(z: Tensor, weight: Tensor, dilation: int) -> Tensor:
        active = torch.relu(standardised(z))
        active = torch.cat([active[:, :, :burn_in].detach(), active[:, :, burn_in:]], 2)
        out = []
        for t in range(z.shape[2]):
            total = torch.zeros_like(z[:, :, 0])
            for tap, kernel in enumerate(weight.split(net.encoder_units, 1)):
                at = t - (net.conv_kernel - 1 - tap) * dilation
                if at >= 0:
                    total = total + active[:, :, at] @ kernel * 2.0 / weight.shape[1] ** 0.5
            out.append(total)
        return torch.stack(out, 2)

    z = x @ w["encoder.input"].unsqueeze(1) + w["encoder.bias"].unsqueeze(1)
    for block in range(net.conv_blocks):
        name = f"encoder.block{block}"
        inner = convolved(z, w[f"{name}_first"], 2**block) + w[f"{name}_first_bias"].unsqueeze(1)
        z = z + convolved(inner, w[f"{name}_second"], 2**block)
    h = c = torch.zeros_like(z[:, :, 0])
    states = []
    for t in range(x.shape[2]):
        gates = z[:, :, t] @ w["encoder.lstm_input"] + w["encoder.lstm_bias"]
        i, f, o, g = (gates + h @ w["encoder.recurrent"]).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
        if t == burn_in - 1:
            h, c = h.detach(), c.detach()
    return torch.stack(states, 2)


@pytest.mark.parametrize("name", ["mlp", "deep_mlp", "transformer", "wide_window"])
def test_a_state_reaches_back_exactly_as_far_as_declared(name: str):
    net, weights, x = NETWORKS[name], models(name), paths(2, 60)
    other = x.clone()
    other[:, :, 0] += 1.0
    moved = (encode(weights, net, x) - encode(weights, net, other)).abs().amax((0, 1, 3))
    reach = net.context_sessions
    assert (moved[: reach + 1] > 0).all()
    assert (moved[reach + 1 :] == 0).all()


def test_convolutions_reach_back_exactly_as_far_as_declared():
    net, weights, x = NETWORKS["resnet_lstm"], models("resnet_lstm"), paths(2, 60)
    other = x.clone()
    other[:, :, 0] += 1.0
    streams = [resnet_lstm._step(weights, net, s.transpose(1, 2), None)[0] for s in (x, other)]
    moved = (streams[0] - streams[1]).abs().amax((0, 2, 3))
    assert net.context_sessions == 12
    assert moved[12] > 0
    assert (moved[13:] == 0).all()


@each_network
def test_scoring_from_later_on_gives_the_same_states_after_burn_in(name: str):
    net, weights, x = NETWORKS[name], models(name, spread=0.1), paths(2, 200)
    burn_in = max(net.context_sessions, 64)
    whole, late = encode(weights, net, x), encode(weights, net, x[:, :, 100 - burn_in :])
    torch.testing.assert_close(late[:, :, burn_in:], whole[:, :, 100:], rtol=0.0, atol=1e-6)


@each_network
def test_masks_drop_units_and_their_gradients(name: str):
    net, weights, x = NETWORKS[name], models(name), paths(2, 20).transpose(1, 2)
    plain, _ = networks.forward(weights, net, x, 4, 12)
    ones, _ = networks.forward(weights, net, x, 4, 12, dropout=torch.ones(2, 1, 3, 6))
    assert torch.equal(plain, ones)
    none, trace = networks.forward(weights, net, x, 4, 12, dropout=torch.zeros(2, 1, 3, 6))
    assert torch.equal(none[:, :, 0], none[:, :, 5])
    grads = networks.backward(trace, torch.ones_like(none[:, :, :12]))
    assert all(bool((g == 0).all()) for k, g in grads.items() if k.startswith("encoder."))
    half = torch.ones(2, 1, 3, 6, dtype=torch.float64)
    half[..., :3] = 0.0
    masked, trace = networks.forward(weights, net, x, 4, 12, dropout=half)
    assert not torch.equal(masked, plain)
    by_hidden = networks.backward(trace, torch.randn_like(masked[:, :, :12]))["head.hidden"]
    assert (by_hidden[:, :3] == 0).all()
    assert (by_hidden[:, 3:] != 0).all()


@each_network
def test_a_further_gradient_by_the_states_adds_up(name: str):
    net, weights, x = NETWORKS[name], models(name), paths(2, 20).transpose(1, 2)
    by_states = torch.randn(2, 12, 3, 6, dtype=torch.float64)
    grads = []
    for head, further in ((1.0, None), (0.0, by_states), (1.0, by_states)):
        logits, trace = networks.forward(weights, net, x, 4, 12)
        by_logits = head * torch.ones_like(logits[:, :, :12]).cumsum(1)
        grads.append(networks.backward(trace, by_logits, by_states=further))
    for parameter in weights:
        torch.testing.assert_close(
            grads[2][parameter], grads[0][parameter] + grads[1][parameter], msg=parameter
        )


@each_network
def test_strategies_rest_a_lower_part_that_exists(name: str):
    net, names = NETWORKS[name], set(models(name))
    encoder = {k for k in names if k.startswith("encoder.")}
    assert frozen_parameters("full", net) == frozenset()
    assert frozen_parameters("discriminative", net) == frozenset()
    assert frozen_parameters("head", net) == {"encoder"}
    rests = frozen_parameters("partial", net)
    assert rests <= encoder
    assert {"encoder.input", "encoder.bias"} <= rests
    assert (rests == encoder) == (name == "mlp")  # its one layer is its lower part


def test_partial_rests_the_lower_half_of_deep_encoders():
    assert frozen_parameters("partial", NETWORKS["deep_mlp"]) == {
        "encoder.input",
        "encoder.bias",
        "encoder.layer1",
        "encoder.layer1_bias",
    }
    rests = frozen_parameters("partial", NETWORKS["transformer"])
    assert {name.split("_")[0] for name in rests if "block" in name} == {"encoder.block0"}
    rests = frozen_parameters("partial", NETWORKS["resnet_lstm"])
    assert not rests & {"encoder.lstm_input", "encoder.recurrent", "encoder.lstm_bias"}
