"""A cohort as a table in the ledger's form, so that it takes the way that real records take."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from transfergate.evaluation.calibration.worlds import Cohort

FIRST_SESSION = np.datetime64("2000-01-03")


def returns_table(cohort: Cohort, arms: Collection[str] | None = None) -> pa.Table:
    """Long table ``ticker, session_date, fold, arm, seed, net_return`` of a cohort.

    Args:
        cohort: One draw of a world.
        arms: Arms to write; None for all.
    """
    parts = []
    for arm, returns in cohort.arms.items():
        if arms is not None and arm not in arms:
            continue
        by_seed = returns if returns.ndim == 3 else returns[:, None]
        n, k, t = by_seed.shape
        tickers = pa.array([f"T{i:03d}" for i in range(n)])
        dates = FIRST_SESSION + np.arange(t)
        rows = pa.array(np.repeat(np.arange(n, dtype=np.int32), k * t))
        parts.append(
            pa.table(
                {
                    "ticker": pa.DictionaryArray.from_arrays(rows, tickers),
                    "session_date": pa.array(np.tile(dates, n * k), pa.date32()),
                    "fold": np.tile(cohort.fold, n * k),
                    "arm": pa.array([arm])
                    .dictionary_encode()
                    .take(pa.array(np.zeros(n * k * t, dtype=np.int32))),
                    "seed": np.tile(np.repeat(np.arange(k), t), n),
                    "net_return": by_seed.ravel(),
                }
            )
        )
    return pa.concat_tables(parts).unify_dictionaries()
