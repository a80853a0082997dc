"""Rewards of one session's net simple return: the only place where they are defined.

Each reward says which method covers it. A reward of (previous position, action, session) alone has
a ``table`` and the exact dynamic programme of ``learning`` covers it. The path's Sharpe ratio is
covered by linearising it around the moments that the policy expects (``linearised``). A reward
that remembers the path carries ``state`` beyond the position; sampled learning covers it, by
``along`` over realised paths or session by session in the environments (``begin``, ``advance``).

Every reward is of a *simple* return net of costs, as a fraction, so all stay defined where a price
is at or below zero. Returns below :data:`RUIN_RETURN` count as that, except in ``simple_return``.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from transfergate.errors import MarketError
from transfergate.market.moments import (
    RUIN_RETURN,
    SESSIONS_PER_YEAR,
    VOLATILITY_FLOOR,
    Moments,
)
from transfergate.settings import MarketParams

PRIOR_VOLATILITY = 0.01
"""A day's standard deviation that Sharpe-like rewards assume before they have seen the path."""
PRIOR_SESSIONS = 21
"""Sessions that this assumption counts for in the running Sharpe ratio."""


def log_return(net: Tensor) -> Tensor:
    """Log return of equity; a ruinous return counts as ``RUIN_RETURN``."""
    return torch.log1p(net.clamp_min(RUIN_RETURN))


class Reward:
    """A reward: what covers it, what state it needs, its arithmetic.

    Attributes:
        name: As in ``MarketParams.reward``.
        exact: Whether the dynamic programme over positions covers it.
        linearised: Whether ``table`` needs moments; the discount must then be 1.
        state: Names of what it remembers of the path, beyond the position.
        units: Of one session's reward.
        source: Where it is from.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = True
    linearised: ClassVar[bool] = False
    state: ClassVar[tuple[str, ...]] = ()
    units: ClassVar[str]
    source: ClassVar[str]

    def table(self, net: Tensor, moments: Moments | None = None) -> Tensor:
        """Reward of each net return on its own, in the shape of ``net``.

        Args:
            net: Net simple returns, any shape; ``[..., P, P]`` by (previous, action).
            moments: For a ``linearised`` reward: those under the policy, shapes that broadcast
                against ``net`` without its last two axes (as ``expected_moments`` gives them).

        Raises:
            MarketError: If the reward depends on the path, or misses its moments.
        """
        raise MarketError(
            f"reward {self.name!r} depends on the path ({', '.join(self.state)}), not on position, "
            f"action and session alone: there is no table of it; use sampled learning with it "
            f"(its `along`), or one of {', '.join(n for n, r in REWARDS.items() if r.exact)}"
        )

    def begin(self, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """State before the first session, float64 ``[*shape, len(state)]``."""
        return torch.zeros(*shape, len(self.state), dtype=torch.float64, device=device)

    def advance(self, state: Tensor, net: Tensor) -> tuple[Tensor, Tensor]:
        """Reward of one session and the state after it; nothing is changed in place.

        Args:
            state: ``[..., len(state)]``.
            net: Net simple returns of the session, ``[...]``.
        """
        return self.table(net), state

    def along(self, net: Tensor, moments: Moments | None = None) -> Tensor:
        """Rewards along realised paths, session first.

        Args:
            net: Net simple returns, ``[T, ...]``, each path from its beginning.
            moments: A linearised reward uses them where given, shapes that broadcast against
                ``net``; without them its running form (see ``PathSharpe``).
        """
        if not self.state:
            return self.table(net)
        state = self.begin(tuple(net.shape[1:]), net.device).to(net.dtype)
        rewards = torch.empty_like(net)
        for t in range(len(net)):
            rewards[t], state = self.advance(state, net[t])
        return rewards


class LogReturn(Reward):
    """Log return of equity net of costs; sums to the log growth of the episode."""

    name = "log_return"
    units = "log return per session, a fraction"
    source = "Kelly 1956, A New Interpretation of Information Rate"

    def table(self, net: Tensor, moments: Moments | None = None) -> Tensor:
        """Log return of each net return."""
        return log_return(net)


class SimpleReturn(Reward):
    """Simple return net of costs, defined for any loss: for prices that can be at or below zero."""

    name = "simple_return"
    units = "simple return per session, a fraction"
    source = "Moody & Saffell 2001, additive profits"

    def table(self, net: Tensor, moments: Moments | None = None) -> Tensor:
        """The net return itself."""
        return net


class PathSharpe(Reward):
    """Annualised Sharpe ratio of the path.

    With moments m, g that the policy expects, ``r~ = dS/dm r + dS/dg r^2``: its gradient at fixed
    slopes is that of the Sharpe ratio of expected moments (not of the expected one). Discount 1.

    Session by session, where no moments are known, the reward is the change of the running Sharpe
    ratio, so that an episode's rewards sum to its Sharpe ratio; ``PRIOR_SESSIONS`` of mean zero
    and ``PRIOR_VOLATILITY`` keep the first ones finite. State: sessions so far with the prior's,
    and both running moments in units of ``PRIOR_VOLATILITY``.
    """

    name = "path_sharpe"
    linearised = True
    state = ("weight_sessions", "first_moment", "second_moment")
    units = "annualised Sharpe ratio"
    source = "chain rule on the ratio of moments; Moody, Wu, Liao & Saffell 1998"

    def table(self, net: Tensor, moments: Moments | None = None) -> Tensor:
        """Linearised reward by (previous, action)."""
        if moments is None:
            raise MarketError(
                "reward 'path_sharpe' is linearised: its table needs the moments that the policy "
                "expects; pass those of `expected_moments`"
            )
        by_first, by_second = (slope[..., None, None] for slope in moments.slopes())
        net = net.clamp_min(RUIN_RETURN)
        return by_first * net + by_second * net.square()

    def begin(self, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """The prior."""
        prior = torch.tensor([PRIOR_SESSIONS, 0.0, 1.0], dtype=torch.float64, device=device)
        return prior.expand(*shape, 3).clone()

    def advance(self, state: Tensor, net: Tensor) -> tuple[Tensor, Tensor]:
        """Change of the running Sharpe ratio."""
        weight, first, second = state.unbind(-1)
        x = net.clamp_min(RUIN_RETURN) / PRIOR_VOLATILITY
        total = weight + 1.0
        after = torch.stack(
            [total, first + (x - first) / total, second + (x.square() - second) / total], -1
        )
        return self._running(after) - self._running(state), after

    def along(self, net: Tensor, moments: Moments | None = None) -> Tensor:
        """Linearised around the moments where given, else changes of the running ratio."""
        if moments is None:
            return super().along(net)
        return self.table(net[..., None, None], moments)[..., 0, 0]

    @staticmethod
    def _running(state: Tensor) -> Tensor:
        _, first, second = state.unbind(-1)
        return math.sqrt(SESSIONS_PER_YEAR) * first / (second - first.square()).sqrt()


class DifferentialSharpe(Reward):
    """Differential Sharpe ratio: first-order change of an exponentially weighted Sharpe ratio.

    ``D = (B dA - A dB / 2) / (B - A^2)^1.5`` with A, B the weighted moments before the session,
    ``dA = R - A``, ``dB = R^2 - B``; then ``A += decay dA`` and ``B += decay dB``. The moments
    start at 0 and ``PRIOR_VOLATILITY`` squared and are kept in units of it (D has none).
    """

    name = "differential_sharpe"
    exact = False
    state = ("first_moment", "second_moment")
    units = "daily Sharpe ratio per unit of decay"
    source = "Moody & Saffell 1998 (NIPS 11); 2001, IEEE Trans. Neural Networks 12(4), eq. 14"

    def __init__(self, decay: float) -> None:
        """Keep the weight of the newest session."""
        self.decay = decay

    def begin(self, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
        """Moments of the prior."""
        prior = torch.tensor([0.0, 1.0], dtype=torch.float64, device=device)
        return prior.expand(*shape, 2).clone()

    def advance(self, state: Tensor, net: Tensor) -> tuple[Tensor, Tensor]:
        """Differential Sharpe ratio of the session."""
        x = net.clamp_min(RUIN_RETURN) / PRIOR_VOLATILITY
        change = torch.stack([x, x.square()], -1) - state
        first, second = state.unbind(-1)
        by_first, by_second = change.unbind(-1)
        floor = (VOLATILITY_FLOOR / PRIOR_VOLATILITY) ** 2
        variance = (second - first.square()).clamp_min(floor)
        reward = (second * by_first - 0.5 * first * by_second) / variance**1.5
        return reward, state + self.decay * change


class DrawdownPenalised(Reward):
    """Log return less ``penalty`` times the growth of the episode's maximum log drawdown.

    An episode's rewards sum to log growth less ``penalty`` times ``log(peak / equity)`` at its
    deepest. State: drawdown now, and the deepest so far.
    """

    name = "drawdown"
    exact = False
    state = ("drawdown", "deepest_drawdown")
    units = "log return per session, a fraction"
    source = "Almahdi & Yang 2017, Expert Systems with Applications 87 (maximum drawdown)"

    def __init__(self, penalty: float) -> None:
        """Keep the price of a unit of maximum log drawdown."""
        self.penalty = penalty

    def advance(self, state: Tensor, net: Tensor) -> tuple[Tensor, Tensor]:
        """Log return less the penalty on a new deepest drawdown."""
        growth = log_return(net)
        drawdown, deepest = state.unbind(-1)
        drawdown = (drawdown - growth).clamp_min(0.0)
        deeper = torch.maximum(deepest, drawdown)
        reward = growth - self.penalty * (deeper - deepest)
        return reward, torch.stack([drawdown, deeper], -1)


REWARDS: dict[str, type[Reward]] = {
    kind.name: kind
    for kind in (LogReturn, SimpleReturn, PathSharpe, DifferentialSharpe, DrawdownPenalised)
}
"""Every reward that ``MarketParams.reward`` may name."""


def reward_of(market: MarketParams) -> Reward:
    """The reward that the market's settings name, with their parameters."""
    if market.reward == DifferentialSharpe.name:
        return DifferentialSharpe(market.sharpe_decay)
    if market.reward == DrawdownPenalised.name:
        return DrawdownPenalised(market.drawdown_penalty)
    return REWARDS[market.reward]()
