import pytest
import torch

from transfergate.learning import (
    StackPlan,
    TrainingSlice,
    Weights,
    advance,
    encode,
    init_weights,
    select_models,
    train_stack,
)
from transfergate.learning.embeddings import Embeddings
from transfergate.market import planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation

PANEL = planted_panel(3, 300, n_noise=3, seed=0)
SHORT = OptimiserParams(
    n_updates=8, n_paths=3, path_sessions=40, burn_in_sessions=8, tail_sessions=8
)
HEAD, ALL = frozenset({"encoder"}), frozenset[str]()


def train(network: NetworkParams, noise: tuple[float, ...], frozen: tuple[frozenset[str], ...]):
    models = len(noise)
    plan = StackPlan(
        slices=tuple(TrainingSlice((i % 3, (i + 1) % 3), 20, 250) for i in range(models)),
        seeds=tuple(range(models)),
        learning_rates=(1e-2,) * models,
        regularisations=tuple(Regularisation(input_noise=n) for n in noise),
        frozen_groups=frozen,
    )
    start = init_weights(network, 4, 3, [i // 2 for i in range(models)])
    return start, train_stack(PANEL, start, network, MarketParams(), SHORT, plan)


def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advance, "_EMBEDDING_FRAC", 0.0)


def largest(a: Weights, b: Weights) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def test_known_states_train_the_same_heads(monkeypatch: pytest.MonkeyPatch):
    """An mlp has no memory: its states do not depend on where a path starts."""
    network = NetworkParams(encoder="mlp", encoder_units=8, head_units=8)
    noise, frozen = (0.0, 0.0, 0.5, 0.0), (HEAD, HEAD, HEAD, ALL)
    taken = []
    real = Embeddings.take
    monkeypatch.setattr(
        Embeddings,
        "take",
        lambda self, models, *rest: (
            taken.append((models.start, models.stop)) or real(self, models, *rest)
        ),
    )
    start, fast = train(network, noise, frozen)
    assert (0, 2) in taken, "models of one kind are a group"
    assert (2, 4) in taken
    uncached(monkeypatch)
    _, slow = train(network, noise, frozen)
    assert largest(fast.weights, slow.weights) < 1e-6
    assert largest(fast.weights, start) > 1e-3
    for name in ("encoder.input", "encoder.bias"):
        assert torch.equal(fast.weights[name][:3], start[name][:3])


def test_states_are_those_of_the_record_and_read_nothing_after_the_slice():
    network = NetworkParams(encoder="gru", encoder_units=8, head_units=8)
    weights = init_weights(network, 4, 3, [1, 1, 2])
    slices = (TrainingSlice((0, 2), 20, 250),) * 2 + (TrainingSlice((1,), 20, 250),)
    resting = torch.tensor([True, True, False]).numpy()
    features = PANEL.features.clone()
    features[:, 249:] = float("nan")  # of the last decision's outcome only the return is read
    panel = PANEL.__class__(**{**vars(PANEL), "features": features})
    known = Embeddings(panel, weights, network, slices, 8, resting)
    rows = torch.tensor([[2, 0], [2, 0]])
    sessions = torch.tensor([20, 100, 248]).view(1, 3, 1).expand(2, 3, 2)
    states = known.take(slice(0, 2), rows, sessions)
    assert states is not None
    whole = encode(select_models(weights, [0]), network, PANEL.features[None, [2, 0], 12:249])[0]
    for model in (0, 1):
        for column in (0, 1):
            there = whole[column][[8, 88, 236]]
            torch.testing.assert_close(states[model, :, column], there)
    assert known.take(slice(2, 3), rows[:1], sessions[:1]) is None


def test_a_recurrent_head_learns_from_known_states(monkeypatch: pytest.MonkeyPatch):
    network = NetworkParams(encoder="lstm", encoder_units=8, head_units=8)
    start, fast = train(network, (0.0, 0.0), (HEAD, HEAD))
    uncached(monkeypatch)
    _, slow = train(network, (0.0, 0.0), (HEAD, HEAD))
    moved = largest(fast.weights, start)
    assert 0 < largest(fast.weights, slow.weights) < 0.5 * moved, "only the burn-in differs"
