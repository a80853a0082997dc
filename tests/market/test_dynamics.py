import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfergate.market import Panel, dynamics, planted_panel
from transfergate.settings import MarketParams

FINITE = st.floats(-0.5, 0.5)
POSITION = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(k=POSITION, a=POSITION, overnight=FINITE, intraday=FINITE, cost=st.floats(0, 0.05))
def test_net_return_is_the_sum_of_both_legs_less_cost(k, a, overnight, intraday, cost):
    got = dynamics.net_return(f64(k), f64(a), f64(overnight), f64(intraday), cost).item()
    assert got == pytest.approx(k * overnight + a * intraday - cost * abs(a - k))


def test_next_open_pays_the_old_position_overnight_and_the_new_one_intraday():
    panel = planted_panel(2, 10)
    met = dynamics.outcomes(panel, MarketParams(cost_bps=7.0))
    assert torch.equal(met.held[:, :-1], panel.overnight[:, 1:])
    assert torch.equal(met.traded[:, :-1], panel.intraday[:, 1:])
    assert met.cost_rate[0, 0].item() == pytest.approx(7e-4)
    assert not met.executable[:, -1].any()
    assert met.executable[:, :-1].all()


def test_same_close_earns_close_to_close():
    panel = planted_panel(1, 10)
    met = dynamics.outcomes(panel, MarketParams(timing="same_close"))
    whole = (1 + panel.overnight) * (1 + panel.intraday) - 1
    torch.testing.assert_close(met.traded[:, :-1], whole[:, 1:])
    assert not met.held.any()


@pytest.mark.parametrize("timing", ["next_open", "same_close"])
def test_a_decision_is_executed_only_when_ready_and_tradable(timing: str):
    panel = planted_panel(1, 10)
    panel.ready[0, 4] = False
    panel.tradable[0, 7] = False
    met = dynamics.outcomes(panel, MarketParams(timing=timing))
    stuck = {4, 6, 9} if timing == "next_open" else {0, 4, 7, 9}
    assert {t for t in range(10) if not met.executable[0, t]} == stuck


def test_costs_may_vary_by_ticker_and_session():
    panel = planted_panel(1, 6)
    rates = torch.arange(6.0, dtype=torch.float64)[None] * 1e-4
    panel = Panel(
        panel.tickers,
        panel.sessions,
        panel.features,
        panel.overnight,
        panel.intraday,
        panel.tradable,
        panel.ready,
        rates,
    )
    next_open = dynamics.outcomes(panel, MarketParams())
    assert next_open.cost_rate[0, 2].item() == pytest.approx(3e-4)
    same_close = dynamics.outcomes(panel, MarketParams(timing="same_close"))
    assert same_close.cost_rate[0, 2].item() == pytest.approx(2e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_return_table_equals_the_loop(seed: int):
    generator = torch.Generator().manual_seed(seed)
    overnight, intraday = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64) * 0.02
    executable = torch.rand(4, 3, generator=generator) < 0.7
    cost = torch.rand(4, 3, generator=generator, dtype=torch.float64) * 1e-3
    grid = f64(-1.0, 0.0, 0.5, 1.0)
    table = dynamics.return_table(overnight, intraday, executable, grid, cost)
    leads = dynamics.next_positions(executable, 4)
    for i in range(4):
        for j in range(3):
            for k in range(4):
                for a in range(4):
                    to = a if executable[i, j] else k
                    want = (
                        grid[k] * overnight[i, j]
                        + grid[to] * intraday[i, j]
                        - cost[i, j] * abs(grid[to] - grid[k])
                    )
                    assert table[i, j, k, a].item() == pytest.approx(want.item(), abs=1e-12)
                    assert leads[i, j, k, a] == to


def test_equity_without_cost_and_trades_is_buy_and_hold():
    # Close to close exactly; over two legs each session's return is o + i, buy-and-hold's is
    # o + i + o * i: the cross term is all that may be missing.
    panel = planted_panel(1, 500, seed=3)
    price = ((1 + panel.overnight) * (1 + panel.intraday)).cumprod(1)
    for timing in ("same_close", "next_open"):
        met = dynamics.outcomes(panel, MarketParams(timing=timing, cost_bps=0.0))
        one = torch.ones_like(met.held)
        net = dynamics.net_return(one, one, met.held, met.traded, met.cost_rate)[:, :-1]
        if timing == "next_open":
            net = net + (panel.overnight * panel.intraday)[:, 1:]
        equity = (1 + net).cumprod(1)
        torch.testing.assert_close(equity, price[:, 1:] / price[:, :1], rtol=1e-12, atol=0.0)


def test_only_a_loss_of_all_equity_is_ruin():
    assert dynamics.is_ruin(f64(0.1, -0.2, -1.0, -3.0)).tolist() == [False, False, True, True]
