"""Pooled evidence against brute force, and what a pool may and may not do."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import ndtr

from transfergate.errors import GateInputError
from transfergate.evaluation.gate import judge
from transfergate.evaluation.gate.pooled import (
    TAU_GRID,
    mean_correlation,
    pooled_posterior,
)
from transfergate.settings import GateParams

from .conftest import arms_world, returns_table

AUTO = GateParams(evidence="auto")


def test_posterior_equals_weighted_draws_from_the_prior():
    rng = np.random.default_rng(1)
    delta, se, r = np.array([0.9, 0.1, -0.3]), np.array([0.4, 0.3, 0.6]), 0.25
    weights = np.exp(-(TAU_GRID**2) / (2 * 0.25))
    n = 400_000
    tau = rng.choice(TAU_GRID, size=n, p=weights / weights.sum())
    mu = rng.normal(0, 0.5, n)
    theta = mu[:, None] + tau[:, None] * rng.normal(size=(n, 3))
    noise = np.outer(se, se) * ((1 - r) * np.eye(3) + r)
    gap = delta - theta
    likelihood = np.exp(-0.5 * np.einsum("ni,ij,nj->n", gap, np.linalg.inv(noise), gap))
    likelihood /= likelihood.sum()
    found = pooled_posterior(delta, se, r, 0.05)
    np.testing.assert_allclose(found.better, likelihood @ (theta > 0.05), atol=0.005)
    np.testing.assert_allclose(found.worse, likelihood @ (theta < -0.05), atol=0.005)
    np.testing.assert_allclose(found.mean, likelihood @ theta, atol=0.005)
    assert found.mu == pytest.approx(likelihood @ mu, abs=0.005)
    assert found.tau == pytest.approx(likelihood @ tau, abs=0.005)


def test_posterior_equals_the_algebra_of_whole_matrices():
    """The O(N) identity against a Cholesky solve of the full covariance."""
    rng = np.random.default_rng(8)
    delta, se, r = rng.normal(0.3, 0.6, 30), rng.uniform(0.2, 0.8, 30), 0.35
    noise = np.outer(se, se) * ((1 - r) * np.eye(30) + r)
    weights, means, spreads = [], [], []
    for tau in TAU_GRID:
        prior = 0.25 * np.ones((30, 30)) + tau**2 * np.eye(30)
        total = prior + noise
        means.append(prior @ np.linalg.solve(total, delta))
        spreads.append(np.sqrt(np.diag(prior - prior @ np.linalg.solve(total, prior))))
        fit = -0.5 * (delta @ np.linalg.solve(total, delta) + np.linalg.slogdet(total)[1])
        weights.append(fit - tau**2 / 0.5)
    weights = np.exp(np.array(weights) - max(weights))
    weights /= weights.sum()
    found = pooled_posterior(delta, se, r, 0.05)
    z = (np.array(means) - 0.05) / np.array(spreads)
    np.testing.assert_allclose(found.better, weights @ ndtr(z), rtol=1e-9)
    np.testing.assert_allclose(found.mean, weights @ np.array(means), rtol=1e-9)


def test_tickers_with_one_record_are_judged_like_one():
    arms = arms_world(np.random.default_rng(5), edge=1.0, base=1.0)
    table = pa.concat_tables([returns_table(arms, f"T{i}") for i in range(8)])
    result = judge(table, AUTO)
    assert result["pool"]["mean_correlation"] > 0.98
    better = {report["posterior_better"] for report in result["tickers"].values()}
    assert None not in better
    assert max(better) - min(better) < 1e-9
    alone = judge(returns_table(arms), GateParams(evidence="ticker"))["tickers"]["TGT"]
    # eight copies say no more than one: far from the certainty of eight independent records
    assert max(better) < 1 - 0.3 * alone["p_promote"]


def test_mean_correlation_equals_the_matrix():
    rng = np.random.default_rng(2)
    series = rng.normal(size=(6, 300)) + 0.7 * rng.normal(size=300)
    matrix = np.corrcoef(series)
    expected = matrix[np.triu_indices(6, 1)].mean()
    assert mean_correlation(series) == pytest.approx(expected)
    assert mean_correlation(np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])) == 0.0


def test_winners_shrink_towards_the_rest():
    delta = np.array([2.0, *np.zeros(11)])
    posterior = pooled_posterior(delta, np.full(12, 0.7), 0.2, 0.05)
    assert posterior.mean[0] < 1.0
    assert posterior.mean[0] > posterior.mean[1]


def test_swapping_all_arms_mirrors_the_posterior():
    rng = np.random.default_rng(3)
    delta, se = rng.normal(0.2, 0.5, 10), rng.uniform(0.3, 0.7, 10)
    one, other = pooled_posterior(delta, se, 0.1, 0.05), pooled_posterior(-delta, se, 0.1, 0.05)
    np.testing.assert_allclose(one.better, other.worse, rtol=1e-9)


def tickers(n, edge, seed=4, **options):
    rng = np.random.default_rng(seed)
    return [
        returns_table(arms_world(rng, edge=edge, base=1.0, **options), f"T{i:02d}")
        for i in range(n)
    ]


def test_eight_tickers_make_a_pool_and_seven_do_not():
    tables = tickers(8, 1.0)
    eight = judge(pa.concat_tables(tables), AUTO)
    assert eight["pool"]["n_tickers"] == 8
    assert all(r["posterior_better"] is not None for r in eight["tickers"].values())
    seven = judge(pa.concat_tables(tables[:7]), AUTO)
    assert seven["pool"]["n_tickers"] == 0
    alone = judge(pa.concat_tables(tables[:7]), GateParams(evidence="ticker"))
    assert seven["tickers"] == alone["tickers"]


def test_the_pool_finds_what_no_ticker_shows_alone():
    table = pa.concat_tables(tickers(20, 0.8))
    pooled = judge(table, AUTO)["tickers"].values()
    alone = judge(table, GateParams(evidence="ticker"))["tickers"].values()
    assert sum(r["verdict"] == "PROMOTE" for r in pooled) >= 18
    assert sum(r["verdict"] == "PROMOTE" for r in alone) <= 16
    assert "together with the other tickers" in next(iter(pooled))["reasons"][1]


def test_the_seed_error_is_averaged_over_the_pool():
    reports = judge(pa.concat_tables(tickers(8, 0.5)), AUTO)["tickers"].values()
    assert len({report["se_seed"] for report in reports}) == 1
    alone = judge(pa.concat_tables(tickers(8, 0.5)), GateParams(evidence="ticker"))["tickers"]
    mean = np.sqrt(np.mean([report["se_seed"] ** 2 for report in alone.values()]))
    assert next(iter(reports))["se_seed"] == pytest.approx(mean)


def test_tickers_on_other_dates_are_judged_singly_or_not_at_all():
    table = pa.concat_tables(tickers(8, 1.0))
    other = returns_table(
        arms_world(np.random.default_rng(9), edge=6.0, n_sessions=300), "ZZ", start="2012-01-02"
    )
    both = pa.concat_tables([table, other])
    report = judge(both, AUTO)["tickers"]["ZZ"]
    assert report["posterior_better"] is None
    assert report["verdict"] == "PROMOTE"
    report = judge(both, GateParams(evidence="pooled"))["tickers"]["ZZ"]
    assert report["verdict"] == "INCONCLUSIVE"
    assert "pool" in report["reasons"][0]


def test_pooled_evidence_without_a_pool_is_refused():
    with pytest.raises(GateInputError, match="at least 8 tickers"):
        judge(pa.concat_tables(tickers(3, 1.0)), GateParams(evidence="pooled"))


def test_worse_returns_of_one_ticker_never_promote_it_in_the_pool():
    tables = tickers(9, 0.6, seed=6)
    rng = np.random.default_rng(7)
    arms = arms_world(rng, edge=0.2, base=1.0)
    last = None
    for loss in (0.0, 0.0005, 0.002, 0.01):
        own = returns_table(arms | {"finetuned": arms["finetuned"] - loss}, "OWN")
        report = judge(pa.concat_tables([*tables, own]), AUTO)["tickers"]["OWN"]
        if last is not None:
            assert report["posterior_better"] <= last["posterior_better"]
        last = report
    assert last["verdict"] == "REJECT_NEGATIVE_TRANSFER"


def test_a_null_cohort_is_seldom_promoted():
    promoted = []
    for seed in range(12):
        cohort = pa.concat_tables(tickers(10, 0.0, seed=seed, rho=0.6))
        reports = judge(cohort, AUTO)["tickers"].values()
        promoted.append(np.mean([report["verdict"] == "PROMOTE" for report in reports]))
    assert np.mean(promoted) <= 0.06


@pytest.mark.parametrize("evidence", ["ticker", "auto"])
def test_tickers_that_say_nothing_of_seeds_do_not_lower_the_seed_error(evidence):
    tables = tickers(8, 0.5)
    silent = [
        returns_table({arm: np.zeros((5, 504)) for arm in ("finetuned", "scratch")}, f"Z{i}")
        for i in range(8)
    ]
    rule = GateParams(evidence=evidence)
    before = judge(pa.concat_tables(tables), rule)["tickers"]
    after = judge(pa.concat_tables([*tables, *silent]), rule)["tickers"]
    assert {ticker: after[ticker] for ticker in before} == before


def test_what_a_pooled_record_could_find_is_said_of_the_record_by_itself():
    reports = judge(pa.concat_tables(tickers(8, 0.0)), AUTO)["tickers"].values()
    open_cases = [report for report in reports if report["verdict"] == "INCONCLUSIVE"]
    assert open_cases
    for report in open_cases:
        assert any("by itself such a record finds" in reason for reason in report["reasons"])
