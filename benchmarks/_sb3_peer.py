"""Stable-Baselines3's PPO and sb3-contrib's RecurrentPPO as peers, on the same market as ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from benchmarks._curves import Curve
from benchmarks._harness import Stopwatch
from benchmarks._plain_env import REWARD_SCALE, PlainMarketEnv
from transfergate.market import EpisodeParams, MarketVectorEnv, Panel
from transfergate.market.sb3 import Sb3VecEnv
from transfergate.settings import MarketParams

EPISODE = 252
BATCHED_FROM = 32
"""From so many environments on our batched one is faster than as many plain ones."""


@dataclass(frozen=True)
class PeerConfig:
    """A configuration of a peer: what it is called in the table, environments and arguments."""

    name: str
    num_envs: int
    policy: str = "MlpPolicy"
    arguments: dict[str, Any] = field(default_factory=dict)
    recurrent: bool = False
    window: int = 1

    def describe(self) -> str:
        """Everything that differs from the library's defaults."""
        plural = "s" if self.num_envs > 1 else ""
        return f"{self.name}: {self.num_envs} env{plural}, {_said(self.arguments) or 'defaults'}"


def _said(value: Any) -> str:
    # Settings as a reader wants them: "n_steps 63, policy_kwargs (net_arch [64])".
    if not isinstance(value, dict):
        return value.__name__ if isinstance(value, type) else str(value)
    parts = {k: f"({_said(v)})" if isinstance(v, dict) else _said(v) for k, v in value.items()}
    return ", ".join(f"{name} {part}" for name, part in parts.items())


def make_env(config: PeerConfig, panel: Panel, market: MarketParams, seed: int) -> VecEnv:
    """The faster environment for so many accounts: plain ones, or our batched one."""
    if config.num_envs >= BATCHED_FROM and config.window == 1:
        params = EpisodeParams(None, 0, None, EPISODE)
        batched = MarketVectorEnv(config.num_envs, panel, market, params, autoreset_mode="SameStep")
        env = Sb3VecEnv(batched, REWARD_SCALE)
        env.seed(seed * 1000)
        return env
    return DummyVecEnv(
        [
            partial(
                PlainMarketEnv,
                panel,
                market,
                EPISODE,
                window=config.window,
                seed=seed * 1000 + number,
            )
            for number in range(config.num_envs)
        ]
    )


def make_model(config: PeerConfig, env: VecEnv, seed: int) -> Any:
    algorithm: Any = PPO
    if config.recurrent:
        from sb3_contrib import RecurrentPPO

        algorithm = RecurrentPPO
    return algorithm(config.policy, env, device="cpu", seed=seed, **config.arguments)


class _Watch(BaseCallback):
    # Before each rollout, that is after each update: a point of the curve, or the end.
    def __init__(self, look: Callable[[Any, int], bool]) -> None:
        super().__init__()
        self._look, self._go_on = look, True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps:
            self._go_on = self._look(self.model, self.num_timesteps)

    def _on_step(self) -> bool:
        return self._go_on


def throughput(
    config: PeerConfig,
    panel: Panel,
    market: MarketParams,
    seconds: float,
    now: Callable[[], float],
) -> float:
    """Trained environment steps per second over whole updates, the first left out."""
    marks: list[tuple[float, int]] = []

    def look(_: Any, steps: int) -> bool:
        marks.append((now(), steps))
        return len(marks) < 2 or marks[-1][0] - marks[0][0] < seconds

    model = make_model(config, make_env(config, panel, market, 0), 0)
    model.learn(10**9, callback=_Watch(look))
    (begin, first), (end, last) = marks[0], marks[-1]
    return (last - first) / (end - begin)


def learn(
    config: PeerConfig,
    panel: Panel,
    market: MarketParams,
    seed: int,
    evaluate: Callable[[Any], float],
    enough: Callable[[Curve], bool],
    now: Callable[[], float],
) -> Curve:
    """Train until it is enough; evaluations, at most every 8 %, are not on the clock."""
    watch, curve = Stopwatch(now), Curve()
    model = make_model(config, make_env(config, panel, market, seed), seed)

    def look(model: Any, steps: int) -> bool:
        seconds = watch.seconds()
        if curve.points and seconds < 1.08 * curve.points[-1].seconds:
            return True
        with watch.pause():
            curve.add(seconds, steps, evaluate(model))
        return not enough(curve)

    model.learn(10**9, callback=_Watch(look))
    return curve


def greedy_table(model: Any, panel: Panel, market: MarketParams) -> np.ndarray:
    """Most probable action by (ticker, session, previous position) of an MLP policy."""
    import torch

    tickers, sessions, features = panel.features.shape
    columns = []
    with torch.no_grad():
        for position in market.positions:
            held = torch.full((tickers * sessions, 1), position)
            observed = torch.cat([panel.features.reshape(-1, features), held], 1)
            logits = model.policy.get_distribution(observed).distribution.logits
            columns.append(logits.argmax(-1).view(tickers, sessions))
    return torch.stack(columns, -1).numpy()


def greedy_positions(
    model: Any, panel: Panel, market: MarketParams, *, window: int = 1
) -> np.ndarray:
    """Positions (N, T - 1) of a policy that must be stepped: recurrent, or over a window."""
    features, grid = panel.features.numpy(), np.array(market.positions)
    executable = _executable(panel, market)
    tickers, sessions, size = features.shape
    held, state = np.zeros(tickers, dtype=np.float32), None
    start = np.ones(tickers, dtype=bool)
    out = np.zeros((tickers, sessions - 1))
    for t in range(window - 1, sessions - 1):
        seen = features[:, t - window + 1 : t + 1].reshape(tickers, window * size)
        observed = np.concatenate([seen, held[:, None]], 1)
        action, state = model.predict(observed, state, start, deterministic=True)
        start = np.zeros(tickers, dtype=bool)
        held = np.where(executable[:, t], grid[action], held).astype(np.float32)
        out[:, t] = held
    return out


def _executable(panel: Panel, market: MarketParams) -> np.ndarray:
    from transfergate.market import dynamics

    return dynamics.outcomes(panel, market).executable.numpy()
