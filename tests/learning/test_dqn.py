"""Q-learning targets against loops over their definition, and what double and dueling promise."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from transfergate.learning.dqn import action_values, dqn_update, error_gradients, follow, q_targets
from transfergate.learning.hyper import Job
from transfergate.settings import DqnParams, OptimiserParams


def sizes(**dqn: object) -> OptimiserParams:
    return OptimiserParams(
        algorithm="dqn",
        n_paths=2,
        path_sessions=9,
        burn_in_sessions=2,
        tail_sessions=3,
        discount=0.9,
        dqn=DqnParams(**dqn),
    )


def a_job(make_job, optimiser: OptimiserParams, **more: object) -> Job:
    # An online network that has moved away from its target.
    job = make_job(optimiser, ruin=True, stop=21, scale=80.0, **more)
    generator = torch.Generator().manual_seed(2)
    for name, value in job.weights.items():
        value.add_(0.3 * torch.randn(value.shape, generator=generator))
        assert not torch.equal(value, job.memory[name])
    return job


def values(job: Job, weights: dict[str, Tensor]) -> Tensor:
    aside = replace(job, weights=weights)
    logits, trace = aside.forward(job.batch.features)
    return action_values(weights, logits, trace, job.optimiser.dqn)[0]


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("dueling", [True, False])
def test_targets_equal_their_definition_looped(make_job, double: bool, dueling: bool):
    job = a_job(make_job, sizes(double=double, dueling=dueling))
    online, theirs = values(job, job.weights), values(job, job.memory)
    got, counts = q_targets(job, online)
    models, actions, sessions, paths, _ = online.shape
    shape = (sessions, models, paths, actions, actions)
    reward, alive = job.batch.reward.view(shape), job.batch.alive.view(shape)
    executable = job.batch.executable.view(shape[:3])
    within = job.batch.within.view(shape[:3])

    def worth(t: int, s: int, b: int, k: int) -> float:
        if not within[t, s, b]:
            return 0.0
        if not executable[t, s, b] and t + 1 < sessions:
            later = 0.9 * float(alive[t, s, b, k, k]) * worth(t + 1, s, b, k)
            return float(reward[t, s, b, k, k]) + later
        chooser = online if double else theirs
        return float(theirs[s, int(chooser[s, :, t, b, k].argmax()), t, b, k])

    seen = []
    for t in range(9):
        for s in range(models):
            for b in range(paths):
                assert bool(counts[s, 0, t, b, 0]) == bool(executable[t, s, b])
                for k in range(actions if executable[t, s, b] else 0):
                    for a in range(actions):
                        future = 0.9 * float(alive[t, s, b, k, a]) * worth(t + 1, s, b, a)
                        want = float(reward[t, s, b, k, a]) + future
                        assert got[s, a, t, b, k].item() == pytest.approx(want, abs=1e-4)
                        seen.append((bool(alive[t, s, b, k, a]), bool(executable[t + 1, s, b])))
    assert len(set(seen)) == 4


def test_double_targets_never_exceed_those_of_the_target_networks_own_maximum(make_job):
    double, single = (
        q_targets(job, values(job, job.weights))
        for job in (a_job(make_job, sizes(double=kind)) for kind in (True, False))
    )
    counted = double[1].bool().expand_as(double[0])
    lead = (single[0] - double[0])[counted]
    assert float(lead.min()) >= -1e-6
    assert float(lead.max()) > 1e-2
    job = make_job(sizes(), scale=80.0)  # online and target network are one
    same = q_targets(job, values(job, job.weights))[0]
    alone = make_job(sizes(double=False), scale=80.0)
    torch.testing.assert_close(same, q_targets(alone, values(alone, alone.weights))[0])


def test_dueling_values_are_the_critics_with_advantages_around_them(make_job):
    job = a_job(make_job, sizes())
    q = values(job, job.weights)
    shifted = {**job.weights, "head.bias": job.weights["head.bias"] + 3.0}
    torch.testing.assert_close(values(job, shifted), q, rtol=1e-4, atol=1e-4)
    raised = {**job.weights, "critic.bias": job.weights["critic.bias"] + 3.0}
    torch.testing.assert_close(values(job, raised), q + 3.0)
    plain = a_job(make_job, sizes(dueling=False, temperature=0.25))
    logits, _ = plain.forward(plain.batch.features)
    torch.testing.assert_close(values(plain, plain.weights), 0.25 * logits)
    assert not any(name.startswith("critic") for name in plain.weights)


@pytest.mark.parametrize("dueling", [True, False])
def test_gradients_of_the_squared_error_equal_autograd(dueling: bool):
    generator = torch.Generator().manual_seed(3)
    logits, targets = (
        torch.randn(2, 3, 4, 2, 3, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    state = torch.randn(2, 4, 2, 3, generator=generator, dtype=torch.float64).requires_grad_()
    logits.requires_grad_()
    dqn = DqnParams(dueling=dueling, temperature=0.5)
    q = 0.5 * logits
    if dueling:
        q = state.unsqueeze(1) + q - q.mean(1, keepdim=True)
    loss = -0.5 * (targets - q).square().sum()
    want = torch.autograd.grad(loss, [logits, state], allow_unused=True)
    by_logits, by_values = error_gradients((targets - q).detach(), dqn)
    torch.testing.assert_close(by_logits, want[0])
    if dueling:
        torch.testing.assert_close(by_values.view(state.shape), want[1])


def test_the_target_network_follows_softly_or_by_copies(make_job):
    job = a_job(make_job, sizes())
    before = {name: value.clone() for name, value in job.memory.items()}
    follow(job.memory, job.weights, DqnParams(target_rate=0.1), 0)
    for name, value in job.memory.items():
        torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * job.weights[name])
    held = {name: value.clone() for name, value in job.memory.items()}
    copies = DqnParams(target_rate=1.0, target_every=3)
    for update in range(2):
        follow(job.memory, job.weights, copies, update)
        assert all(torch.equal(held[name], value) for name, value in job.memory.items())
    follow(job.memory, job.weights, copies, 2)
    for name, value in job.memory.items():
        torch.testing.assert_close(value, job.weights[name])


def test_an_update_lowers_the_error_against_its_targets(make_job):
    job = make_job(sizes(), scale=80.0)
    optimiser = job.optimiser.model_copy(update={"epochs": 30})
    job = replace(job, hyper=replace(job.hyper, optimiser=optimiser))
    targets, counts = q_targets(job, values(job, job.weights))

    def error() -> Tensor:
        q = values(job, job.weights)[:, :, :9]
        return ((targets - q) * counts).square().flatten(1).mean(1)

    before = error()
    _, norms, steps = dqn_update(job)
    assert steps == 30
    assert bool((norms > 0).all())
    assert bool((error() < 0.75 * before).all())
