"""Linear forecasts to learn from instead of returns: what a few hundred sessions can tell.

A return is nearly all noise, and a policy that trains on the returns of one ticker learns that
noise by heart. A linear regression on the same sessions has one number per feature, a closed form
and a penalty of known effect. So a model may train on rewards in which each return is averaged with
its mirror image around the regression's forecast: the expected return is the forecast, the risk is
the session's own, and of the returns the policy can learn no more than the regression did. What is
left to learn is what to do about it: when a trade is worth its cost, how long to hold.

``lasso`` suits a few informative features among many, ``ridge`` many that each say a little.
Sources: Tibshirani 1996; Donoho & Johnstone 1994 (the universal threshold); Hoerl & Kennard 1970;
Golub, Heath & Wahba 1979 (generalised cross-validation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from transfergate.learning.tables import REWARD_SCALE, tabled
from transfergate.market import dynamics
from transfergate.market.panel import Panel
from transfergate.market.rewards import Reward, reward_of
from transfergate.settings import MarketParams

Floats = npt.NDArray[np.float64]
Place = tuple[tuple[int, ...], int, int]
"""Rows of the panel, first session and stop of a slice."""

RIDGE_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Per session; generalised cross-validation chooses one, or to forecast nothing."""
LASSO_SHARE = 0.7
"""Of the universal threshold, below which the largest of F pure noises stays nearly always."""
_SWEEPS = 100


@dataclass(frozen=True)
class Forecasts:
    """What the models of a stack that learn from forecasts learn from.

    Attributes:
        weights: float32 (S, F, 2), of the held and of the traded leg; 0 where a model learns from
            returns.
        learns: Which models learn from forecasts, (S,).
        grid: Positions.
        kind: What rewards are made of net returns.
        legs: float32 (N * T, 2), the returns themselves.
        costs: float32 (N * T), cost rates.
        executable: bool (N * T).
    """

    weights: Tensor
    learns: npt.NDArray[np.bool_]
    grid: Tensor
    kind: Reward
    legs: Tensor
    costs: Tensor
    executable: Tensor

    @classmethod
    def of(
        cls, panel: Panel, market: MarketParams, places: Sequence[Place], kinds: Sequence[str]
    ) -> Forecasts | None:
        """Regress, slice by slice; None where every model learns from returns.

        Args:
            panel: Features and returns.
            market: Positions, costs, timing, reward.
            places: Of each model; nothing at or after a slice's stop is read.
            kinds: ``none``, ``ridge`` or ``lasso``, one a model; empty: none.
        """
        learns = np.array([kind != "none" for kind in kinds])
        if not learns.any():
            return None
        met = dynamics.outcomes(panel, market)
        known: dict[tuple[Place, str], Floats] = {}
        for key in set(zip(places, kinds, strict=True)):
            known[key] = _fit(panel, met, *key)
        weights = np.stack([known[key] for key in zip(places, kinds, strict=True)])
        return cls(
            torch.from_numpy(weights).float().to(panel.features.device),
            learns,
            dynamics.position_grid(market, panel.device, torch.float32),
            reward_of(market),
            torch.stack([met.held, met.traded], -1).flatten(0, 1).float(),
            met.cost_rate.flatten().float(),
            met.executable.flatten(),
        )

    def any(self, models: slice) -> bool:
        """Whether any of some models learns from forecasts."""
        return bool(self.learns[models].any())

    def rewrite(
        self,
        reward: Tensor,
        within: Tensor,
        x: Tensor,
        places: Tensor,
        models: slice,
        draws: Tensor,
        penalty: Tensor | None,
    ) -> None:
        """Replace the rewards of the models that learn from forecasts, in place.

        A reward by (previous, action, session) is averaged over a return and its mirror image;
        one that depends on the path sees either, by a coin of the path and session.

        Args:
            reward: Of a ``PathBatch``, (D, S * B, P, P); changed.
            within: bool (D, S * B), whether the decision lies in the slice.
            x: (S, D, B, F), what the policy sees, noise included: forecasts are made from it.
            places: int64 (S, D, B), row * T + session of each decision.
            models: Which models these are.
            draws: int64 (S, B), what the coins are derived from.
            penalty: Further cost of a unit of turnover, as a fraction, (S,); None for none.
        """
        which = torch.from_numpy(np.flatnonzero(self.learns[models])).to(x.device)
        weights, places = self.weights[models][which], places[which]
        own = x[which]
        forecast = torch.bmm(own.flatten(1, 2), weights).view(*own.shape[:3], 2)
        surprise = self.legs[places] - forecast
        costs = self.costs[places]
        if penalty is not None:
            costs = costs + penalty[which, None, None]
        executable = self.executable[places]

        def table(sign: Tensor | float) -> Tensor:
            held, traded = (forecast + sign * surprise).unbind(-1)
            net = dynamics.return_table(held, traded, executable, self.grid, costs)
            return self.kind.table(net) * REWARD_SCALE if tabled(self.kind) else net

        if tabled(self.kind):
            made = 0.5 * (table(1.0) + table(-1.0))
        else:
            made = table(_coins(draws[which], own.shape[1]).unsqueeze(-1))
        view = reward.view(len(reward), len(x), -1, *reward.shape[2:])
        inside = within.view(*view.shape[:3])[:, which, ..., None, None]
        view[:, which] = made.transpose(0, 1) * inside


def _coins(draws: Tensor, sessions: int) -> Tensor:
    # 1 or -1 by path and session, (S, D, B): a bit of a hash that mixes twice. A single product
    # walks in equal steps from session to session, and its bits come round again.
    when = torch.arange(1, sessions + 1, device=draws.device)[None, :, None]
    mixed = (draws[:, None, :] + when * 2_654_435_761) & 0xFFFF_FFFF
    for _ in range(2):
        mixed = ((mixed >> 16) ^ mixed) * 0x045D_9F3B & 0xFFFF_FFFF
    return ((mixed >> 16) % 2 * 2 - 1).float()


def _fit(panel: Panel, met: dynamics.Outcomes, place: Place, kind: str) -> Floats:
    # Weights of both legs, (F, 2); no constant: a mean over few sessions is no forecast.
    if kind == "none":
        return np.zeros((panel.n_features, 2))
    rows, decisions = list(place[0]), slice(place[1], place[2] - 1)
    usable = met.executable[rows, decisions].cpu().numpy()
    x = panel.features[rows, decisions].double().cpu().numpy()[usable]
    legs = [leg[rows, decisions].double().cpu().numpy()[usable] for leg in (met.held, met.traded)]
    fit = ridge if kind == "ridge" else lasso
    return np.stack([fit(x, leg) for leg in legs], axis=-1)


def ridge(x: Floats, y: Floats) -> Floats:
    """Ridge regression with the penalty that generalised cross-validation prefers.

    Args:
        x: Features (n, F).
        y: Returns (n,).

    Returns:
        (F,); zero where no penalty promises a smaller error than forecasting nothing.
    """
    n, total = len(y), float(y @ y)
    values, vectors = np.linalg.eigh(x.T @ x)
    both = vectors.T @ (x.T @ y)
    best, found = total, np.zeros(x.shape[1])
    for penalty in RIDGE_PENALTIES:
        shrunk = 1.0 / (values + penalty * n)
        weights = shrunk * both
        left = total - 2.0 * weights @ both + (values * weights**2).sum()
        freedom = 1.0 - (values * shrunk).sum() / n
        if freedom > 0.0 and left / freedom**2 < best:
            best, found = left / freedom**2, vectors @ weights
    return found


def lasso(x: Floats, y: Floats) -> Floats:
    """Lasso by coordinate descent, at :data:`LASSO_SHARE` of the universal threshold.

    Args:
        x: Features (n, F).
        y: Returns (n,).

    Returns:
        (F,), mostly zeros.
    """
    n, size = len(y), x.shape[1]
    gram, left, weights = x.T @ x, x.T @ y, np.zeros(size)
    lengths = np.diag(gram)
    noise = np.sqrt(2.0 * np.log(max(size, 2)) * float(y @ y) / max(n, 1))
    thresholds = LASSO_SHARE * noise * np.sqrt(lengths)
    for _ in range(_SWEEPS):
        before = weights.copy()
        for j in np.flatnonzero(lengths > 0.0):
            own = left[j] + lengths[j] * weights[j]
            new = np.sign(own) * max(abs(own) - thresholds[j], 0.0) / lengths[j]
            if new != weights[j]:
                left -= gram[:, j] * (new - weights[j])
                weights[j] = new
        if np.abs(weights - before).max(initial=0.0) <= 1e-9:
            break
    return weights
