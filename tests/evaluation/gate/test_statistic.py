"""The statistic against slow implementations written from the formulas, and against arch."""

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergate.evaluation.gate import statistic


def slow_lrv(psi):
    """Loops only, from the definition."""
    t = len(psi)

    def coefficient(z):
        top = sum(z[i] * z[i - 1] for i in range(1, len(z)))
        below = sum(z[i - 1] ** 2 for i in range(1, len(z)))
        return max(-0.9, min(0.9, top / below))

    a = coefficient(psi)
    e = [psi[i] - a * psi[i - 1] for i in range(1, t)]
    n = t - 1
    r = coefficient(e)
    b = 2.6614 * (4 * r**2 / (1 - r) ** 4 * n) ** (1 / 5)
    total = sum(value * value for value in e)
    for lag in range(1, min(int(np.floor(b)), n // 3) + 1):
        x = lag / b
        weight = 1 - 6 * x**2 + 6 * x**3 if x <= 0.5 else 2 * (1 - x) ** 3
        total += 2 * weight * sum(e[i] * e[i - lag] for i in range(lag, n))
    return total / ((n - 1) * (1 - a) ** 2)


def slow_psi(x):
    m, g = sum(x) / len(x), sum(v * v for v in x) / len(x)
    v = g - m * m
    return np.array([g / v**1.5 * (xt - m) - 0.5 * m / v**1.5 * (xt * xt - g) for xt in x])


def slow_seed_variance(x, y, folds):
    k_seeds, total = len(x), 0.0
    for fold in folds:
        psi = np.array([slow_psi(x[k][fold]) - slow_psi(y[k][fold]) for k in range(k_seeds)])
        delta = [
            np.mean(x[k][fold]) / np.std(x[k][fold]) - np.mean(y[k][fold]) / np.std(y[k][fold])
            for k in range(k_seeds)
        ]
        noise = ((psi - psi.mean(0)) ** 2).sum() / ((k_seeds - 1) * len(fold) ** 2)
        spread = sum((d - np.mean(delta)) ** 2 for d in delta) / (k_seeds - 1)
        total += 252 * max(spread - noise, 0.0) / k_seeds
    return total / len(folds) ** 2


@pytest.mark.parametrize("rho", [-0.7, -0.2, 0.0, 0.3, 0.95])
def test_long_run_variance_equals_a_loop_over_the_definition(rho):
    rng = np.random.default_rng(1)
    for n in (40, 301):
        series = rng.normal(size=n)
        for i in range(1, n):
            series[i] += rho * series[i - 1]
        series = np.convolve(series, [1, 0.5, -0.3], mode="same")
        series -= series.mean()
        assert statistic.long_run_variance(series) == pytest.approx(slow_lrv(series), rel=1e-12)


def test_long_run_variance_of_an_autoregression_is_near_the_truth():
    rng = np.random.default_rng(2)
    series = rng.standard_t(5, size=20_000) * np.sqrt(3 / 5)
    for i in range(1, len(series)):
        series[i] += 0.4 * series[i - 1]
    assert statistic.long_run_variance(series) == pytest.approx(1 / (1 - 0.4) ** 2, rel=0.08)


def test_influence_equals_the_formula_and_sums_to_nothing():
    x = np.random.default_rng(3).normal(0.001, 0.01, 250)
    psi = statistic.sharpe_influence(x).influence
    np.testing.assert_allclose(psi, slow_psi(x), rtol=1e-8, atol=1e-10)
    assert abs(psi.sum()) < 1e-9


def test_influence_is_the_derivative_of_the_sharpe_ratio():
    x = np.random.default_rng(4).normal(0.002, 0.01, 60)
    psi = statistic.sharpe_influence(x).influence
    for t in (0, 17, 59):
        weights = np.full(60, 1 / 60)
        weights = (1 - 1e-6) * weights
        weights[t] += 1e-6
        m = weights @ x
        nudged = m / np.sqrt(weights @ x**2 - m**2)
        slope = (nudged - x.mean() / x.std()) / 1e-6
        assert slope == pytest.approx(psi[t], rel=1e-3, abs=1e-3)


def test_seed_variance_equals_a_loop_over_the_definition():
    rng = np.random.default_rng(5)
    drift = rng.normal(0, 0.004, size=(4, 3, 1)).repeat(50, axis=2).reshape(4, 150)
    x, y = rng.normal(size=(2, 4, 150)) * 0.01 + drift
    folds = [np.arange(i, i + 50) for i in (0, 50, 100)]
    expected = slow_seed_variance(x, y, folds)
    assert expected > 0
    assert statistic.seed_variance(x, y, folds) == pytest.approx(expected, rel=1e-9)


def test_one_seed_gets_an_assumed_spread():
    x, y = np.random.default_rng(6).normal(size=(2, 1, 40))
    folds = [np.arange(20), np.arange(20, 40)]
    assert statistic.seed_variance(x, y, folds) == pytest.approx(2 * 0.25 / 2)


def test_seed_variance_recovers_a_planted_spread():
    rng = np.random.default_rng(7)
    estimates = []
    for _ in range(40):
        luck = rng.normal(0, 1.0 / np.sqrt(252), size=(5, 8, 1)).repeat(63, axis=2)
        x = rng.normal(size=(8, 63)) + 0.2 * rng.normal(size=(5, 8, 63)) + luck
        y = rng.normal(size=(8, 63)) + 0.2 * rng.normal(size=(5, 8, 63))
        folds = [np.arange(63 * f, 63 * (f + 1)) for f in range(8)]
        estimates.append(statistic.seed_variance(x.reshape(5, -1), y.reshape(5, -1), folds))
    # a seed's luck has variance 1; the mean over 5 seeds and 8 folds has 1/40
    assert np.mean(estimates) == pytest.approx(1 / 40, rel=0.15)


def test_time_standard_error_agrees_with_the_stationary_bootstrap():
    rng = np.random.default_rng(8)
    shock = rng.standard_t(6, size=(2, 600))
    x = 0.01 * (shock[0] + 0.3 * np.roll(shock[0], 1) + 0.05)
    y = 0.01 * (0.8 * shock[0] + 0.6 * shock[1] + 0.02)

    def delta(a, b):
        return np.sqrt(252) * np.array([a.mean() / a.std() - b.mean() / b.std()])

    bootstrap = StationaryBootstrap(10, x, y, seed=np.random.default_rng(9))
    expected = float(np.sqrt(bootstrap.cov(delta, reps=600)[0, 0]))
    assert statistic.sharpe_difference(x, y).se_time == pytest.approx(expected, rel=0.15)


def test_planning_formula():
    rng = np.random.default_rng(10)
    common, a, b = rng.normal(size=(3, 5000))
    x, y = (np.sqrt(0.6) * common + np.sqrt(0.4) * own for own in (a, b))
    planned = np.sqrt(2 * (1 - 0.6) * 252 / 5000)
    assert statistic.sharpe_difference(x, y).se_time == pytest.approx(planned, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-4, 1e4))
def test_scaling_an_arm_changes_nothing(seed, factor):
    x, y = np.random.default_rng(seed).normal(0.0005, 0.01, size=(2, 120))
    one, other = statistic.sharpe_difference(x, y), statistic.sharpe_difference(factor * x, y)
    assert other.delta == pytest.approx(one.delta, rel=1e-9, abs=1e-9)
    assert other.se_time == pytest.approx(one.se_time, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), delta_min=st.floats(0, 0.5))
def test_swapping_the_arms_mirrors_the_probabilities(seed, delta_min):
    x, y = np.random.default_rng(seed).normal(0.0005, 0.01, size=(2, 120))
    one, other = statistic.sharpe_difference(x, y), statistic.sharpe_difference(y, x)
    assert statistic.p_promote(one.delta, one.se_time, delta_min) == pytest.approx(
        statistic.p_reject(other.delta, other.se_time, delta_min), rel=1e-12
    )


def test_a_flat_arm_has_sharpe_and_influence_zero():
    x = np.random.default_rng(11).normal(0.001, 0.01, 100)
    against_flat = statistic.sharpe_difference(x, np.zeros(100))
    assert against_flat.delta == pytest.approx(np.sqrt(252) * x.mean() / x.std())
    assert against_flat.se_time == pytest.approx(
        statistic.standard_error(statistic.sharpe_influence(x).influence)
    )
    assert not against_flat.identical


@pytest.mark.parametrize("factor", [1.0, 0.5, 3.7])
def test_arms_that_differ_in_scale_alone_are_identical(factor):
    x = np.random.default_rng(12).normal(0.001, 0.01, 100)
    assert statistic.sharpe_difference(x, factor * x).identical
    assert statistic.sharpe_difference(np.zeros(9), np.zeros(9)).identical


def test_mde_is_found_four_times_in_five():
    se, delta_min, alpha = 0.4, 0.05, 0.10
    truth = statistic.minimum_detectable_effect(se, delta_min, alpha)
    draws = np.random.default_rng(13).normal(truth, se, 20_000)
    found = [statistic.p_promote(d, se, delta_min) <= alpha for d in draws]
    assert np.mean(found) == pytest.approx(0.80, abs=0.01)
