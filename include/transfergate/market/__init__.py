"""The market: tensorised dynamics, execution timing, costs, and Gymnasium shells over them."""

from gymnasium.envs.registration import register, registry

from transfergate.market.envs import MarketEnv, MarketVectorEnv
from transfergate.market.episodes import EpisodeParams, Episodes
from transfergate.market.optimum import Optimum, optimum_sharpe
from transfergate.market.panel import Panel, build_panel
from transfergate.market.planted import PlantedParams, planted_panel

ENV_ID = "transfergate/Market-v0"

if ENV_ID not in registry:
    register(
        id=ENV_ID,
        entry_point="transfergate.market.envs:MarketEnv",
        vector_entry_point="transfergate.market.envs:MarketVectorEnv",
    )

__all__ = [
    "ENV_ID",
    "EpisodeParams",
    "Episodes",
    "MarketEnv",
    "MarketVectorEnv",
    "Optimum",
    "Panel",
    "PlantedParams",
    "build_panel",
    "optimum_sharpe",
    "planted_panel",
]
