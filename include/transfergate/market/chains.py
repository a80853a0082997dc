"""What drives each planted market, filtered from its past returns and laid out on a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from transfergate.market.planted import PlantedParams, observed_signal

Floats = npt.NDArray[np.float64]

N_STATES = 161
REACH = 5.0
"""Half-width of a grid, in standard deviations."""


@dataclass(frozen=True)
class Chain:
    """What drives a planted market, on a grid.

    Attributes:
        grid: (n,), evenly spaced states.
        moves: (n, n), probability of the next state by state.
        mean: (n,), expected intraday return of the next session.
        spread: (n,), its variance.
        overnight: Variance of the next session's overnight return.
    """

    grid: Floats
    moves: Floats
    mean: Floats
    spread: Floats
    overnight: float

    def cell(self, states: Floats) -> npt.NDArray[np.int64]:
        """Index of the grid point nearest to each state."""
        index = np.rint((states - self.grid[0]) / (self.grid[1] - self.grid[0]))
        cells: npt.NDArray[np.int64] = np.clip(index, 0, len(self.grid) - 1).astype(np.int64)
        return cells


def latent_state(params: PlantedParams, daily: Floats) -> Floats:
    """The number that drives the next return, by session, ``[N, T]``; past returns only.

    For ``regime``, log odds that the session's drift was up, by Bayes' rule from even odds.
    """
    if params.kind != "regime":
        return observed_signal(params, daily)
    odds, out = np.zeros(len(daily)), np.empty_like(daily)
    slope = 2.0 * params.drift / params.daily_volatility
    for t in range(daily.shape[1]):
        odds = _predicted(params, odds) + slope * daily[:, t]
        out[:, t] = odds
    return out


def _predicted(params: PlantedParams, odds: Floats) -> Floats:
    # Log odds of the next session's drift, before its return is seen.
    up = _chance_up(params, odds)
    ahead: Floats = np.log(up) - np.log1p(-up)
    return ahead


def _chance_up(params: PlantedParams, odds: Floats) -> Floats:
    up = 1.0 / (1.0 + np.exp(-odds))
    chance: Floats = params.stay * up + (1.0 - params.stay) * (1.0 - up)
    return chance


def chain_of(params: PlantedParams) -> Chain:
    """Lay a planted market's state out on a grid of ``N_STATES``."""
    volatility, share = params.daily_volatility, params.overnight_share
    if params.kind == "regime":
        return _regime_chain(params)
    grid = np.linspace(-REACH, REACH, N_STATES)
    if params.kind == "ar":
        persistence, mean = params.phi, params.phi * volatility * grid
        variance = volatility**2 * (1.0 - params.phi**2)
    else:
        persistence = params.momentum_persistence
        mean = params.pull * params.momentum_deviation * grid
        variance = volatility**2
    moves = _normal_moves(grid, persistence * grid, math.sqrt(1.0 - persistence**2))
    spread = np.full(N_STATES, variance * (1.0 - share))
    return Chain(grid, moves, mean, spread, variance * share)


def _regime_chain(params: PlantedParams) -> Chain:
    # The next log odds are a mixture of two normals: the drift is up or down.
    step = 2.0 * params.drift
    bound = math.log(params.stay / (1.0 - params.stay)) + step * (REACH + params.drift)
    grid = np.linspace(-bound, bound, N_STATES)
    up, ahead = _chance_up(params, grid), _predicted(params, grid)
    moves = up[:, None] * _normal_moves(grid, ahead + step * params.drift, step)
    moves += (1.0 - up)[:, None] * _normal_moves(grid, ahead - step * params.drift, step)
    size, volatility = params.drift * params.daily_volatility, params.daily_volatility
    spread = volatility**2 * (1.0 - params.overnight_share) + 4.0 * size**2 * up * (1.0 - up)
    return Chain(
        grid, moves, size * (2.0 * up - 1.0), spread, volatility**2 * params.overnight_share
    )


def _normal_moves(grid: Floats, mean: Floats, deviation: float) -> Floats:
    # Chance that a normal draw falls into each cell around a grid point; tails go to the ends.
    edges = 0.5 * (grid[1:] + grid[:-1])
    z = torch.from_numpy((edges[None, :] - mean[:, None]) / (deviation * math.sqrt(2.0)))
    below = 0.5 * (1.0 + torch.erf(z).numpy())
    ones = np.ones((len(grid), 1))
    moves: Floats = np.diff(np.concatenate([0.0 * ones, below, ones], axis=1), axis=1)
    return moves
