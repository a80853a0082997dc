"""A market with a known edge: what tests, benchmarks and the default settings are tuned on."""

from __future__ import annotations

import numpy as np
import torch

from transfergate.market.panel import Panel


def planted_panel(
    n_tickers: int = 4,
    n_sessions: int = 1000,
    *,
    phi: float = 0.3,
    n_noise: int = 15,
    daily_volatility: float = 0.015,
    overnight_share: float = 0.2,
    seed: int = 0,
) -> Panel:
    """Draw an AR(1) market: the daily return follows ``phi`` times the last one.

    Feature 0 is the last daily return in standard deviations, the others are pure noise. The
    predictable part accrues intraday, so that trading at the open can earn it.

    Args:
        n_tickers: Rows N.
        n_sessions: Sessions T.
        phi: AR coefficient of the daily return; 0 plants nothing.
        n_noise: Number of uninformative features.
        daily_volatility: Standard deviation of the daily return.
        overnight_share: Share of the unpredictable variance that accrues overnight.
        seed: Of the whole market.
    """
    rng = np.random.default_rng(seed)
    shape = (n_tickers, n_sessions)
    innovation = daily_volatility * np.sqrt(1.0 - phi**2)
    overnight = innovation * np.sqrt(overnight_share) * rng.standard_normal(shape)
    intraday = innovation * np.sqrt(1.0 - overnight_share) * rng.standard_normal(shape)
    for t in range(1, n_sessions):
        intraday[:, t] += phi * (overnight[:, t - 1] + intraday[:, t - 1])
    signal = np.clip((overnight + intraday) / daily_volatility, -5.0, 5.0)
    noise = rng.standard_normal((*shape, n_noise))
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
