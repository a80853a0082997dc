"""The discriminator's gradients, its schedule, and that the encoder really hides the ticker."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning import (
    Checkpoint,
    StackPlan,
    TrainingResult,
    TrainingSlice,
    Weights,
    encode,
    init_weights,
    score_greedy,
    select_models,
    train_stack,
)
from transfergate.learning.adversary import Adversary, discriminate, with_adversary
from transfergate.market import Panel, planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation
from transfergate.storage import ArtefactStore

MARKET = MarketParams(cost_bps=1.0)
NETWORK = NetworkParams(encoder="gru", encoder_units=8, head_units=8)
SEEDS = (1, 2, 3)
CUT, SESSIONS = 400, 700


def test_gradients_equal_autograd():
    weights = init_weights(NETWORK, 4, 3, SEEDS)
    weights = with_adversary(weights, Adversary((0, 1, 2, 1), 1.0, units=5), SEEDS)
    weights = {k: v.double().requires_grad_() for k, v in weights.items() if k[:4] == "adve"}
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 11, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (3, 11), generator=generator)
    hidden = torch.tanh(states @ weights["adversary.hidden"] + weights["adversary.bias"])
    logits = hidden @ weights["adversary.output"] + weights["adversary.output_bias"]
    slow = -torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none"
    )
    slow = slow.view(3, 11).mean(1)
    slow.sum().backward()
    with torch.no_grad():
        fast, grads, by_states = discriminate(weights, states, labels)
    torch.testing.assert_close(fast, slow.detach())
    torch.testing.assert_close(by_states, states.grad)
    assert grads.keys() == weights.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, weights[name].grad)


def test_the_weight_rises_from_nothing_over_all_stages():
    whole = Adversary((0, 1), 2.0)
    first, second = replace(whole, end=0.4), replace(whole, begin=0.4)
    assert whole.weight(0.0) == 0.0
    assert whole.weight(1.0) == pytest.approx(2.0, rel=1e-3)
    assert first.weight(1.0) == second.weight(0.0) == whole.weight(0.4)
    assert whole.weight(0.1) < whole.weight(0.2) < whole.weight(0.5)


@pytest.mark.parametrize("domains", [(), (0, 0), (0, 2), (1, 2)])
def test_domains_without_two_classes_from_0_are_refused(domains: tuple[int, ...]):
    with pytest.raises(TrainingError, match="at least two domains"):
        Adversary(domains, 1.0)


def panel_with_names() -> Panel:
    """A planted market whose last two features say, noisily, which of four tickers it is."""
    panel = planted_panel(4, SESSIONS, n_noise=1, seed=3)
    generator = torch.Generator().manual_seed(3)
    code = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    names = code[:, None] + 0.3 * torch.randn(4, SESSIONS, 2, generator=generator)
    return replace(panel, features=torch.cat([panel.features, names], -1).contiguous())


def train(
    panel: Panel, adversary: Adversary | None, n_updates: int, seeds=SEEDS, **more: object
) -> TrainingResult:
    models = len(seeds)
    optimiser = OptimiserParams(
        n_updates=n_updates,
        n_paths=16,
        path_sessions=40,
        burn_in_sessions=8,
        tail_sessions=4,
        learning_rate=0.02,
    )
    plan = StackPlan(
        slices=(TrainingSlice((0, 1, 2, 3), 0, CUT),) * models,
        seeds=seeds,
        learning_rates=(0.02,) * models,
        regularisations=(Regularisation(),) * models,
        frozen_groups=(frozenset(),) * models,
    )
    start = init_weights(NETWORK, 4, 3, seeds)
    return train_stack(panel, start, NETWORK, MARKET, optimiser, plan, adversary=adversary, **more)  # type: ignore[arg-type]


def read_ticker(panel: Panel, weights: Weights) -> float:
    """Accuracy of a fresh discriminator on later sessions than it learnt from; chance is 0.25."""
    states = encode(weights, NETWORK, panel.features[:, CUT:].unsqueeze(0))[0]
    label = torch.arange(4)[:, None].expand(4, SESSIONS - CUT)
    learn, test = slice(20, 150), slice(150, None)
    x, y = states[:, learn].flatten(0, 1), label[:, learn].flatten()
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    generator = torch.Generator().manual_seed(0)
    hidden = (0.3 * torch.randn(8, 16, generator=generator)).requires_grad_()
    output = torch.zeros(16, 4, requires_grad=True)

    def guess(states: Tensor) -> Tensor:
        return torch.tanh(((states - mean) / deviation) @ hidden) @ output

    optimiser = torch.optim.Adam([hidden, output], lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(guess(x), y).backward()
        optimiser.step()
    found = guess(states[:, test].flatten(0, 1)).argmax(1)
    return float((found == label[:, test].flatten()).double().mean())


def later_sharpe(panel: Panel, weights: Weights) -> Tensor:
    models = len(next(iter(weights.values())))
    found = []
    for row in range(4):
        rows = [row] * models
        r = score_greedy(panel, weights, NETWORK, MARKET, rows, CUT, SESSIONS, 8).net_return
        found.append(r.mean(1) / r.std(1) * 252**0.5)
    return torch.stack(found).mean(0)


def test_states_say_less_about_the_ticker_and_the_policy_still_learns():
    panel = panel_with_names()
    plain = train(panel, None, 120).weights
    hidden = train(panel, Adversary((0, 1, 2, 3), 1.0, rate_ratio=5.0), 120).weights
    assert not [name for name in hidden if name.startswith("adversary")]
    without = [read_ticker(panel, select_models(plain, [model])) for model in range(3)]
    with_it = [read_ticker(panel, select_models(hidden, [model])) for model in range(3)]
    assert min(without) > 0.75
    assert max(with_it) < 0.65
    assert later_sharpe(panel, hidden).min() > 1.5  # without it about 3


def test_each_model_has_its_own_discriminator_and_a_killed_run_goes_on(tmp_path):
    panel, adversary = panel_with_names(), Adversary((0, 1, 2, 3), 1.0)
    together = train(panel, adversary, 6).weights
    alone = train(panel, adversary, 6, seeds=SEEDS[1:2]).weights
    for name, value in alone.items():
        torch.testing.assert_close(value[0], together[name][1], atol=2e-5, rtol=0.0)

    def kill(progress):
        if progress.update == 4:
            raise InterruptedError

    kept = Checkpoint(ArtefactStore(tmp_path), "run.safetensors", every_updates=2)
    with pytest.raises(InterruptedError):
        train(panel, adversary, 6, checkpoint=kept, on_progress=kill)
    resumed = train(panel, adversary, 6, checkpoint=kept).weights
    stronger = train(panel, replace(adversary, strength=2.0), 6, checkpoint=kept).weights
    assert all(torch.equal(together[name], resumed[name]) for name in together)
    assert not torch.equal(together["encoder.input"], stronger["encoder.input"])
