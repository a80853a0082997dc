import numpy as np
import pyarrow as pa
import pytest
import torch

from transfergate.evaluation.splits import Window
from transfergate.market import Panel, dynamics, planted_panel
from transfergate.settings import MarketParams
from transfergate.transfer.replay import check_accounting

TEST = Window(20, 50)


def record(panel: Panel, market: MarketParams) -> pa.Table:
    """A policy that turns round every session, charged what the market charges."""
    met = dynamics.outcomes(panel, market)
    position = np.where(np.arange(TEST.sessions) % 2 == 0, 1.0, -1.0)
    before = np.concatenate([[0.0], position[:-1]])
    held, traded, rate = (
        x[0, TEST.first - 1 : TEST.stop - 1].numpy() for x in (met.held, met.traded, met.cost_rate)
    )
    turnover = np.abs(position - before)
    net = before * held + position * traded - rate * turnover
    return pa.table(
        {"net_return": net, "position": position, "turnover": turnover, "cost": rate * turnover}
    )


@pytest.mark.parametrize(
    ("own", "default", "free"),
    [(None, 5.0, 0), (None, 0.0, 30), (3e-4, 0.0, 0), (0.0, 5.0, 30), (float("nan"), 5.0, 0)],
)
def test_trades_for_nothing_are_counted_whoever_says_what_they_cost(own, default, free):
    panel = planted_panel(1, 60, n_noise=0)
    if own is not None:
        rates = torch.full((1, 60), own, dtype=torch.float64)
        object.__setattr__(panel, "cost_rate", rates)
    market = MarketParams(cost_bps=default)
    counts = check_accounting(record(panel, market), panel, market, TEST)
    assert counts.pop("rows") == 30
    assert counts.pop("free_trades") == free
    assert not any(counts.values())


def test_single_sessions_for_nothing_are_counted():
    panel = planted_panel(1, 60, n_noise=0)
    rates = torch.full((1, 60), 5e-4, dtype=torch.float64)
    rates[0, 25:28] = 0.0
    object.__setattr__(panel, "cost_rate", rates)
    counts = check_accounting(record(panel, MarketParams()), panel, MarketParams(), TEST)
    assert counts["free_trades"] == 3
