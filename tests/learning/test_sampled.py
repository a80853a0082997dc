"""Sampled PPO and A2C against the exact gradient and against the definitions."""

import pytest
import torch
from torch import Tensor

from transfergate.learning import sampled
from transfergate.learning.advantages import generalised_advantages
from transfergate.learning.critic import value_gradients, values_of
from transfergate.learning.rollout import action_noise, roll
from transfergate.learning.sampled import (
    SampledTerms,
    policy_gradient,
    realised_reward,
    sampled_terms,
    value_gradient,
)
from transfergate.learning.update import SurrogateTerms, evaluate_exactly, surrogate_gradient
from transfergate.settings import NetworkParams, OptimiserParams, SampledParams

SAMPLES = 5000
LEVEL_Z = 4.75
"""Two-sided level 1e-4 over 50 directions (Bonferroni): a right gradient fails once in 10,000."""


def sizes(**sampled_params: object) -> OptimiserParams:
    return OptimiserParams(
        algorithm="ppo",
        n_paths=2,
        path_sessions=10,
        burn_in_sessions=2,
        tail_sessions=4,
        discount=0.9,
        sampled=SampledParams(**({"normalise_advantages": False} | sampled_params)),
    )


def largest_z(make_job, optimiser: OptimiserParams, *, exact_critic: bool) -> float:
    """Largest z over 50 directions between mean sampled and exact gradients of the parameters."""
    # With the exact values for a critic GAE is unbiased for any lambda; with a wrong one for
    # lambda = 1, where nothing is bootstrapped: the slice ends with the kept sessions.
    stop = 150 if exact_critic else 10 + 10 + 1
    network = NetworkParams(encoder="gru", encoder_units=3, head_units=3)
    job = make_job(
        optimiser, models=SAMPLES, same=True, ruin=True, stop=stop, network=network, scale=80.0
    )
    logits, trace = job.forward(job.batch.features)
    models, actions, sessions, paths, _ = logits.shape
    policy = torch.softmax(logits, 1)
    evaluation, _ = evaluate_exactly(policy, job.batch, job.hyper)
    shape = (sessions, models, paths, actions)
    values = values_of(job.weights, trace.head.states)[0].view(models, sessions, paths, -1)
    if exact_critic:
        values = evaluation.value.view(shape).transpose(0, 1)
    noise = action_noise(job.hyper.seeds, 0, (actions, sessions, paths), logits.device)
    rollout = roll(logits, noise, job.batch, job.hyper.flat)
    reward = realised_reward(job.hyper.reward, job.batch, rollout)
    terms = sampled_terms(job, logits, values, rollout, reward)
    kept = optimiser.path_sessions
    by_logits = policy_gradient(torch.log_softmax(logits[:, :, :kept], 1), terms, None, 0.0)
    drawn = flattened(job.backward(trace, by_logits))
    advantage = evaluation.advantage.view(*shape, -1)[:kept].permute(1, 4, 0, 2, 3)
    occupancy = evaluation.occupancy.view(shape)[:kept].permute(1, 0, 2, 3).unsqueeze(1)
    exact = SurrogateTerms(policy[:, :, :kept], advantage, occupancy / (kept * paths))
    want = flattened(job.backward(trace, surrogate_gradient(exact.policy, exact, None)))[0]
    directions = torch.randn(want.numel(), 49, generator=torch.Generator().manual_seed(0))
    directions = torch.cat([directions, want.unsqueeze(1)], 1).double()
    along, goal = drawn.double() @ directions, want.double() @ directions
    assert bool((goal.abs() > 0).all())
    return float(((along.mean(0) - goal) / (along.std(0) / SAMPLES**0.5)).abs().max())


def flattened(grads: dict[str, Tensor]) -> Tensor:
    return torch.cat([grads[name].flatten(1) for name in sorted(grads)], 1)


@pytest.mark.parametrize(
    ("gae_lambda", "exact_critic"), [(1.0, False), (1.0, True), (0.95, True), (0.0, True)]
)
def test_sampled_gradients_agree_with_the_exact_one_in_expectation(
    make_job, gae_lambda: float, exact_critic: bool
):
    found = largest_z(make_job, sizes(gae_lambda=gae_lambda), exact_critic=exact_critic)
    assert found < LEVEL_Z


def bootstraps_behind_the_end(reward, value, goes_on, discount, decay):
    return generalised_advantages(reward, value, torch.ones_like(goes_on), discount, decay)


def one_session_late(reward, value, goes_on, discount, decay):
    late = generalised_advantages(reward, value, goes_on, discount, decay)
    return torch.cat([late[1:], late[:1] * 0])


def forgets_the_value(reward, value, goes_on, discount, decay):
    return generalised_advantages(reward, value * 0.5, goes_on, discount, decay)


@pytest.mark.parametrize(
    ("broken", "exact_critic", "gae_lambda"),
    [
        (bootstraps_behind_the_end, True, 0.5),
        (one_session_late, True, 1.0),
        (forgets_the_value, True, 0.5),
    ],
)
def test_the_comparison_notices_broken_advantages(
    make_job, monkeypatch: pytest.MonkeyPatch, broken, exact_critic: bool, gae_lambda: float
):
    monkeypatch.setattr(sampled, "generalised_advantages", broken)
    found = largest_z(make_job, sizes(gae_lambda=gae_lambda), exact_critic=exact_critic)
    assert found > LEVEL_Z


def test_the_comparison_notices_the_log_probability_of_another_action(
    make_job, monkeypatch: pytest.MonkeyPatch
):
    real = sampled._of_drawn

    def other(log_policy: Tensor, held: Tensor, action: Tensor) -> Tensor:
        return real(log_policy, held, (action + 1) % log_policy.shape[1])

    monkeypatch.setattr(sampled, "_of_drawn", other)
    assert largest_z(make_job, sizes(gae_lambda=0.95), exact_critic=True) > LEVEL_Z


def test_advantages_equal_their_definition():
    generator = torch.Generator().manual_seed(5)
    reward, value = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (9, 10))
    goes_on = (torch.rand(9, 6, generator=generator) < 0.8).double()
    got = generalised_advantages(reward, value, goes_on, 0.9, 0.7)
    for n in range(6):
        for t in range(9):
            total, weight = 0.0, 1.0
            for k in range(t, 9):
                after = 0.9 * float(goes_on[k, n] * value[k + 1, n])
                total += weight * (float(reward[k, n]) + after - float(value[k, n]))
                weight *= 0.9 * 0.7 * float(goes_on[k, n])
            assert got[t, n].item() == pytest.approx(total, abs=1e-12)


def random_terms(shape: tuple[int, int, int], positions: int) -> tuple[Tensor, SampledTerms]:
    generator = torch.Generator().manual_seed(1)

    def randn(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    models, sessions, paths = shape
    held, action = (torch.randint(positions, shape, generator=generator) for _ in range(2))
    logits = randn(models, positions, sessions, paths, positions)
    decided = (torch.rand(shape, generator=generator) < 0.8).double()
    old = sampled._of_drawn(torch.log_softmax(logits + 0.4 * randn(*logits.shape), 1), held, action)
    value = randn(*shape)
    terms = SampledTerms(
        held, action, old, randn(*shape) * decided, value, randn(*shape), decided, decided
    )
    return logits, terms


def test_the_policy_gradient_equals_autograd():
    logits, terms = random_terms((2, 5, 3), 4)
    logits.requires_grad_()
    log_policy = torch.log_softmax(logits, 1)
    surrogate, entropy, clipped = torch.zeros(()), torch.zeros(()), 0
    for s in range(2):
        for t in range(5):
            for b in range(3):
                row = log_policy[s, :, t, b, terms.held[s, t, b]]
                ratio = (row[terms.action[s, t, b]] - terms.log_prob[s, t, b]).exp()
                a = terms.advantage[s, t, b]
                clipped += int(ratio.clamp(0.8, 1.2) != ratio)
                surrogate = surrogate + torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)
                entropy = entropy - (row.exp() * row).sum() * terms.decided[s, t, b]
    assert 5 < clipped < 30
    (want,) = torch.autograd.grad((surrogate + 0.1 * entropy) / 15, logits)
    got = policy_gradient(log_policy.detach(), terms, 0.2, 0.1)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_the_value_gradient_equals_autograd(clip: float | None):
    logits, terms = random_terms((2, 5, 3), 4)
    values = logits[:, 0].clone().requires_grad_()
    value = values.gather(3, terms.held.unsqueeze(3)).squeeze(3)
    loss = (value - terms.target).square()
    if clip is not None:
        held_back = terms.value + (value - terms.value).clamp(-clip, clip)
        loss = torch.maximum(loss, (held_back - terms.target).square())
    (want,) = torch.autograd.grad(-0.5 * (loss * terms.visited).sum() / 15, values)
    torch.testing.assert_close(value_gradient(values.detach(), terms, clip), want)


def test_the_critic_reads_the_encoder_and_leaves_it_alone(make_job):
    job = make_job(sizes())
    _, trace = job.forward(job.batch.features)
    values, critic = values_of(job.weights, trace.head.states)
    grads = value_gradients(critic, torch.ones_like(values))
    assert set(grads) == {f"critic.{part}" for part in ("hidden", "position", "output", "bias")}
    parameters = {name: job.weights[name].clone().requires_grad_() for name in grads}
    hidden, position, output, bias = (
        parameters[f"critic.{part}"] for part in ("hidden", "position", "output", "bias")
    )
    own = trace.head.states @ hidden
    again = torch.tanh(own.unsqueeze(2) + position.unsqueeze(1)) @ output.unsqueeze(1)
    again = again.squeeze(-1) + bias
    torch.testing.assert_close(again, values)
    want = torch.autograd.grad(again.sum(), [parameters[name] for name in sorted(grads)])
    for name, gradient in zip(sorted(grads), want, strict=True):
        torch.testing.assert_close(grads[name], gradient, rtol=1e-3, atol=1e-4)


def test_normalised_advantages_have_mean_0_and_deviation_1_over_each_models_decisions(make_job):
    job = make_job(sizes(normalise_advantages=True), models=3)
    logits, trace = job.forward(job.batch.features)
    models, _, sessions, paths, _ = logits.shape
    values = values_of(job.weights, trace.head.states)[0].view(models, sessions, paths, -1)
    rollout = roll(logits, None, job.batch, job.hyper.flat)
    reward = realised_reward(job.hyper.reward, job.batch, rollout)
    terms = sampled_terms(job, logits, values, rollout, reward)
    for model in range(3):
        chosen = terms.advantage[model][terms.decided[model] > 0]
        assert 5 < len(chosen) < 20
        assert float(chosen.mean()) == pytest.approx(0.0, abs=1e-5)
        assert float(chosen.std(correction=0)) == pytest.approx(1.0, abs=1e-3)
    assert not terms.advantage[terms.decided == 0].any()
