"""Single-stock environments of others, on the same kind of random walk: made for one process each.

FinRL is loaded from its one file: importing the package itself asks for brokers' and trainers'
libraries that the environment does not use.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd


def _frame(sessions: int, n_features: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.015, sessions)))
    columns = {f"f{i}": rng.standard_normal(sessions) for i in range(n_features)}
    dates = np.datetime64("2010-01-04") + np.arange(sessions)
    return pd.DataFrame({"date": dates.astype(str), "tic": "ONE", "close": close, **columns})


@cache
def _finrl_class() -> Any:
    spec = importlib.util.find_spec("finrl")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("finrl is not installed; next: make setup-bench")
    path = Path(spec.submodule_search_locations[0]) / "meta/env_stock_trading/env_stocktrading.py"
    own = importlib.util.spec_from_file_location("finrl_env_stocktrading", path)
    if own is None or own.loader is None:
        raise ImportError(f"{path} cannot be loaded; next: make setup-bench")
    module = importlib.util.module_from_spec(own)
    sys.modules[own.name] = module
    own.loader.exec_module(module)
    return module.StockTradingEnv


def make_finrl(episode: int, n_features: int) -> gymnasium.Env[Any, Any]:
    """FinRL's environment: cash, price, shares and the indicators; buys and sells shares."""
    frame = _frame(episode + 1, n_features)
    indicators = [name for name in frame.columns if name.startswith("f")]
    made: gymnasium.Env[Any, Any] = _finrl_class()(
        df=frame,
        stock_dim=1,
        hmax=100,
        initial_amount=1_000_000,
        num_stock_shares=[0],
        buy_cost_pct=[0.0005],
        sell_cost_pct=[0.0005],
        reward_scaling=1e-4,
        state_space=3 + n_features,
        action_space=1,
        tech_indicator_list=indicators,
        print_verbosity=10**9,
    )
    return made


def make_gym_anytrading(episode: int, n_features: int) -> gymnasium.Env[Any, Any]:
    """gym-anytrading's environment with signal features of one's own, as its README shows."""
    from gym_anytrading.envs import StocksEnv

    class Featured(StocksEnv):
        def _process_data(self) -> tuple[np.ndarray, np.ndarray]:
            low, high = self.frame_bound[0] - self.window_size, self.frame_bound[1]
            prices = self.df["Close"].to_numpy()[low:high].astype(np.float32)
            features = self.df.filter(like="f").to_numpy()[low:high].astype(np.float32)
            return prices, features

    frame = _frame(episode + 2, n_features).rename(columns={"close": "Close"})
    made: gymnasium.Env[Any, Any] = Featured(frame, 1, (1, len(frame)))
    return made
