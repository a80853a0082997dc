"""Many tickers of the synthetic source's market at once, as the panel that policies see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transfergate.market.panel import Panel
from transfergate.settings import SyntheticParams
from transfergate.sources.synthetic import planted_intraday

OVERNIGHT_SHARE = 0.2
INTRADAY_SHARE = 0.98
COMMON_SHARE = 0.3
N_NOISE_FEATURES = 6
MAX_FEATURE = 4.0


def planted_transfer(signs: Sequence[float], params: SyntheticParams) -> Panel:
    """Draw tickers whose structure has the given signs, as the policies see them.

    Log returns have mean ``-variance / 2`` where nothing is planted, so that simple returns are a
    martingale's there. Features: the last return in standard deviations, the surprise in log
    volume, and :data:`N_NOISE_FEATURES` of noise.

    Args:
        signs: 1, -1 or 0 for each ticker.
        params: Kind, strength, volatility, sessions and seed.
    """
    import torch

    rng = np.random.default_rng([params.seed, 1])
    n, t, v = len(signs), params.n_sessions, params.daily_volatility
    common, own = rng.standard_normal(t), rng.standard_normal((n, t))
    noise = COMMON_SHARE**0.5 * common + (1.0 - COMMON_SHARE) ** 0.5 * own
    surge = rng.standard_normal((n, t))
    overnight = OVERNIGHT_SHARE * v * rng.standard_normal((n, t))
    intraday = np.stack(
        [
            planted_intraday(params, sign, overnight[i], noise[i], surge[i], rng)
            for i, sign in enumerate(signs)
        ]
    )
    signal = np.clip((overnight + intraday) / v, -MAX_FEATURE, MAX_FEATURE)
    features = np.concatenate(
        [signal[..., None], surge[..., None], rng.standard_normal((n, t, N_NOISE_FEATURES))], -1
    )
    tradable = np.ones((n, t), dtype=np.bool_)
    tradable[:, 0] = False
    return Panel(
        tickers=tuple(f"PLANT{i:03d}" for i in range(n)),
        sessions=np.datetime64("2000-01-03") + np.arange(t),
        features=torch.from_numpy(features.astype(np.float32)),
        overnight=torch.from_numpy(np.expm1(overnight - 0.5 * (OVERNIGHT_SHARE * v) ** 2)),
        intraday=torch.from_numpy(np.expm1(intraday - 0.5 * (INTRADAY_SHARE * v) ** 2)),
        tradable=torch.from_numpy(tradable),
        ready=torch.ones((n, t), dtype=torch.bool),
    )


def panel_rows(panel: Panel, rows: Sequence[int]) -> Panel:
    """Some tickers of a panel."""
    index = list(rows)
    return Panel(
        tuple(panel.tickers[row] for row in index),
        panel.sessions,
        panel.features[index],
        panel.overnight[index],
        panel.intraday[index],
        panel.tradable[index],
        panel.ready[index],
    )
