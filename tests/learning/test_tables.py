"""Tests of what a decision earns at the places of a panel."""

import pytest
import torch

from transfergate.learning.tables import RewardTables
from transfergate.market import planted_panel
from transfergate.settings import MarketParams


@pytest.mark.parametrize("reward", ["log_return", "simple_return", "path_sharpe"])
@pytest.mark.parametrize("charged", [False, True])
@pytest.mark.parametrize("ruinous", [False, True])
def test_tables_made_at_once_and_place_by_place_have_the_same_bits(reward, charged, ruinous):
    panel = planted_panel(3, 400, n_noise=1, seed=2)
    panel.tradable[:, 7:400:9] = False
    if ruinous:
        panel.intraday[1, 50] = -1.5
    market = MarketParams(reward=reward)
    places = torch.randint(0, 1200, (777,), generator=torch.Generator().manual_seed(1))
    places[:5] = 400 + 49  # the next session ruins who is long
    charge = torch.rand(777, generator=torch.Generator().manual_seed(2)) * 1e-3
    at_once, one_by_one = (
        RewardTables(panel, market, reads).take(places, charge if charged else None)
        for reads in (1200, 1199)
    )
    assert torch.equal(at_once[0], one_by_one[0])
    assert torch.equal(at_once[1], one_by_one[1])
    assert 0 < at_once[1].sum() < len(places)
    if not ruinous:
        assert (at_once[2], one_by_one[2]) == (None, None)
    else:
        assert at_once[2].any()
        assert torch.equal(at_once[2], one_by_one[2])


def test_a_charge_lowers_the_reward_by_turnover_where_it_is_executed():
    panel = planted_panel(1, 60, n_noise=1, seed=2)
    panel.tradable[0, 11] = False
    tables = RewardTables(panel, MarketParams(reward="simple_return"), 0)
    places, charge = torch.tensor([10, 20]), torch.full((2,), 1e-3)
    plain, executable, _ = tables.take(places)
    dear, _, _ = tables.take(places, charge)
    assert executable.tolist() == [False, True]
    assert torch.equal(plain[0], dear[0])
    turnover = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    torch.testing.assert_close(plain[1] - dear[1], turnover * 0.1, atol=1e-6, rtol=0.0)
