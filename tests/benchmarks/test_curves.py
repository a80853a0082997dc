"""What is read off learning curves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks._curves import Curve, follow, median_seconds, sharpe_of_positions
from benchmarks._ours import greedy_table, out_of_sample
from benchmarks.roofline import operations_per_step
from transfergate.learning import init_weights, score_greedy
from transfergate.market import planted_panel
from transfergate.market.optimum import optimum_sharpe
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams


def curve(*points: tuple[float, int, float]) -> Curve:
    made = Curve()
    for point in points:
        made.add(*point)
    return made


def test_seconds_are_those_of_the_first_evaluation_that_is_there():
    learner = curve((0.1, 10, 0.2), (0.4, 20, 1.0), (0.9, 30, 0.5))
    assert learner.seconds_to(0.9) == 0.4
    assert learner.after_seconds(0.3) == 0.2
    assert learner.after_steps(30) == 0.5
    assert learner.after_steps(5) == 0.0
    never = curve((5.0, 10, 0.2))
    assert median_seconds([learner, never, learner], 0.9, 60.0) == (0.4, False)
    assert median_seconds([learner, never, never], 0.9, 60.0) == (60.0, True)


def test_sharpe_of_a_policy_is_that_of_our_own_back_test():
    panel, market = planted_panel(3, 300, n_noise=3), MarketParams()
    network = NetworkParams(encoder="mlp", encoder_units=8, head_units=8)
    weights = init_weights(network, panel.n_features, 3, [5])
    three = {name: value.repeat(3, *[1] * (value.ndim - 1)) for name, value in weights.items()}
    net = score_greedy(panel, three, network, market, range(3), 0, 300, 0).net_return
    expected = torch.nan_to_num(net.mean(1) / net.std(1, correction=0)).mean() * 252**0.5
    found = out_of_sample(panel, weights, network, market)
    assert found == pytest.approx(float(expected), rel=1e-9)
    positions = follow(panel, market, greedy_table(panel, weights, network))
    assert np.isin(positions, market.positions).all()


def test_sharpe_of_the_optimum_s_own_positions_is_the_optimum():
    panel, market = planted_panel(4, 500), MarketParams()
    best = optimum_sharpe(panel, market)
    found = sharpe_of_positions(panel, market, best.position.numpy())
    assert found == pytest.approx(best.sharpe, rel=1e-6)


def test_operations_of_an_mlp_step_are_counted_by_hand():
    network = NetworkParams(encoder="mlp", encoder_units=4, head_units=5)
    optimiser = OptimiserParams(path_sessions=10, tail_sessions=0, burn_in_sessions=0)
    encoder, head = 2 * 7 * 4, 2 * 4 * 5 + 2 * 3 * 5 * 3
    counted = operations_per_step(network, optimiser, 7, 3)
    assert counted == encoder + head + encoder + 2 * head
