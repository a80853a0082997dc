"""How a retrained bundle behaves: what may veto that it serves without a look."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from transfergate.evaluation.metrics import SESSIONS_PER_YEAR
from transfergate.evaluation.splits import Window
from transfergate.learning import Weights, are_finite
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams, RefreshParams
from transfergate.transfer.scoring import model_paths


@dataclass(frozen=True)
class Behaviour:
    """K policies as equal sub-accounts over some sessions.

    Attributes:
        finite: Whether all weights, positions and returns are numbers.
        exposure: Mean absolute position.
        largest: Largest absolute position of one policy.
        turnover: Mean change of position a session.
        sharpe: Annualised, net; 0 where nothing was held.
    """

    finite: bool
    exposure: float
    largest: float
    turnover: float
    sharpe: float


def behaviour(
    panel: Panel,
    weights: Weights,
    window: Window,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
) -> Behaviour:
    """Run all policies of a bundle over a window, each flat at first.

    Args:
        panel: The ticker alone.
        weights: Stacked, K models.
        window: Sessions of the panel.
        market: The bundle's.
        network: The bundle's.
        burn_in: Sessions encoded before the first decision.
    """
    if not are_finite(weights):
        return Behaviour(False, 0.0, 0.0, 0.0, 0.0)
    paths = model_paths(panel, weights, window, market, network, burn_in)
    positions = np.stack([path.position for path in paths])
    returns = np.mean([path.net_return for path in paths], axis=0)
    turnover = np.mean([path.turnover for path in paths])
    spread = float(np.std(returns))
    sharpe = sqrt(SESSIONS_PER_YEAR) * float(np.mean(returns)) / spread if spread else 0.0
    return Behaviour(
        finite=bool(np.isfinite(positions).all() and np.isfinite(returns).all()),
        exposure=float(np.abs(positions.mean(axis=0)).mean()),
        largest=float(np.abs(positions).max()),
        turnover=float(turnover),
        sharpe=sharpe,
    )


def vetoes(found: Behaviour, approved_turnover: float, params: RefreshParams) -> list[str]:
    """What speaks against letting a retrain serve; empty if nothing does.

    Args:
        found: Behaviour on the retrain's validation sessions.
        approved_turnover: Mean turnover a session of the approved out-of-sample record.
        params: The limits.
    """
    if not found.finite:
        return ["its weights or outputs are not finite"]
    checks = [
        ("mean exposure", found.exposure, params.min_exposure, params.max_exposure),
        ("largest position", found.largest, 0.0, params.max_exposure),
        ("turnover", found.turnover, 0.0, params.max_turnover_ratio * approved_turnover),
        ("validation Sharpe ratio", found.sharpe, params.min_validation_sharpe, np.inf),
    ]
    return [
        f"{name} {value:.3g} is outside {low:.3g} to {high:.3g}"
        for name, value, low, high in checks
        if not low <= value <= high
    ]
