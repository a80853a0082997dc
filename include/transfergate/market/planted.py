"""Markets with a known edge: what tests, benchmarks and the default settings are tuned on.

Three kinds. ``ar``: the next daily return follows the last one. ``momentum``: it follows a slow
average of past returns, so that costs decide what the edge is worth. ``regime``: its drift has a
sign that switches now and then and is never shown; only past returns tell it. The predictable part
always accrues intraday, so that trading at the open can earn it. What each is worth at best,
costs included, is in ``optimum.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from transfergate.market.panel import Panel

Floats = npt.NDArray[np.float64]
Kind = Literal["ar", "regime", "momentum"]

MAX_FEATURE = 5.0
_PLANTED_FEATURES = 1


@dataclass(frozen=True)
class PlantedParams:
    """The truth of a planted market.

    Attributes:
        kind: Which of the three.
        daily_volatility: Standard deviation of the daily return (``ar``), or of its unpredictable
            part (``regime``, ``momentum``).
        overnight_share: Share of the unpredictable variance that accrues overnight.
        phi: ``ar``: coefficient of the last daily return; 0 plants nothing.
        drift: ``regime``: size of the daily drift, in ``daily_volatility``.
        stay: ``regime``: probability that the drift keeps its sign overnight.
        pull: ``momentum``: expected return as a multiple of the average of past returns.
        weight: ``momentum``: weight of the newest return in that exponential average.
    """

    kind: Kind = "ar"
    daily_volatility: float = 0.015
    overnight_share: float = 0.2
    phi: float = 0.3
    drift: float = 0.2
    stay: float = 0.985
    pull: float = 0.5
    weight: float = 0.05

    @property
    def momentum_persistence(self) -> float:
        """Autocorrelation of the average of past returns: ``1 - weight * (1 - pull)``."""
        return 1.0 - self.weight * (1.0 - self.pull)

    @property
    def momentum_deviation(self) -> float:
        """Stationary standard deviation of the average of past returns."""
        return self.weight * self.daily_volatility / math.sqrt(1.0 - self.momentum_persistence**2)


def planted_panel(
    n_tickers: int = 4,
    n_sessions: int = 1000,
    *,
    kind: Kind = "ar",
    n_features: int | None = None,
    phi: float = 0.3,
    n_noise: int = 15,
    daily_volatility: float = 0.015,
    overnight_share: float = 0.2,
    seed: int = 0,
    params: PlantedParams | None = None,
) -> Panel:
    """Draw a planted market; tickers are independent.

    Feature 0 is what there is to see: the last daily return in standard deviations (``ar``,
    ``regime``) or the average of past returns in its own (``momentum``), clipped to
    :data:`MAX_FEATURE`. All others are pure noise.

    Args:
        n_tickers: Rows N.
        n_sessions: Sessions T.
        kind: ``ar``, ``regime`` or ``momentum``.
        n_features: Features F, at least 1; ``n_noise`` + 1 when None.
        phi: AR coefficient of the daily return.
        n_noise: Number of uninformative features, unless ``n_features`` says it.
        daily_volatility: See :class:`PlantedParams`.
        overnight_share: See :class:`PlantedParams`.
        seed: Of the whole market.
        params: All parameters at once; ``kind`` and the others above then do not count.
    """
    params = params or PlantedParams(kind, daily_volatility, overnight_share, phi)
    noise_features = n_noise if n_features is None else n_features - _PLANTED_FEATURES
    rng = np.random.default_rng(seed)
    shape = (n_tickers, n_sessions)
    overnight, intraday = _unpredictable(params, shape, rng)
    _plant(params, overnight, intraday, np.random.default_rng([seed, 1]))
    signal = np.clip(observed_signal(params, overnight + intraday), -MAX_FEATURE, MAX_FEATURE)
    noise = rng.standard_normal((*shape, noise_features))
    features = np.concatenate([signal[..., None], noise], axis=-1).astype(np.float32)
    tradable = np.ones(shape, dtype=np.bool_)
    tradable[:, 0] = False
    return Panel(
        tickers=tuple(f"PLANT{i}" for i in range(n_tickers)),
        sessions=np.datetime64("2000-01-03") + np.arange(n_sessions),
        features=torch.from_numpy(features),
        overnight=torch.from_numpy(overnight),
        intraday=torch.from_numpy(intraday),
        tradable=torch.from_numpy(tradable),
        ready=torch.ones(shape, dtype=torch.bool),
    )


def _unpredictable(
    params: PlantedParams, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    own = math.sqrt(1.0 - params.phi**2) if params.kind == "ar" else 1.0
    innovation, share = params.daily_volatility * own, params.overnight_share
    overnight = innovation * np.sqrt(share) * rng.standard_normal(shape)
    intraday = innovation * np.sqrt(1.0 - share) * rng.standard_normal(shape)
    return overnight, intraday


def _plant(
    params: PlantedParams, overnight: Floats, intraday: Floats, rng: np.random.Generator
) -> None:
    # Adds the predictable part to the intraday returns, in place.
    n_tickers, n_sessions = overnight.shape
    if params.kind == "ar":
        for t in range(1, n_sessions):
            intraday[:, t] += params.phi * (overnight[:, t - 1] + intraday[:, t - 1])
    elif params.kind == "momentum":
        average = np.zeros(n_tickers)
        for t in range(n_sessions):
            intraday[:, t] += params.pull * average
            average = average + params.weight * (overnight[:, t] + intraday[:, t] - average)
    else:
        turns = rng.random((n_tickers, n_sessions)) >= params.stay
        first = rng.choice([-1.0, 1.0], size=(n_tickers, 1))
        sign = first * np.where(np.cumsum(turns, axis=1) % 2 == 0, 1.0, -1.0)
        intraday += params.drift * params.daily_volatility * sign


def observed_signal(params: PlantedParams, daily: Floats) -> Floats:
    """What feature 0 shows, unclipped: a function of the daily returns so far, ``[N, T]``."""
    if params.kind != "momentum":
        return daily / params.daily_volatility
    out = np.empty_like(daily)
    average = np.zeros(len(daily))
    for t in range(daily.shape[1]):
        average = average + params.weight * (daily[:, t] - average)
        out[:, t] = average
    return out / params.momentum_deviation
