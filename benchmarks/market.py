"""Steps of the environment alone, with peers: ``python -m benchmarks.market --json``.

One stock, episodes of 252 decisions, 32 features in the observation, random actions drawn before
the clock starts. One core: CPU seconds, wall seconds where processes are used; two cores: wall
seconds. Ours: ``MarketVectorEnv`` (short or flat or long, costs, execution at
the next open). Peers: FinRL's ``StockTradingEnv`` (one stock, 32 indicators) and gym-anytrading's
``StocksEnv`` (window 1, 32 signal features), each in Stable-Baselines3's ``DummyVecEnv`` with 1 and
16 environments and in ``SubprocVecEnv`` with 4: the best of the three counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks._harness import (
    Figures,
    alternate,
    clock,
    figure,
    installed,
    run_by_cores,
)
from transfergate.market import EpisodeParams, MarketVectorEnv, planted_panel

EPISODE = 252
N_FEATURES = 32
SIZES = (64, 256, 1024, 4096)
PEERS = {"finrl": "FinRL", "gym-anytrading": "gym-anytrading"}
WRAPPERS = (("dummy", 1), ("dummy", 16), ("subproc", 4))
GOAL = 100.0


def our_rate(num_envs: int, seconds: float, now: Callable[[], float]) -> float:
    """Environment steps per second of our vector environment."""
    panel = planted_panel(1, 2520, n_noise=N_FEATURES - 1)
    env = MarketVectorEnv(num_envs, panel, None, EpisodeParams(None, 0, None, EPISODE))
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 3, (64, num_envs))
    return _rate(lambda i: env.step(actions[i % 64]), num_envs, seconds, now)


def peer_rate(
    peer: str, wrapper: str, num_envs: int, seconds: float, now: Callable[[], float]
) -> float:
    """The same of a peer's environment in Stable-Baselines3's vector wrapper."""
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    from benchmarks import _market_peers

    make = getattr(_market_peers, f"make_{peer.replace('-', '_')}")
    makers = [partial(make, EPISODE, N_FEATURES)] * num_envs
    env = DummyVecEnv(makers) if wrapper == "dummy" else SubprocVecEnv(makers, "fork")
    try:
        env.reset()
        rng = np.random.default_rng(0)
        if hasattr(env.action_space, "n"):
            actions: Any = rng.integers(0, env.action_space.n, (64, num_envs))
        else:
            actions = rng.uniform(-1, 1, (64, num_envs, *env.action_space.shape))
        clocked = time.perf_counter if wrapper == "subproc" else now
        return _rate(lambda i: env.step(actions[i % 64]), num_envs, seconds, clocked)
    finally:
        env.close()


def _rate(
    step: Callable[[int], Any], num_envs: int, seconds: float, now: Callable[[], float]
) -> float:
    # More than one episode, so that restarts are in the figure.
    count, begin = 0, now()
    while count < 2 * EPISODE or now() - begin < seconds:
        step(count)
        count += 1
        if count >= 16 and now() - begin > 3 * seconds:
            break
    return count * num_envs / (now() - begin)


def measure(cores: int, rounds: int, *, quick: bool) -> Figures:
    seconds, rounds, sizes = (0.05, 1, SIZES[:1]) if quick else (1.0, rounds, SIZES)
    now = clock(cores)
    runs = {f"ours_{n}": partial(our_rate, n, seconds, now) for n in sizes}
    wrappers = WRAPPERS[:1] if quick else WRAPPERS
    have = [name for name in PEERS if installed(name) and installed("stable-baselines3")]
    for name in have:
        for wrapper, count in wrappers:
            runs[f"{name}_{wrapper}_{count}"] = partial(
                peer_rate, name, wrapper, count, seconds, now
            )
    rates, _ = alternate(runs, rounds)
    best = max((name for name in rates if name.startswith("ours_")), key=rates.__getitem__)
    figures: Figures = {}
    for name, title in PEERS.items():
        label = f"env_steps_per_s_{name.replace('-', '_')}_{cores}core"
        size = f"best of {', '.join(map(str, sizes))} environments: {best.removeprefix('ours_')}"
        if name not in have:
            note = f"{name} is not installed: make setup-bench"
            figures[label] = figure(rates[best], None, title, goal=GOAL, note=note)
            continue
        peer = max((n for n in rates if n.startswith(name)), key=rates.__getitem__)
        wrapper = peer.removeprefix(f"{name}_").replace("_", " x ")
        named = f"{title} {installed(name)} in SB3's wrapper, best: {wrapper}"
        figures[label] = figure(rates[best], rates[peer], named, goal=GOAL, note=size)
    for n in sizes:
        rate = rates[f"ours_{n}"]
        figures[f"env_steps_per_s_{n}_envs_{cores}core"] = figure(rate, None, "none")
    return figures


if __name__ == "__main__":
    run_by_cores(__doc__, measure)
