"""What a planted market is worth at best: planned with its true parameters, costs included.

Each kind has one number per session that says all about the next return: the last return (``ar``),
the average of past returns (``momentum``), or the log odds that the drift is up, filtered from the
returns by Bayes' rule (``regime``). On a grid of it, dynamic programming over (number, position)
finds the stationary policy with the highest long-run Sharpe ratio; played on the panel itself, it
gives the Sharpe ratio that nobody beats except by luck.

The Sharpe ratio m / sqrt(g - m^2) grows with m^2 / g, which is convex in the long-run moments
(m, g); so its maximum lies at a policy that is optimal for ``r - aversion * r^2`` at some aversion.
All aversions of a grid are solved at once, and the best policy's own is tried at last. An aversion
of 0 is the policy with the highest expected return, which is what most learning aims at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.errors import MarketError
from transfergate.market import dynamics
from transfergate.market.chains import Chain, chain_of, latent_state
from transfergate.market.moments import SESSIONS_PER_YEAR
from transfergate.market.panel import Panel
from transfergate.market.planted import Kind, PlantedParams
from transfergate.settings import MarketParams

Floats = npt.NDArray[np.float64]
Aim = Literal["sharpe", "return"]
"""What a plan maximises: the long-run Sharpe ratio, or the expected return net of costs."""

N_AVERSIONS = 17
MAX_SWEEPS = 5_000
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Optimum:
    """The best policy played on a panel.

    Attributes:
        sharpe: Mean over the tickers of the annualised Sharpe ratio of net simple returns.
        standard_error: Monte-Carlo error of that mean: the spread over tickers, where there are
            at least eight, but no less than that of independent returns (Lo 2002).
        by_ticker: float64 (R,), the ratio of each row.
        long_run: The planner's own long-run Sharpe ratio, without sampling error.
        net_return: float64 (R, D), one per decision from ``first`` to ``stop - 2``.
        position: float64 (R, D), held after each decision.
    """

    sharpe: float
    standard_error: float
    by_ticker: Tensor
    long_run: float
    net_return: Tensor
    position: Tensor


@dataclass(frozen=True)
class Plan:
    """A stationary policy: ``action[n, P]`` by state and previous position; its Sharpe ratio."""

    chain: Chain
    action: Tensor
    long_run: float


def optimum_sharpe(
    panel: Panel,
    market: MarketParams,
    kind: Kind = "ar",
    *,
    params: PlantedParams | None = None,
    rows: tuple[int, ...] | None = None,
    first: int = 0,
    stop: int | None = None,
    aim: Aim = "sharpe",
) -> Optimum:
    """Play the best policy of a planted market on its panel, and read off its Sharpe ratio.

    The filter of the hidden drift reads the returns from the panel's first session on, the
    position starts flat at ``first``.

    Args:
        panel: Of ``planted_panel`` with the same parameters.
        market: Positions, costs, timing; a panel's own costs count where it has some.
        kind: What was planted, with default parameters.
        params: The truth where parameters differ from the defaults; ``kind`` does not count then.
        rows: Tickers to play; all when None.
        first: First decision.
        stop: Sessions at or after it are not read; the panel's end when None.
        aim: What the policy is the best at.

    Raises:
        MarketError: If the window holds fewer than two decisions, or a ticker's cost changes
            over the sessions.
    """
    params = params or PlantedParams(kind)
    stop = panel.n_sessions if stop is None else stop
    if not 0 <= first < stop - 2 <= panel.n_sessions - 2:
        raise MarketError(
            f"optimum over sessions [{first}, {stop}) of {panel.n_sessions}: expected at least two "
            f"decisions inside the panel; choose another window"
        )
    chosen = tuple(range(len(panel.tickers))) if rows is None else rows
    daily = (panel.overnight + panel.intraday).cpu().numpy()[list(chosen)]
    states = latent_state(params, daily)
    rates = dynamics.cost_rates(panel, market).cpu()[list(chosen), first:stop]
    if bool((rates != rates[:, :1]).any()):
        raise MarketError(
            "optimum: costs change over the sessions of a ticker, expected one cost a ticker; "
            "plan with constant costs"
        )
    plans = [best_plan(params, market.positions, market.timing, float(r), aim) for r in rates[:, 0]]
    net, position = _play(panel, market, plans, chosen, states, slice(first, stop - 1))
    by_ticker = _sharpe(net)
    long_run = sum(plan.long_run for plan in plans) / len(plans)
    error = _standard_error(by_ticker, net.shape[1])
    return Optimum(float(by_ticker.mean()), error, by_ticker, long_run, net, position)


@lru_cache(maxsize=64)
def best_plan(
    params: PlantedParams,
    positions: tuple[float, ...],
    timing: str,
    cost_rate: float,
    aim: Aim = "sharpe",
) -> Plan:
    """The stationary policy with the highest long-run Sharpe ratio, or expected return.

    Args:
        params: The market's truth.
        positions: The grid P, with 0.
        timing: ``next_open`` or ``same_close``.
        cost_rate: Fraction charged per unit of turnover.
        aim: Which of the two.
    """
    chain = chain_of(params)
    first, second = _moments_by_action(chain, positions, timing, cost_rate)
    flat = positions.index(0.0)
    moves = torch.from_numpy(chain.moves)

    def solve(aversions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        actions = _best_actions(first - aversions[:, None, None, None] * second, moves)
        m, g = _long_run_moments(actions, first, second, moves, flat)
        return actions, m, g

    year = math.sqrt(SESSIONS_PER_YEAR)
    actions, m, g = solve(torch.zeros(1, dtype=torch.float64))
    if aim == "return":
        return Plan(chain, actions[0], year * float(_ratio(m, g)[0]))
    own = float((m / (2.0 * g)).clamp_min(0.0)) if float(g) > 0.0 else 0.0
    actions, m, g = solve(own * torch.linspace(0.0, 4.0, N_AVERSIONS, dtype=torch.float64))
    best = int(_ratio(m, g).argmax())
    final, m_own, g_own = solve((m[best] / (2.0 * g[best].clamp_min(1e-300)))[None])
    if float(_ratio(m_own, g_own)) > float(_ratio(m, g)[best]):
        actions, m, g, best = final, m_own, g_own, 0
    return Plan(chain, actions[best], year * float(_ratio(m, g)[best]))


def _moments_by_action(
    chain: Chain, positions: tuple[float, ...], timing: str, cost_rate: float
) -> tuple[Tensor, Tensor]:
    # Expected net return and expected square, (n, P previous, P action).
    k = np.asarray(positions)[None, :, None]
    a = np.asarray(positions)[None, None, :]
    on_old, on_new = chain.overnight * k**2, chain.spread[:, None, None] * a**2
    if timing == "same_close":  # the new position earns the whole day
        on_old, on_new = 0.0 * on_old, on_new + chain.overnight * a**2
    first = chain.mean[:, None, None] * a - cost_rate * np.abs(a - k)
    return torch.from_numpy(first), torch.from_numpy(first**2 + on_old + on_new)


def _best_actions(reward: Tensor, moves: Tensor) -> Tensor:
    # Relative value iteration for the average reward: reward (A, n, P, P) -> actions (A, n, P).
    value = reward.new_zeros(reward.shape[:3])
    scale = float(reward.abs().max()) or 1.0
    for _ in range(MAX_SWEEPS):
        ahead = moves @ value  # by the position held
        total = reward + ahead.unsqueeze(2)
        updated = total.amax(-1)
        change = (updated - value).flatten(1)
        value = updated - updated[:, :1, :1]
        if float((change.amax(1) - change.amin(1)).max()) < TOLERANCE * scale:
            break
    return total.argmax(-1)


def _long_run_moments(
    actions: Tensor, first: Tensor, second: Tensor, moves: Tensor, flat: int
) -> tuple[Tensor, Tensor]:
    # Stationary moments (A,) of each policy, by carrying the distribution on until it rests.
    n_policies, n, n_positions = actions.shape
    chance = first.new_zeros(n_policies, n, n_positions)
    chance[:, :, flat] = 1.0 / n
    for _ in range(MAX_SWEEPS):
        held = torch.zeros_like(chance).scatter_add_(2, actions, chance)
        updated = moves.T @ held
        moved = float((updated - chance).abs().sum((1, 2)).max())
        chance = updated
        if moved < TOLERANCE:
            break
    chosen = actions.unsqueeze(-1)
    m, g = (
        (chance * x.expand(n_policies, -1, -1, -1).gather(3, chosen).squeeze(3)).sum((1, 2))
        for x in (first, second)
    )
    return m, g


def _ratio(m: Tensor, g: Tensor) -> Tensor:
    # Daily Sharpe ratio; a policy that rests has 0.
    return torch.where(g > 0.0, m / (g - m.square()).clamp_min(1e-300).sqrt(), 0.0)


def _play(
    panel: Panel,
    market: MarketParams,
    plans: list[Plan],
    rows: tuple[int, ...],
    states: Floats,
    decisions: slice,
) -> tuple[Tensor, Tensor]:
    # Net returns and positions (R, D) of each row's plan, from flat, by the market's arithmetic.
    met = dynamics.outcomes(panel.to("cpu"), market)
    held_leg, traded, rate, executable = (
        x[list(rows)][:, decisions] for x in (met.held, met.traded, met.cost_rate, met.executable)
    )
    cells = np.stack([p.chain.cell(s) for s, p in zip(states[:, decisions], plans, strict=True)])
    tables = torch.stack([plan.action for plan in plans])
    cell, each = torch.from_numpy(cells), torch.arange(len(rows))
    index = torch.full((len(rows), cell.shape[1] + 1), dynamics.flat_index(market))
    for t in range(cell.shape[1]):
        wanted = tables[each, cell[:, t], index[:, t]]
        index[:, t + 1] = dynamics.effective_target(index[:, t], wanted, executable[:, t])
    position = dynamics.position_grid(market, torch.device("cpu"))[index]
    net = dynamics.net_return(position[:, :-1], position[:, 1:], held_leg, traded, rate)
    return net, position[:, 1:]


def _sharpe(net: Tensor) -> Tensor:
    deviation = net.std(1, correction=0)
    ratio = net.mean(1) / deviation.clamp_min(1e-300)
    return math.sqrt(SESSIONS_PER_YEAR) * torch.where(deviation > 0.0, ratio, 0.0)


def _standard_error(by_ticker: Tensor, n_returns: int) -> float:
    n = len(by_ticker)
    variance = (SESSIONS_PER_YEAR + 0.5 * by_ticker.square()) / n_returns
    independent = float(variance.sum().sqrt()) / n
    return max(independent, float(by_ticker.std()) / math.sqrt(n)) if n >= 8 else independent
