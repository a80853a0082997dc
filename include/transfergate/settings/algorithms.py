"""Settings of the learning algorithms, and which rewards each of them covers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transfergate.settings.base import Params

Algorithm = Literal["exact_ppo", "exact_a2c", "ppo", "a2c", "dqn"]

TABLE_REWARDS = frozenset({"log_return", "simple_return"})
"""Depend on (previous position, action, session) alone."""
LINEARISED_REWARDS = frozenset({"path_sharpe"})
"""Have a table around the moments that the policy expects, where nothing is discounted."""
PATH_REWARDS = frozenset({"differential_sharpe", "drawdown"})
"""Remember the path: defined along realised paths only."""

COVERED_REWARDS: dict[Algorithm, frozenset[str]] = {
    "exact_ppo": TABLE_REWARDS | LINEARISED_REWARDS,
    "exact_a2c": TABLE_REWARDS | LINEARISED_REWARDS,
    "ppo": TABLE_REWARDS | LINEARISED_REWARDS | PATH_REWARDS,
    "a2c": TABLE_REWARDS | LINEARISED_REWARDS | PATH_REWARDS,
    "dqn": TABLE_REWARDS,
}


class SampledParams(Params):
    """What ``ppo`` and ``a2c`` add: one sampled action a session, a critic, GAE."""

    gae_lambda: float = Field(0.95, ge=0.0, le=1.0, description="1: returns; 0: one-step TD")
    entropy_bonus: float = Field(0.0, ge=0.0, le=1.0)
    normalise_advantages: bool = True
    value_clip: float | None = Field(
        None, gt=0.0, description="half-width for the value's change from the batch's start"
    )
    critic_units: int = Field(24, ge=1, le=1024)
    critic_rate_ratio: float = Field(
        1.0, gt=0.0, le=100.0, description="critic's learning rate / the policy's"
    )
    n_minibatches: int = Field(1, ge=1, description="parts of each batch's paths per epoch")


class DqnParams(Params):
    """What ``dqn`` adds: the head's outputs are action values divided by ``temperature``."""

    double: bool = Field(True, description="the online network chooses, the target one values")
    dueling: bool = Field(True, description="a state value apart from the actions' advantages")
    temperature: float = Field(1.0, gt=0.0, description="action value in per cent per logit")
    target_rate: float = Field(
        0.05, gt=0.0, le=1.0, description="pull of the target network; 1 copies (hard updates)"
    )
    target_every: int = Field(1, ge=1, description="updates between two pulls of the target")
    value_units: int = Field(24, ge=1, le=1024, description="of the dueling state value")


class CloningParams(Params):
    """The rule trader that the first ``cloning_updates`` updates imitate.

    The rule goes to the end of the position grid that the mean of one feature column over the
    last ``window`` sessions points to (``momentum``), or to the other end (``reversal``), and is
    flat while that mean is within ``threshold`` of zero.
    """

    rule: Literal["momentum", "reversal"] = "momentum"
    feature: int | str = Field(0, description="column of the features, by number or by name")
    window: int = Field(1, ge=1, le=512)
    threshold: float = Field(0.0, ge=0.0)


def uncovered(algorithm: Algorithm, reward: str, discount: float) -> str | None:
    """Say why an algorithm cannot learn a reward and what to do; None if it can."""
    if reward not in COVERED_REWARDS[algorithm]:
        others = [name for name, covered in COVERED_REWARDS.items() if reward in covered]
        return (
            f"algorithm {algorithm!r} does not cover the reward {reward!r}; expected one of "
            f"{', '.join(others)} with this reward, or one of "
            f"{', '.join(sorted(COVERED_REWARDS[algorithm]))} with this algorithm"
        )
    if reward in LINEARISED_REWARDS and algorithm.startswith("exact") and discount != 1.0:
        return (
            f"reward {reward!r} is a ratio of sums over whole paths: algorithm {algorithm!r} "
            f"linearises it without discounting; expected discount 1.0, found {discount}; set "
            f"it, or use ppo or a2c"
        )
    return None
