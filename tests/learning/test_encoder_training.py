"""Every encoder through the whole of training: bytes, stacks, checkpoints, files, quality."""

from pathlib import Path

import pytest
import torch

from transfergate.learning import (
    Checkpoint,
    StackPlan,
    TrainingResult,
    TrainingSlice,
    Weights,
    frozen_parameters,
    init_weights,
    score_greedy,
    select_models,
    train_stack,
)
from transfergate.market import Panel, planted_panel
from transfergate.market.optimum import optimum_sharpe
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation
from transfergate.storage import ArtefactStore
from transfergate.transfer.bundles import read_weights, sha256, weights_bytes

MARKET = MarketParams()
NETWORKS = {
    "gru": NetworkParams(encoder="gru", encoder_units=16, head_units=16),
    "lstm": NetworkParams(encoder="lstm", encoder_units=16, head_units=16),
    "mlp": NetworkParams(encoder="mlp", encoder_layers=2, encoder_units=16, head_units=16),
    "transformer": NetworkParams(encoder="transformer", encoder_units=16, head_units=16),
    "resnet_lstm": NetworkParams(encoder="resnet_lstm", encoder_units=16, head_units=16),
}
RATES = {"resnet_lstm": 5e-3}  # docs/learning.md: at 1e-2 some seeds collapse to flat
each_network = pytest.mark.parametrize("name", list(NETWORKS))
SHORT = OptimiserParams(
    n_updates=6, epochs=2, n_paths=2, path_sessions=40, burn_in_sessions=31, tail_sessions=4
)


def train(
    panel: Panel,
    net: NetworkParams,
    start: Weights,
    optimiser: OptimiserParams,
    seeds: tuple[int, ...],
    frozen: frozenset[str] = frozenset(),
    checkpoint: Checkpoint | None = None,
) -> TrainingResult:
    rows = tuple(range(panel.features.shape[0]))
    models = len(seeds)
    plan = StackPlan(
        slices=(TrainingSlice(rows, 0, panel.n_sessions),) * models,
        seeds=seeds,
        learning_rates=(optimiser.learning_rate,) * models,
        regularisations=(Regularisation(input_noise=0.3),) * models,
        frozen_groups=(frozen,) * models,
    )
    return train_stack(panel, start, net, MARKET, optimiser, plan, checkpoint=checkpoint)


@each_network
def test_same_seed_same_bytes_and_alone_as_in_a_stack(name: str):
    panel, net, seeds = planted_panel(2, 300, n_features=4), NETWORKS[name], (7, 8, 9)
    start = init_weights(net, 4, 3, seeds)
    a, b = (train(panel, net, start, SHORT, seeds).weights for _ in range(2))
    assert weights_bytes(a) == weights_bytes(b)
    alone = train(panel, net, select_models(start, [1]), SHORT, seeds[1:2]).weights
    for parameter in a:
        torch.testing.assert_close(alone[parameter][0], a[parameter][1], rtol=0.0, atol=5e-5)
        assert not torch.equal(a[parameter], start[parameter])


@each_network
def test_a_killed_run_goes_on_to_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    panel, net, seeds = planted_panel(2, 300, n_features=4), NETWORKS[name], (7, 8)
    start = init_weights(net, 4, 3, seeds)
    whole = train(panel, net, start, SHORT, seeds).weights
    checkpoint = Checkpoint(ArtefactStore(tmp_path), "progress.safetensors", every_updates=4)

    def killed(self: Checkpoint, mark: str, state: object) -> None:
        save(self, mark, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        save = Checkpoint.save
        patched.setattr(Checkpoint, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train(panel, net, start, SHORT, seeds, checkpoint=checkpoint)
    resumed = train(panel, net, start, SHORT, seeds, checkpoint=checkpoint).weights
    assert weights_bytes(resumed) == weights_bytes(whole)


@each_network
@pytest.mark.parametrize("strategy", ["head", "partial"])
def test_what_a_strategy_rests_does_not_move(name: str, strategy: str):
    panel, net, seeds = planted_panel(2, 300, n_features=4), NETWORKS[name], (7, 8)
    start = init_weights(net, 4, 3, seeds)
    frozen = frozen_parameters(strategy, net)  # type: ignore[arg-type]
    end = train(panel, net, start, SHORT, seeds, frozen).weights
    for parameter, value in start.items():
        rests = bool({parameter, parameter.split(".")[0]} & frozen)
        assert torch.equal(end[parameter], value) == rests, parameter


@each_network
def test_weights_come_back_from_a_file_and_score_the_same(name: str, tmp_path: Path):
    panel, net = planted_panel(2, 200, n_features=4), NETWORKS[name]
    weights = init_weights(net, 4, 3, [1, 2])
    store, content = ArtefactStore(tmp_path), weights_bytes(weights)
    store.replace("weights.safetensors", content)
    again = read_weights(store, "weights.safetensors", sha256(content))
    assert sorted(again) == sorted(weights)
    scores = [
        score_greedy(panel, w, net, MARKET, [0, 1], 60, 200, 32).net_return
        for w in (weights, again)
    ]
    assert torch.equal(*scores)


def share_of_optimum(name: str, kind: str, n_updates: int) -> float:
    """Out-of-sample Sharpe ratio on fresh tickers, mean of two seeds, over the optimum's."""
    panel = planted_panel(8, 1200, kind=kind, n_features=8, seed=1)  # type: ignore[arg-type]
    fresh = planted_panel(16, 1200, kind=kind, n_features=8, seed=2)  # type: ignore[arg-type]
    net, rate = NETWORKS[name], RATES.get(name, 1e-2)
    optimiser = OptimiserParams(n_updates=n_updates, n_paths=8, learning_rate=rate)
    trained = train(panel, net, init_weights(net, 8, 3, [0, 1]), optimiser, (0, 1)).weights
    models = select_models(trained, [0] * 16 + [1] * 16)
    scored = score_greedy(fresh, models, net, MARKET, [*range(16)] * 2, 100, 1200, 64)
    sharpe = scored.net_return.mean(1) / (scored.net_return.std(1) + 1e-12) * 252**0.5
    best = optimum_sharpe(fresh, MARKET, kind, first=100)  # type: ignore[arg-type]
    return float(sharpe.mean()) / best.sharpe


@each_network
def test_every_encoder_learns_the_ar_market(name: str):
    assert share_of_optimum(name, "ar", 60) > 0.75


@pytest.mark.parametrize(
    ("name", "least"), [("gru", 0.55), ("lstm", 0.55), ("transformer", 0.45), ("resnet_lstm", 0.55)]
)
def test_encoders_with_memory_learn_the_hidden_regime(name: str, least: float):
    assert share_of_optimum(name, "regime", 80) > least
