"""What a fold's rows must say, worked out again from prices and weights before they are published.

The ledger is written once, so its rows are checked on their way in: against the session's prices
(a return follows from positions, prices and costs) and against a second run of each seed's weights
(every trained seed is scored, with its own path). The figures go into the fold's record, from
which the audits read them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from transfergate.evaluation.splits import Window
from transfergate.market.dynamics import net_return, outcomes
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams
from transfergate.transfer.arms import ArmRun
from transfergate.transfer.windows import score_window

FloatArray = NDArray[np.float64]

TOLERANCE = 1e-9
"""Largest rounding of a daily return."""
_NEAR_RUIN = 0.5
"""From a session with a leg as large as this on, an average of accounts may hold ruined ones."""


def check_accounting(
    rows: pa.Table, panel: Panel, market: MarketParams, test: Window, *, averaged: bool = False
) -> dict[str, int]:
    """Count rows whose figures do not follow from positions, prices and costs.

    Every seed starts flat; ``net_return = k * held leg + a * traded leg - cost``, with k the
    position before and a the one in the row, ``turnover = |a - k|`` and ``cost = turnover * rate``.

    Args:
        rows: One arm's rows of one fold: ``seed, net_return, position, turnover, cost`` in the
            order of seed and session.
        panel: The ticker alone.
        market: Timing and cost of the record.
        test: The fold's test sessions.
        averaged: The rows are the mean over accounts, whose trades may cancel in the position.

    Returns:
        ``rows``, and how many of them are ``not_finite``, ``wrong_net``, ``wrong_turnover``,
        ``wrong_cost`` and ``free_trades``: markets for replications trade for nothing, by the
        market's cost or by a ticker's or session's own, and no verdict may rest on that.
    """
    net, position, turnover, cost = (
        rows[name].to_numpy().reshape(-1, test.sessions)
        for name in ("net_return", "position", "turnover", "cost")
    )
    before = np.concatenate([np.zeros((len(position), 1)), position[:, :-1]], axis=1)
    held, traded, rate = _legs(panel, market, test)
    old, new, overnight, intraday = map(torch.tensor, (before, position, held, traded))
    gross = net_return(old, new, overnight, intraday, 0.0).numpy()
    expected = np.maximum(gross - cost, -1.0)
    lost = np.cumsum(net <= -1.0 + TOLERANCE, axis=1) - (net <= -1.0 + TOLERANCE) > 0
    expected = np.where(lost, 0.0, expected)
    wrong_net = np.abs(net - expected) > TOLERANCE
    excess = turnover - np.abs(position - before)
    wrong_turnover = ~lost & ((excess < -TOLERANCE) | ((excess > TOLERANCE) & (not averaged)))
    if averaged:
        wild = np.cumsum(np.maximum(np.abs(held), np.abs(traded)) >= _NEAR_RUIN) > 0
        wrong_net, wrong_turnover = wrong_net & ~wild, wrong_turnover & ~wild
    return {
        "rows": net.size,
        "not_finite": int((~np.isfinite(np.stack((net, position, turnover, cost)))).sum()),
        "wrong_net": int(wrong_net.sum()),
        "wrong_turnover": int(wrong_turnover.sum()),
        "wrong_cost": int((np.abs(cost - turnover * rate) > TOLERANCE).sum()),
        "free_trades": int(((turnover > TOLERANCE) & (cost <= 0.0)).sum()),
    }


def check_seeds(
    rows: pa.Table,
    panel: Panel,
    run: ArmRun,
    market: MarketParams,
    network: NetworkParams,
    test: Window,
    burn_in: int,
) -> dict[str, Any]:
    """Run every trained seed of an arm over the test again, and compare with its rows.

    Returns:
        ``trained`` and ``scored`` seeds, and ``other_rows``: rows that differ from what their own
        seed's weights do (all of them where the numbers of seeds differ).
    """
    seeds = sorted(set(rows["seed"].to_pylist()))
    found = {"trained": len(run.seeds), "scored": len(seeds)}
    if seeds != list(range(len(run.seeds))) or rows.num_rows != len(seeds) * test.sessions:
        return {**found, "other_rows": rows.num_rows}
    written = rows["net_return"].to_numpy().reshape(len(seeds), test.sessions)
    again = np.zeros_like(written)
    if run.choice is not None:
        scored = score_window(panel, run.weights, test, market, network, burn_in)
        again = scored.net_return.double().cpu().numpy()
    same = np.abs(written - again) <= TOLERANCE
    return {**found, "other_rows": int((~same).sum())}


def _legs(
    panel: Panel, market: MarketParams, test: Window
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return of the old and of the new position, and cost rate, in each test session."""
    out = outcomes(panel.to("cpu"), market)
    decided = slice(test.first - 1, test.stop - 1)
    held, traded, rate = (
        part[0, decided].numpy() for part in (out.held, out.traded, out.cost_rate)
    )
    return held[None], traded[None], rate
