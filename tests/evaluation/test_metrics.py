import math

import empyrical
import numpy as np
import pandas as pd
import pytest

from transfergate.evaluation import metrics
from transfergate.evaluation.transactions import Transactions


@pytest.fixture
def returns():
    return np.random.default_rng(1).normal(0.0006, 0.012, 700)


def test_annualised_return_compounds():
    assert metrics.annualised_return(np.full(252, 0.001)) == pytest.approx(1.001**252 - 1)
    assert metrics.annualised_return(np.full(126, 0.001)) == pytest.approx(1.001**252 - 1)


def test_sharpe_is_mean_over_volatility_annualised(returns):
    expected = 252 * returns.mean() / metrics.annualised_volatility(returns)
    assert metrics.sharpe_ratio(returns) == pytest.approx(expected)
    assert metrics.sharpe_ratio(3.0 * returns) == pytest.approx(expected)


@pytest.mark.parametrize("series", [[], np.zeros(50), np.full(50, 0.001)])
def test_sharpe_without_risk_is_zero(series):
    assert metrics.sharpe_ratio(series) == 0.0


def test_max_drawdown_counts_the_start_as_a_peak():
    assert metrics.max_drawdown([-0.1, 0.05]) == pytest.approx(-0.1)
    assert metrics.max_drawdown([0.5, -0.2, -0.5, 2.0]) == pytest.approx(-0.6)
    assert metrics.max_drawdown([0.1, 0.1]) == 0.0


def test_max_drawdown_equals_a_search_over_all_pairs(returns):
    equity = [1.0, *metrics.equity_curve(returns)]
    worst = min(equity[j] / equity[i] - 1 for i in range(0, 701, 1) for j in range(i, 701))
    assert metrics.max_drawdown(returns) == pytest.approx(worst)


def test_ruin_is_final():
    assert metrics.equity_curve([0.1, -1.5, 3.0]).tolist() == pytest.approx([1.1, 0.0, 0.0])
    assert metrics.annualised_return([0.1, -1.5, 3.0]) == -1.0
    assert metrics.max_drawdown([0.1, -1.5, 3.0]) == -1.0


def test_turnover_of_a_daily_round_trip():
    assert metrics.annualised_turnover([1.0, 1.0]) == 252.0


def test_performance_gathers_all(returns):
    trips = Transactions(np.array([0.1, -0.2]))
    row = metrics.performance(returns, np.ones(700), trips).as_dict()
    assert row["n_sessions"] == 700
    assert row["sharpe"] == metrics.sharpe_ratio(returns)
    assert row["sortino"] == metrics.sortino_ratio(returns)
    assert row["calmar"] == metrics.calmar_ratio(returns)
    assert row["hit_rate"] == metrics.hit_rate(returns)
    assert row["annualised_turnover"] == 252.0
    assert (row["n_transactions"], row["average_profit"], row["average_loss"]) == (2.0, 0.1, -0.2)
    assert metrics.performance(returns).annualised_turnover is None
    assert metrics.performance(returns).n_transactions is None


def test_one_series_is_asked_for():
    with pytest.raises(ValueError, match="shape"):
        metrics.sharpe_ratio(np.zeros((2, 3)))


# Peer: empyrical-reloaded. Sortino, Calmar, drawdown and the annualised return share our
# definitions. Its volatility and Sharpe ratio divide by T - 1, ours by T as the gate's statistic
# does, so those agree up to sqrt(T / (T - 1)). It has no hit rate per session.
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("n", [2, 63, 700])
def test_figures_equal_the_peers(seed, n):
    series = np.random.default_rng(seed).normal(0.0004, 0.015, n)
    series[0] = -0.01
    divisor = math.sqrt(n / (n - 1))
    assert metrics.annualised_return(series) == pytest.approx(empyrical.annual_return(series))
    assert metrics.annualised_volatility(series) * divisor == pytest.approx(
        empyrical.annual_volatility(series)
    )
    assert metrics.sharpe_ratio(series) == pytest.approx(
        empyrical.sharpe_ratio(series) * divisor, rel=1e-9
    )
    assert metrics.sortino_ratio(series) == pytest.approx(empyrical.sortino_ratio(series))
    assert metrics.max_drawdown(series) == pytest.approx(empyrical.max_drawdown(series))
    assert metrics.calmar_ratio(series) == pytest.approx(empyrical.calmar_ratio(series))
    growth = empyrical.cum_returns(pd.Series(series), starting_value=1.0)
    np.testing.assert_allclose(metrics.equity_curve(series), growth)


def test_hit_rate_counts_sessions_that_won_among_those_that_won_or_lost():
    assert metrics.hit_rate([0.1, -0.1, 0.0, 0.2, 0.0]) == pytest.approx(2 / 3)
    assert metrics.hit_rate([0.0, 0.0]) is None


def test_drawdown_curve_ends_at_its_deepest():
    assert metrics.drawdown_curve([-0.1, 0.05]).tolist() == pytest.approx([-0.1, -0.055])
    assert metrics.drawdown_curve([0.5, -0.2]).tolist() == pytest.approx([0.0, -0.2])
    assert metrics.drawdown_curve([]).tolist() == []


EDGES = {
    "empty": [],
    "one session": [0.01],
    "flat": [0.0] * 30,
    "constant": [0.001] * 30,
    "no losing day": [0.01, 0.0, 0.02],
    "ruin": [0.1, -1.0, 0.2],
    "beyond ruin": [-1.7, 0.2],
    "overflow of a year": [20.0, -0.1, 30.0],
}


@pytest.mark.parametrize("name", EDGES)
def test_what_does_not_exist_is_none_and_never_infinite(name):
    row = metrics.performance(EDGES[name]).as_dict()
    assert all(value is None or math.isfinite(value) for value in row.values())


def test_edges_say_which_figures_exist():
    def defined(name):
        row = metrics.performance(EDGES[name]).as_dict()
        return {key for key, value in row.items() if value is not None} - {"n_sessions"}

    spread = {"annualised_volatility", "sharpe"}
    growth = {"annualised_return", "max_drawdown"}
    assert defined("empty") == set()
    assert defined("one session") == growth | {"hit_rate"}
    assert defined("flat") == growth | spread
    assert defined("constant") == growth | {"annualised_volatility", "hit_rate"}
    assert defined("no losing day") == growth | spread | {"hit_rate"}
    assert defined("ruin") == growth | spread | {"hit_rate", "sortino", "calmar"}
    assert metrics.performance(EDGES["flat"]).sharpe == 0.0
    assert metrics.performance(EDGES["ruin"]).calmar == -1.0
