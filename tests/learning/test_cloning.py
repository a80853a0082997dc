"""Behavioural cloning imitates its rule on sessions that it never saw."""

import pytest
import torch

from transfergate.errors import TrainingError
from transfergate.learning import (
    StackPlan,
    TrainingSlice,
    encode,
    head_logits,
    init_weights,
    train_stack,
)
from transfergate.learning.cloning import feature_column, rule_actions
from transfergate.market import Panel, planted_panel
from transfergate.settings import (
    CloningParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
)


def named_panel() -> Panel:
    panel = planted_panel(4, 700, n_noise=3, seed=2)
    names = ("log_return", "a", "b", "c")
    return Panel(**{**vars(panel), "feature_names": names})


@pytest.mark.parametrize(
    ("encoder", "algorithm", "rule", "window", "threshold"),
    [
        ("mlp", "exact_ppo", "momentum", 1, 0.3),
        ("mlp", "dqn", "reversal", 1, 0.0),
        ("gru", "ppo", "momentum", 3, 0.0),
    ],
)
def test_a_cloned_policy_imitates_its_rule_on_held_out_sessions(
    encoder: str, algorithm: str, rule: str, window: int, threshold: float
):
    panel, network = named_panel(), NetworkParams(encoder=encoder)
    cloning = CloningParams(rule=rule, feature="log_return", window=window, threshold=threshold)
    optimiser = OptimiserParams(
        algorithm=algorithm,
        n_updates=180,
        n_paths=8,
        path_sessions=60,
        burn_in_sessions=16,
        learning_rate=3e-2,
        cloning_updates=180,
        cloning=cloning,
    )
    plan = StackPlan(
        slices=(TrainingSlice((0, 1, 2, 3), 0, 500),) * 2,
        seeds=(1, 2),
        learning_rates=(3e-2,) * 2,
        regularisations=(Regularisation(), Regularisation(input_noise=0.1)),
        frozen_groups=(frozenset(),) * 2,
    )
    start = init_weights(network, 4, 3, plan.seeds)
    result = train_stack(panel, start, network, MarketParams(), optimiser, plan)
    x = panel.features[:, 500:].unsqueeze(0).expand(2, -1, -1, -1)
    actions = head_logits(result.weights, encode(result.weights, network, x)).argmax(-1)
    wanted = rule_actions(x[..., 0].transpose(1, 2), cloning, 1, 3).transpose(1, 2)
    agreed = (actions == wanted.unsqueeze(-1))[:, :, 16:].float().mean((1, 2, 3))
    assert float(agreed.min()) > 0.95
    assert len(wanted.unique()) == (3 if threshold else 2)
    assert bool((result.objective[-1] > result.objective[0] + 0.5).all())
    assert result.meter.env_steps.tolist() == [180 * 8 * 60] * 2
    assert result.meter.updates.tolist() == [180] * 2


def test_rules_look_back_over_their_window_only():
    signal = torch.tensor([1.0, 1.0, -4.0, 1.0, 1.0, 0.5, -0.6]).view(1, -1, 1)
    got = rule_actions(signal, CloningParams(window=3), 1, 3).flatten()
    assert got.tolist() == [2, 2, 0, 0, 0, 2, 2]
    reverse = rule_actions(signal, CloningParams(window=3, rule="reversal"), 1, 3).flatten()
    assert reverse.tolist() == [0, 0, 2, 2, 2, 0, 0]
    lazy = rule_actions(signal, CloningParams(window=1, threshold=0.7), 1, 3).flatten()
    assert lazy.tolist() == [2, 2, 0, 2, 2, 1, 1]
    longer = rule_actions(signal, CloningParams(window=50), 1, 3).flatten()
    assert longer.tolist() == [2, 2, 0, 0, 1, 2, 0]


def test_columns_are_found_by_name_or_number_and_others_are_refused():
    panel = named_panel()
    assert feature_column(panel, CloningParams(feature="b")) == 2
    assert feature_column(panel, CloningParams(feature=3)) == 3
    with pytest.raises(TrainingError, match=r"'volume'.*named log_return, a, b, c"):
        feature_column(panel, CloningParams(feature="volume"))
    with pytest.raises(TrainingError, match="from 0 to 3"):
        feature_column(planted_panel(1, 50, n_noise=3), CloningParams(feature=4))
