"""Bars of no market, on which feature SQL is judged: the same on every machine."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

TICKERS = 4


def made_up_bars(n_bars: int) -> pa.Table:
    """Random walks of four tickers, in the columns of ``int_adjusted_bars``, sorted.

    They begin on different days, and have gaps and days without volume.
    """
    rng = np.random.default_rng(20_260_101)
    parts = []
    for number in range(TICKERS):
        n = n_bars - 7 * number
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
        opened = close * np.exp(rng.normal(0, 0.01, n))
        days = np.datetime64("2001-01-01", "D") + np.sort(rng.permutation(n + 20)[:n])
        volume = rng.integers(0, 9_000, n).astype(float)
        volume[rng.random(n) < 0.01] = 0.0
        parts.append(
            pa.table(
                {
                    "ticker": [f"MADEUP{number}"] * n,
                    "session_date": pa.array(days, pa.date32()),
                    "open": opened,
                    "high": np.maximum(opened, close) * (1 + rng.uniform(0, 0.01, n)),
                    "low": np.minimum(opened, close) * (1 - rng.uniform(0, 0.01, n)),
                    "close": close,
                    "volume": volume,
                    "raw_close": close,
                }
            )
        )
    return pa.concat_tables(parts)
