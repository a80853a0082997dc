from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfergate.learning.exact import BANDED, LOOP, evaluate_policy
from transfergate.learning.update import SurrogateTerms, surrogate_gradient
from transfergate.market import dynamics
from transfergate.market.rewards import log_return

START = 1


def problem(seed: int, sessions: int = 23, paths: int = 4, positions: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    executable = torch.rand(sessions, paths, generator=generator) < 0.8
    grid = torch.linspace(-1, 1, positions, dtype=torch.float64)
    net = dynamics.return_table(
        0.02 * randn(sessions, paths), 0.02 * randn(sessions, paths), executable, grid, 1e-3
    )
    logits = randn(sessions, paths, positions, positions)
    return {"logits": logits, "reward": 100 * log_return(net), "executable": executable}


def value_by_recursion(
    logits: Tensor, reward: Tensor, executable: Tensor, discount: float, alive: Tensor | None = None
) -> Tensor:
    """Differentiable, with no matrix form: V(k) = sum_a pi (r + discount V(next))."""
    policy = torch.softmax(logits, -1)
    sessions, _, size, _ = policy.shape
    leads = dynamics.next_positions(executable, size)
    value = torch.zeros_like(policy[0, :, :, 0])
    for t in range(sessions - 1, -1, -1):
        future = value.unsqueeze(1).expand(-1, size, -1).gather(2, leads[t])
        if alive is not None:
            future = future * alive[t]
        value = (policy[t] * (reward[t] + discount * future)).sum(-1)
    return value


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sessions=st.integers(1, 40),
    positions=st.sampled_from([2, 3, 5]),
    chunk=st.sampled_from([BANDED, *range(2, 10)]),
)
def test_the_scan_and_the_banded_system_equal_the_loop(seed, sessions, positions, chunk):
    p = problem(seed, sessions, 3, positions)
    policy = torch.softmax(p["logits"], -1)
    parts = (policy, p["reward"], p["executable"], 0.97, START)
    loop, scan = evaluate_policy(*parts, chunk=LOOP), evaluate_policy(*parts, chunk=chunk)
    for name in ("value", "advantage", "occupancy", "expected_reward"):
        torch.testing.assert_close(getattr(loop, name), getattr(scan, name))


@pytest.mark.parametrize(
    ("positions", "chunk"),
    [*product([3, 4, 5, 7], [LOOP, BANDED, 4]), *product([9, 21], [None])],
)
def test_a_paths_bits_do_not_depend_on_the_paths_beside_it(positions: int, chunk: int | None):
    n_paths = 20 if chunk is None else 70  # where the choice is free, few enough for BLAS
    p = problem(5, 40, n_paths, positions)
    parts = (torch.softmax(p["logits"], -1).float(), p["reward"].float(), p["executable"])

    def evaluated(some: slice) -> dict[str, Tensor]:
        mine = [part[:, some].contiguous() for part in parts]
        return vars(evaluate_policy(*mine, 0.97, START, chunk=chunk))

    together = evaluated(slice(0, n_paths))
    for first, end in ((0, 1), (5, 13), (n_paths // 2 - 2, n_paths - 4), (n_paths - 1, n_paths)):
        some = slice(first, end)
        for name, alone in evaluated(some).items():
            assert torch.equal(alone, together[name][:, some]), name


@pytest.mark.parametrize("chunk", [LOOP, BANDED, 4])
def test_values_equal_the_recursion_and_monte_carlo(chunk: int):
    p = problem(0, sessions=15, paths=1)
    policy = torch.softmax(p["logits"], -1)
    got = evaluate_policy(policy, p["reward"], p["executable"], 0.9, START, chunk=chunk)
    want = value_by_recursion(**p, discount=0.9)
    torch.testing.assert_close(got.value[0], want)

    n, generator = 40_000, torch.Generator().manual_seed(1)
    leads = dynamics.next_positions(p["executable"], 3)
    held = torch.full((n,), START)
    total, counts = torch.zeros(n, dtype=torch.float64), []
    for t in range(15):
        counts.append(torch.bincount(held, minlength=3) / n)
        action = torch.multinomial(policy[t, 0][held], 1, generator=generator).squeeze(1)
        total += 0.9**t * p["reward"][t, 0][held, action]
        held = leads[t, 0][held, action]
    error = total.std() / n**0.5
    assert abs(total.mean() - got.value[0, 0, START]) < 4 * error
    torch.testing.assert_close(
        torch.stack(counts), got.occupancy[:, 0].float(), atol=0.012, rtol=0.0
    )


@pytest.mark.parametrize("chunk", [LOOP, BANDED, 4])
def test_a_path_whose_numbers_are_not_finite_spoils_no_other(chunk: int):
    p = problem(6)
    policy, reward = torch.softmax(p["logits"], -1), p["reward"].clone()
    sound = evaluate_policy(policy, reward, p["executable"], 0.97, START, chunk=LOOP)
    reward[:, 1] = torch.inf
    got = evaluate_policy(policy, reward, p["executable"], 0.97, START, chunk=chunk)
    assert not torch.isfinite(got.value[0, 1]).any()
    others = [0, 2, 3]
    torch.testing.assert_close(got.value[:, others], sound.value[:, others])
    torch.testing.assert_close(got.advantage[:, others], sound.advantage[:, others])


@pytest.mark.parametrize("chunk", [LOOP, BANDED, 4])
@pytest.mark.parametrize("ruin", [False, True])
def test_the_injected_gradient_equals_autograd_through_the_recursion(ruin: bool, chunk: int):
    p = problem(3)
    alive = None
    if ruin:
        alive = torch.rand(p["reward"].shape, generator=torch.Generator().manual_seed(9)) < 0.9
        alive = alive.double()
        rows = torch.arange(3)
        stuck = ~p["executable"]
        diagonal = alive[:, :, rows, rows].unsqueeze(-1).expand_as(alive)
        alive = torch.where(stuck[..., None, None], diagonal, alive)
    logits = p["logits"].clone().requires_grad_()
    value = value_by_recursion(logits, p["reward"], p["executable"], 1.0, alive)
    (want,) = torch.autograd.grad(value[:, START].sum(), logits)
    policy = torch.softmax(p["logits"], -1)
    parts = (policy, p["reward"], p["executable"], 1.0, START)
    got = evaluate_policy(*parts, alive=alive, chunk=chunk)
    injected = got.occupancy.unsqueeze(-1) * policy * got.advantage
    torch.testing.assert_close(injected, want)


def test_no_action_has_an_advantage_where_nothing_is_executed():
    p = problem(4)
    policy = torch.softmax(p["logits"], -1)
    got = evaluate_policy(policy, p["reward"], p["executable"], 0.99, START)
    assert not got.advantage[~p["executable"]].any()
    stuck = (~p["executable"])[:-1]
    assert stuck.any()
    torch.testing.assert_close(got.occupancy[1:][stuck], got.occupancy[:-1][stuck])
    torch.testing.assert_close(got.occupancy.sum(-1), torch.ones_like(got.occupancy[..., 0]))


def test_the_surrogates_gradient_equals_autograd():
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 5, 4, 3)  # (S, A, L, B, P)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    old = torch.softmax(torch.randn(shape, generator=generator, dtype=torch.float64), 1)
    advantage = torch.randn(shape, generator=generator, dtype=torch.float64)
    occupancy = torch.rand(2, 1, 5, 4, 3, generator=generator, dtype=torch.float64)
    policy = torch.softmax(logits, 1)
    ratio = policy / old
    clipped = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    (want,) = torch.autograd.grad((occupancy * old * clipped).sum(), logits)
    terms = SurrogateTerms(old, advantage, occupancy)
    torch.testing.assert_close(surrogate_gradient(policy.detach(), terms, 0.2), want)
