"""Seed-mean series of every arm, and the figures that tables show of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transfergate.evaluation.ledger import ARMS
from transfergate.evaluation.metrics import performance

ARM_LABELS = {
    "finetuned": "fine-tuned",
    "scratch": "from scratch",
    "zero_shot": "zero-shot",
    "buy_hold": "buy and hold",
    "champion": "champion",
    "ridge": "ridge-linear",
    "random": "random",
}


@dataclass(frozen=True)
class ArmSeries:
    """One arm's mean over seeds; arrays have shape (T,)."""

    dates: NDArray[np.datetime64]
    net_return: NDArray[np.float64]
    turnover: NDArray[np.float64] | None


def arm_series(returns: pa.Table) -> dict[str, dict[str, ArmSeries]]:
    """Seed means per ticker and arm, arms in their usual order; arms with NaN are left out."""
    with_turnover = "turnover" in returns.column_names
    columns = ["net_return", *(["turnover"] if with_turnover else [])]
    means = returns.group_by(["ticker", "arm", "session_date"]).aggregate(
        [(name, "mean") for name in columns]
    )
    order = [(name, "ascending") for name in ("ticker", "arm", "session_date")]
    means = means.sort_by(order)
    result: dict[str, dict[str, ArmSeries]] = {}
    for ticker in pc.unique(means["ticker"]).to_pylist():
        own = means.filter(pc.equal(means["ticker"], ticker))
        found = {}
        for arm in ARMS:
            rows = own.filter(pc.equal(own["arm"], arm))
            net = rows["net_return_mean"].to_numpy().astype(np.float64)
            if len(net) and np.isfinite(net).all():
                found[arm] = ArmSeries(
                    rows["session_date"].to_numpy().astype("datetime64[D]"),
                    net,
                    rows["turnover_mean"].to_numpy().astype(np.float64) if with_turnover else None,
                )
        result[ticker] = found
    return result


def performance_table(series: dict[str, ArmSeries]) -> dict[str, dict[str, Any]]:
    """Performance of each arm of one ticker."""
    return {
        arm: performance(item.net_return, item.turnover).as_dict() for arm, item in series.items()
    }
