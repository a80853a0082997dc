"""``MarketVectorEnv`` in Stable-Baselines3's interface; needs ``pip install 'transfergate[sb3]'``.

Nothing else imports this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv

from transfergate.errors import MarketError
from transfergate.market.envs import MarketVectorEnv

Each = int | Iterable[int] | None


class Sb3VecEnv(VecEnv):
    """All accounts of a ``MarketVectorEnv``, stepped as one batch.

    Observations of finished episodes are in ``terminal_observation``; those that were cut off, not
    ruined, have ``TimeLimit.truncated``, so that the learner bootstraps.
    """

    def __init__(self, env: MarketVectorEnv, reward_scale: float = 100.0) -> None:
        """Wrap an environment.

        Args:
            env: In mode ``SameStep``: Stable-Baselines3 expects the next episode's first
                observation in the step that ends one.
            reward_scale: Factor on the rewards; 100 gives log returns in per cent.

        Raises:
            MarketError: If it restarts in another mode.
        """
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise MarketError(
                f"autoreset mode {env.autoreset_mode.value}: expected SameStep, which "
                f"Stable-Baselines3 relies on; pass autoreset_mode='SameStep' to MarketVectorEnv"
            )
        self.env, self.reward_scale = env, reward_scale
        self.render_mode = None
        self._actions = np.zeros(env.num_envs, dtype=np.int64)
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> npt.NDArray[np.float32]:
        """Start all episodes, with the seeds given by ``seed`` the first time after it."""
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        self._reset_seeds()
        return self.env.reset(seed=seeds)[0]

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Keep the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Step every account."""
        observation, reward, terminated, truncated, infos = self.env.step(self._actions)
        done = terminated | truncated
        each: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            each[i]["terminal_observation"] = infos["final_obs"][i]
            each[i]["TimeLimit.truncated"] = bool(truncated[i])
        return observation, (self.reward_scale * reward).astype(np.float32), done, each

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Each = None) -> list[Any]:
        """An attribute of the environment, once per account asked for."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Each = None) -> None:
        """Set an attribute; the accounts share it."""
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Each = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: the accounts are no objects of their own.

        Raises:
            MarketError: Always.
        """
        raise MarketError(
            f"env_method {method_name!r}: the accounts are stepped as one batch and have no "
            f"methods of their own; call it on `.env`"
        )

    def env_is_wrapped(self, wrapper_class: Any, indices: Each = None) -> list[bool]:
        """No account is wrapped."""
        return [False for _ in self._get_indices(indices)]
