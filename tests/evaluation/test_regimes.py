import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfergate.evaluation import regimes
from transfergate.evaluation.gate.statistic import sharpe_difference
from transfergate.evaluation.metrics import sharpe_ratio

DAYS = np.datetime64("2018-01-01") + np.arange(600)


def market(seed=0, n=600):
    rng = np.random.default_rng(seed)
    return regimes.Market("m", DAYS[:n], rng.normal(0, 0.01, n))


@given(cut=st.integers(1, 599), seed=st.integers(0, 9))
def test_a_regime_knows_nothing_of_its_own_session_or_later(cut, seed):
    before = market(seed)
    shocked = before.returns.copy()
    shocked[cut:] = np.random.default_rng(99).normal(0.01, 0.2, 600 - cut)
    one, two = (
        regimes.label_market(regimes.Market("m", DAYS, returns))
        for returns in (before.returns, shocked)
    )
    np.testing.assert_array_equal(one.volatility[: cut + 1], two.volatility[: cut + 1])
    np.testing.assert_array_equal(one.trend[: cut + 1], two.trend[: cut + 1])


def test_a_planted_storm_is_high_volatility_and_a_planted_fall_is_down():
    rng = np.random.default_rng(4)
    returns = rng.normal(0.001, 0.003, 600)
    returns[300:400] = rng.normal(-0.004, 0.02, 100)
    found = regimes.label_market(regimes.Market("m", DAYS, returns))
    assert (found.volatility[310:400] == 1).all()
    assert (found.trend[340:400] == 0).all()
    assert (found.trend[200:300] == 1).all()
    assert (found.volatility[: regimes.MIN_MARKET_SESSIONS] == -1).all()


def test_labels_equal_a_slow_definition():
    found, returns = regimes.label_market(market(7)), market(7).returns
    for t in (63, 64, 200, 599, 600):
        spreads = [returns[s - 21 : s].std() for s in range(21, t + 1)]
        assert found.volatility[t] == (spreads[-1] > np.median(spreads))
        assert found.trend[t] == (np.prod(1 + returns[t - 63 : t]) > 1)


def record(n=300, start=200):
    rng = np.random.default_rng(8)
    days = DAYS[start : start + n]
    return {
        "finetuned": (days, rng.normal(0.001, 0.01, n)),
        "scratch": (days, rng.normal(0, 0.01, n)),
        "champion": (days[150:], rng.normal(0, 0.01, n - 150)),
    }


def test_slices_partition_the_record_and_equal_the_statistic_on_them():
    arms, labels = record(), regimes.label_market(market())
    found = regimes.slices(arms, labels)
    for by in ("volatility", "trend", "year"):
        assert sum(row["n_sessions"] for row in found["slices"] if row["by"] == by) == 300
    high = next(row for row in found["slices"] if row["label"] == "high")
    inside = labels.volatility[200:500] == 1
    left, right = arms["finetuned"][1][inside], arms["scratch"][1][inside]
    assert high["delta_sharpe"] == pytest.approx(sharpe_difference(left, right).delta)
    assert high["se_time"] == pytest.approx(sharpe_difference(left, right).se_time)
    assert high["sharpe"]["finetuned"] == pytest.approx(sharpe_ratio(left))
    own = np.isin(DAYS[200:500][inside], arms["champion"][0])
    assert high["sharpe"]["champion"] is None or own.sum() >= regimes.MIN_SLICE_SESSIONS


def test_no_slice_has_a_verdict():
    for row in regimes.slices(record(), regimes.label_market(market()))["slices"]:
        assert row.keys() == {"by", "label", "n_sessions", "sharpe", "delta_sharpe", "se_time"}


def test_a_short_slice_is_counted_without_figures():
    arms = record(n=180, start=0)  # 2018-01-01 to 2018-06-29
    days = DAYS[0:180] + np.timedelta64(330, "D")
    arms = {
        arm: (days[-len(own) :], values) for arm, (_, values) in arms.items() for own in [values]
    }
    rows = {row["label"]: row for row in regimes.slices(arms, None)["slices"]}
    assert rows["2018"]["n_sessions"] == 35
    assert rows["2018"]["delta_sharpe"] is None
    assert rows["2018"]["sharpe"]["finetuned"] is None
    assert rows["2019"]["delta_sharpe"] is not None


def test_identical_arms_have_no_standard_error():
    days, values = record()["finetuned"]
    rows = regimes.slices({"finetuned": (days, values), "scratch": (days, values)}, None)["slices"]
    assert [(row["delta_sharpe"], row["se_time"]) for row in rows] == [(0.0, None)] * len(rows)


def test_without_both_required_arms_on_the_same_sessions_there_is_nothing_to_slice():
    days, values = record()["finetuned"]
    assert regimes.slices({"finetuned": (days, values)}, None)["slices"] == []
    uneven = {"finetuned": (days, values), "scratch": (days[1:], values[1:])}
    assert regimes.slices(uneven, None)["slices"] == []
