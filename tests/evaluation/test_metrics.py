import numpy as np
import pytest

from transfergate.evaluation import metrics


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
    row = metrics.performance(returns, np.ones(700)).as_dict()
    assert row["n_sessions"] == 700
    assert row["sharpe"] == metrics.sharpe_ratio(returns)
    assert row["annualised_turnover"] == 252.0
    assert metrics.performance(returns).annualised_turnover is None


def test_one_series_is_asked_for():
    with pytest.raises(ValueError, match="shape"):
        metrics.sharpe_ratio(np.zeros((2, 3)))
