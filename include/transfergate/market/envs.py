"""Gymnasium shells over the market: ``MarketEnv`` is the batched one with a single episode."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from transfergate.errors import MarketError
from transfergate.market.episodes import EpisodeParams, Episodes, StepResult
from transfergate.market.panel import Panel
from transfergate.market.planted import planted_panel
from transfergate.settings import MarketParams

Observation = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def _spaces(episodes: Episodes) -> tuple[Any, Any]:
    market, position = episodes.market, episodes.panel.n_features
    high = np.full(episodes.n_columns, np.finfo(np.float32).max, dtype=np.float32)
    low = -high
    low[position], high[position] = market.positions[0], market.positions[-1]
    return spaces.Box(low, high, dtype=np.float32), spaces.Discrete(len(market.positions))


def _key(generator: np.random.Generator) -> np.uint64:
    return np.uint64(generator.integers(0, 2**63))


def _start(options: dict[str, Any] | None, panel: Panel) -> tuple[int | None, int | None]:
    # The optional ticker and start session of a reset.
    options = options or {}
    unknown = sorted(set(options) - {"ticker", "session"})
    if unknown:
        raise MarketError(
            f"reset options {unknown} are unknown; expected any of 'ticker' (a name) and "
            f"'session' (index of the first decision)"
        )
    ticker = options.get("ticker")
    return (None if ticker is None else panel.row(ticker)), options.get("session")


class MarketEnv(gymnasium.Env[Observation, np.int64]):
    """One account in one ticker: choose a position at each close.

    Observation: features of the session, the position held, then the declared slots (float32,
    F + 1 and more). Action: index into ``market.positions``. Reward: ``market.reward``, by default
    the log return of equity net of costs. Ruin terminates, the end of the episode truncates.
    ``info`` holds ``row, session, equity, net_return, turnover``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(
        self,
        panel: Panel | None = None,
        market: MarketParams | None = None,
        params: EpisodeParams | None = None,
    ) -> None:
        """Open the market; without a panel, a small planted one."""
        market = market or MarketParams()
        panel = panel or planted_panel()
        self._episodes = Episodes(panel, market, params or EpisodeParams(), 1)
        self._one = np.ones(1, dtype=np.bool_)
        self.observation_space, self.action_space = _spaces(self._episodes)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode at a drawn place, or at ``options`` ``ticker`` and ``session``."""
        fresh = seed is not None or self._np_random is None
        super().reset(seed=seed)
        if fresh:
            self._episodes.seed(self._one, np.array([_key(self.np_random)]))
        self._episodes.reset(self._one, *_start(options, self._episodes.panel))
        return self._episodes.observe()[0], self._info(None)

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry the decision out and move to the next close."""
        result = self._episodes.step(np.array([action], dtype=np.int64))
        observation = self._episodes.observe()[0]
        ended = bool(result.terminated[0]), bool(result.truncated[0])
        return observation, float(result.reward[0]), *ended, self._info(result)

    def _info(self, result: StepResult | None) -> dict[str, Any]:
        batched = _infos(self._episodes, result)
        return {name: values[0].item() for name, values in batched.items()}


class MarketVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Many ``MarketEnv`` stepped by one batched computation, without a loop over them.

    Equal step by step to ``SyncVectorEnv`` over as many ``MarketEnv``, in every autoreset mode.
    """

    def __init__(
        self,
        num_envs: int = 1,
        panel: Panel | None = None,
        market: MarketParams | None = None,
        params: EpisodeParams | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        """Open ``num_envs`` accounts; without a panel, in a small planted market."""
        self.num_envs, self.render_mode = num_envs, None
        market = market or MarketParams()
        panel = panel or planted_panel()
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**MarketEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self._episodes = Episodes(panel, market, params or EpisodeParams(), num_envs)
        self._ended = np.zeros(num_envs, dtype=np.bool_)
        self._seeded = False
        self.single_observation_space, self.single_action_space = _spaces(self._episodes)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start all episodes, or those in ``options["reset_mask"]``.

        Environment i is seeded with ``seed + i``, or ``seed[i]`` of a list.
        """
        options = dict(options or {})
        mask = options.pop("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
        self._seed(seed, mask)
        self._episodes.reset(mask, *_start(options, self._episodes.panel))
        self._ended[mask] = False
        return self._episodes.observe(), _masked(_infos(self._episodes, None), mask)

    def _seed(self, seed: int | list[int | None] | None, mask: Flags) -> None:
        if isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        if seed is None and not self._seeded:
            seed = [None] * self.num_envs
        if seed is not None:
            chosen = mask & np.array([s is not None or not self._seeded for s in seed])
            keys = [_key(seeding.np_random(seed[i])[0]) for i in np.flatnonzero(chosen)]
            self._episodes.seed(chosen, np.array(keys, dtype=np.uint64))
            self._seeded = True

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, npt.NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Step every account; finished ones restart as the autoreset mode says.

        Raises:
            MarketError: In mode ``DISABLED``, if a finished episode was not reset.
        """
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise MarketError(
                f"environments {np.flatnonzero(self._ended).tolist()} have ended; call reset with "
                f"options={{'reset_mask': terminated | truncated}} before the next step"
            )
        resting = self._ended if self._ended.any() else None
        moving = None if resting is None else ~resting
        result = self._episodes.step(np.asarray(actions, dtype=np.int64), moving)
        ended = result.terminated | result.truncated
        any_ended = bool(ended.any())
        infos: dict[str, Any] = {}
        restarting, self._ended = resting, ended
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            if any_ended:
                infos = self._final(ended, result)
            restarting, self._ended = ended if any_ended else None, np.zeros_like(ended)
        if restarting is not None:
            self._episodes.reset(restarting)
        infos |= _masked(_infos(self._episodes, result, at_rest=restarting), None)
        outcome = result.reward, result.terminated, result.truncated
        return self._episodes.observe(), *outcome, infos

    def _final(self, ended: Flags, result: StepResult) -> dict[str, Any]:
        # What finished episodes showed last, before they restart in the same step.
        observations = np.full(self.num_envs, None, dtype=object)
        last = self._episodes.observe()[ended]
        observations[ended] = np.fromiter(iter(last), dtype=object, count=len(last))
        info = _masked(_infos(self._episodes, result, at_rest=~ended), ended)
        info = {k: v if k.startswith("_") else np.where(ended, v, 0) for k, v in info.items()}
        finals = {"final_obs": observations, "_final_obs": ended.copy()}
        return {**finals, "final_info": info, "_final_info": ended.copy()}


def _infos(
    episodes: Episodes, result: StepResult | None, at_rest: Flags | None = None
) -> dict[str, npt.NDArray[Any]]:
    zero = np.zeros(episodes.n_episodes)
    net, turnover = (zero, zero) if result is None else (result.net_return, result.turnover)
    if at_rest is not None:
        net, turnover = np.where(at_rest, 0.0, net), np.where(at_rest, 0.0, turnover)
    return {
        "row": episodes.row.copy(),
        "session": episodes.session.copy(),
        "equity": episodes.equity.copy(),
        "net_return": net,
        "turnover": turnover,
    }


def _masked(infos: dict[str, npt.NDArray[Any]], mask: Flags | None) -> dict[str, Any]:
    # Gymnasium's form: each array with a mask that says whom it concerns (None: everyone).
    out: dict[str, Any] = {}
    everyone = np.ones(len(infos["row"]), dtype=np.bool_)
    for name, values in infos.items():
        out[name] = values if mask is None else np.where(mask, values, values.dtype.type(0))
        out[f"_{name}"] = everyone.copy() if mask is None else mask.copy()
    return out
