"""Models of one ticker over one window of its sessions."""

from __future__ import annotations

from transfergate.evaluation.splits import Window
from transfergate.learning import Scored, Weights, score_greedy
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams


def score_window(
    panel: Panel,
    weights: Weights,
    window: Window,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
) -> Scored:
    """Run S models greedily over a window of a one-ticker panel.

    The first trade is in session ``window.first``, decided at the close before it.
    """
    n_models = next(iter(weights.values())).shape[0]
    return score_greedy(
        panel,
        weights,
        network,
        market,
        [0] * n_models,
        max(window.first - 1, 0),
        window.stop,
        burn_in,
    )
