import pytest
import torch

from transfergate.learning import StackPlan, TrainingSlice, init_weights, score_greedy, train_stack
from transfergate.market import planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("encoder", ["gru", "lstm", "mlp", "transformer", "resnet_lstm"])
def test_training_on_the_gpu_equals_the_cpu(encoder: str):
    panel, market = planted_panel(3, 300, n_noise=3), MarketParams()
    network = NetworkParams(encoder=encoder, encoder_units=8, head_units=8)
    optimiser = OptimiserParams(
        n_updates=10, n_paths=3, path_sessions=40, burn_in_sessions=8, tail_sessions=6, epochs=2
    )
    plan = StackPlan(
        slices=tuple(TrainingSlice((i % 3,), 0, 300) for i in range(5)),
        seeds=tuple(range(5)),
        learning_rates=(1e-2,) * 5,
        regularisations=(Regularisation(input_noise=0.5, l1_first_layer=1e-3),) * 5,
        frozen_groups=(frozenset(),) * 5,
    )
    start = init_weights(network, 4, 3, plan.seeds)
    ends, scores = [], []
    for device in ("cpu", "cuda", "cuda"):
        there = panel.to(device)
        result = train_stack(there, start, network, market, optimiser, plan)
        assert result.weights["head.bias"].device.type == device
        scored = score_greedy(there, result.weights, network, market, [0] * 5, 8, 300, 8)
        ends.append({name: value.cpu() for name, value in result.weights.items()})
        scores.append(scored.net_return.cpu())
    for name in start:
        torch.testing.assert_close(ends[0][name], ends[1][name], atol=1e-4, rtol=1e-3)
        assert torch.equal(ends[1][name], ends[2][name])
    assert (scores[0] != scores[1]).float().mean() < 0.02
