"""Stable-Baselines3's PPO on our vector environment, as a peer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from transfergate.market import MarketVectorEnv


class Adapter(VecEnv):
    """Our vector environment (same-step autoreset) in Stable-Baselines3's interface."""

    def __init__(self, env: MarketVectorEnv) -> None:
        self.render_mode = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.env = env

    def reset(self) -> np.ndarray:
        return self.env.reset(seed=0)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, infos = self.env.step(self.actions)
        done = terminated | truncated
        each: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            each[i] = {
                "terminal_observation": infos["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i]),
            }
        return observation, reward.astype(np.float32) * 100.0, done, each

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
        raise NotImplementedError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Sequence[bool]:
        return [False] * self.num_envs


class StopAfter(BaseCallback):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.end = time.process_time() + seconds

    def _on_step(self) -> bool:
        return time.process_time() < self.end


def train_and_act(
    env: MarketVectorEnv, seconds: float
) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Train for some CPU seconds; returns the greedy policy and the steps per CPU second."""
    model = PPO(
        "MlpPolicy",
        Adapter(env),
        n_steps=63,
        batch_size=4032,
        n_epochs=4,
        learning_rate=3e-3,
        device="cpu",
        seed=0,
    )
    begin = time.process_time()
    model.learn(10**9, callback=StopAfter(seconds))
    rate = model.num_timesteps / (time.process_time() - begin)
    return lambda observation: model.predict(observation, deterministic=True)[0], rate
