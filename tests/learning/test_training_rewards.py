"""Rewards in training: which algorithm covers which, and that their gradients are right."""

from typing import get_args

import pytest
import torch

from transfergate.errors import SettingsError
from transfergate.learning import StackPlan, TrainingSlice, init_weights, score_greedy, train_stack
from transfergate.learning.rollout import roll
from transfergate.learning.sampled import realised_reward
from transfergate.learning.update import evaluate_exactly
from transfergate.market import planted_panel
from transfergate.market.rewards import REWARDS, reward_of
from transfergate.settings import (
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
    load,
    uncovered,
)
from transfergate.settings.algorithms import COVERED_REWARDS, LINEARISED_REWARDS, Algorithm


def test_what_settings_say_is_covered_is_what_the_rewards_say_of_themselves():
    for name, reward in REWARDS.items():
        for algorithm in get_args(Algorithm):
            covered = uncovered(algorithm, name, 1.0) is None
            if algorithm.startswith("exact"):
                assert covered == reward.exact
            elif algorithm == "dqn":
                assert covered == (reward.exact and not reward.linearised)
            else:
                assert covered
        assert (name in LINEARISED_REWARDS) == reward.linearised
    assert set(COVERED_REWARDS) == set(get_args(Algorithm))
    assert "discount 1.0, found 0.9" in str(uncovered("exact_ppo", "path_sharpe", 0.9))
    assert uncovered("ppo", "path_sharpe", 0.9) is None


def test_settings_refuse_a_pair_and_name_what_covers_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRANSFERGATE_MARKET__REWARD", "differential_sharpe")
    with pytest.raises(
        SettingsError, match=r"'exact_ppo' does not cover.*expected one of ppo, a2c"
    ):
        load()
    for stage in ("PRETRAIN", "FINETUNE"):
        monkeypatch.setenv(f"TRANSFERGATE_{stage}__OPTIMISER__ALGORITHM", "ppo")
    assert load().finetune.optimiser.algorithm == "ppo"


def test_a_linearised_sharpe_ratio_has_the_gradient_of_the_ratio_of_expected_moments(make_job):
    market = MarketParams(reward="path_sharpe")
    sizes = OptimiserParams(
        n_paths=3, path_sessions=12, burn_in_sessions=0, tail_sessions=0, discount=1.0
    )
    job = make_job(sizes, market=market, models=2, stop=40, scale=80.0)
    logits, _ = job.forward(job.batch.features)
    found, objective = evaluate_exactly(torch.softmax(logits, 1), job.batch, job.hyper)
    models, actions, sessions, paths, _ = logits.shape
    shape = (sessions, models, paths, actions)
    variable = logits.double().requires_grad_()
    policy = torch.softmax(variable, 1).permute(2, 0, 3, 4, 1)
    net = job.batch.reward.double().view(*shape, actions)
    executable = job.batch.executable.view(shape[:3])
    held = torch.zeros(models, paths, actions, dtype=torch.float64)
    held[..., job.hyper.flat] = 1.0
    first = second = torch.zeros(models, dtype=torch.float64)
    stay = torch.eye(actions, dtype=torch.float64)
    for t in range(sessions):
        moves = torch.where(executable[t][..., None, None], policy[t], stay)
        joint = held.unsqueeze(-1) * moves
        first = first + (joint * net[t]).sum((1, 2, 3)) / (sessions * paths)
        second = second + (joint * net[t].square()).sum((1, 2, 3)) / (sessions * paths)
        held = joint.sum(2)
    sharpe = 252**0.5 * first / (second - first.square() + 1e-8).sqrt()
    torch.testing.assert_close(objective.double(), sharpe.detach(), rtol=1e-3, atol=1e-3)
    (want,) = torch.autograd.grad(sharpe.sum(), variable)
    occupancy = found.occupancy.view(shape).unsqueeze(-1)
    injected = occupancy * policy.detach().float() * found.advantage.view(*shape, actions)
    got = injected.permute(1, 4, 0, 2, 3) / (sessions * paths)
    scale = float(want.abs().max())
    torch.testing.assert_close(got.double(), want, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("name", ["differential_sharpe", "drawdown", "path_sharpe"])
def test_sampled_rewards_are_those_along_the_realised_path(make_job, name: str):
    market = MarketParams(reward=name)
    sizes = OptimiserParams(algorithm="ppo", n_paths=3, path_sessions=12, burn_in_sessions=2)
    job = make_job(sizes, market=market, scale=80.0)
    logits, _ = job.forward(job.batch.features)
    rollout = roll(logits, None, job.batch, job.hyper.flat)
    got = realised_reward(job.hyper.reward, job.batch, rollout)
    net = rollout.along(job.batch.reward).double()
    reward = reward_of(market)
    state = reward.begin(tuple(net.shape[1:]))
    scale = 100.0 if name == "drawdown" else 1.0
    for t in range(len(net)):
        want, state = reward.advance(state, net[t])
        torch.testing.assert_close(got[t].double(), want * scale, rtol=1e-5, atol=1e-6)
    assert len(rollout.action.unique()) == 3


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("simple_return", "dqn"),
        ("path_sharpe", "exact_ppo"),
        ("differential_sharpe", "ppo"),
        ("drawdown", "a2c"),
    ],
)
def test_each_reward_finds_the_planted_edge(name: str, algorithm: str):
    panel = planted_panel(6, 1000, n_noise=1, phi=0.4, seed=3)
    market, network = MarketParams(reward=name), NetworkParams(encoder="mlp")
    sizes = OptimiserParams(
        algorithm=algorithm,
        n_updates=80,
        n_paths=8,
        path_sessions=60,
        burn_in_sessions=2,
        discount=1.0 if name == "path_sharpe" else 0.9,
    )
    plan = StackPlan(
        slices=(TrainingSlice((0, 1, 2, 3), 2, 1000),) * 2,
        seeds=(1, 2),
        learning_rates=(1e-2,) * 2,
        regularisations=(Regularisation(),) * 2,
        frozen_groups=(frozenset(),) * 2,
    )
    start = init_weights(network, 2, 3, plan.seeds)
    trained = train_stack(panel, start, network, market, sizes, plan).weights
    r = torch.cat(
        [
            score_greedy(panel, trained, network, market, [row] * 2, 2, 1000, 2).net_return
            for row in (4, 5)
        ],
        1,
    )
    assert float((r.mean(1) / r.std(1)).min()) * 252**0.5 > 3.0
