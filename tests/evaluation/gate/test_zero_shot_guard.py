"""The zero-shot guard: by point estimate, or where a team asks for it, by evidence only."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from transfergate.evaluation.gate import judge
from transfergate.evaluation.gate.guards import pooled_foundation_guards
from transfergate.evaluation.gate.statistic import sharpe_difference
from transfergate.settings import GateParams

N_SESSIONS = 504


def series(rng, sharpe, noise):
    """Daily returns of exactly this annualised Sharpe ratio."""
    unit = (noise - noise.mean()) / noise.std()
    return 0.01 * (unit + sharpe / np.sqrt(252))


def zero_shot_behind(rng, finetuned, gap, spread):
    """A series whose Sharpe ratio is ``gap`` above the fine-tuned one's, and close to it."""
    mean = finetuned.mean(axis=0)
    own = np.sqrt(252) * mean.mean() / mean.std()
    return series(rng, own + gap, mean / mean.std() + spread * rng.normal(size=N_SESSIONS))


@pytest.fixture
def rng():
    return np.random.default_rng(14)


@pytest.fixture
def one(returns_table, arms_world, rng):
    arms = arms_world(rng, edge=4.0)

    def report(gap, spread=0.3, **rule):
        zero_shot = zero_shot_behind(rng, arms["finetuned"], gap, spread)
        table = returns_table(arms | {"zero_shot": zero_shot})
        return judge(table, GateParams(**{"evidence": "ticker"} | rule))["tickers"]["TGT"]

    return report


@pytest.fixture
def one_by_evidence(one):
    return lambda gap: one(gap, zero_shot_guard="evidence")


def said(report, word):
    return [reason for reason in report["reasons"] if word in reason]


# by point estimate, the default ---------------------------------------------------------------


def test_a_foundation_ahead_stops_the_promotion_and_the_reason_names_it_once(one):
    report = one(0.25)
    guard = report["guards"]["zero_shot"]
    assert guard == {"passed": False, "value": pytest.approx(-0.25), "limit": -0.10}
    assert report["verdict"] == "REJECT_GUARDRAIL"
    assert len(said(report, "zero-shot")) == 1
    assert "-0.25" in said(report, "zero-shot")[0]
    assert not said(report, "ZERO-SHOT AHEAD")


def test_a_foundation_ahead_by_less_than_the_tolerance_is_promoted_over(one):
    report = one(0.05)
    assert report["verdict"] == "PROMOTE"
    assert not said(report, "ZERO-SHOT")


@pytest.mark.parametrize("rule", ["point", "evidence"])
def test_without_a_verdict_on_the_guard_the_flag_says_who_is_ahead(one, rule):
    undecided = one(0.25, delta_min=50.0, zero_shot_guard=rule)
    assert undecided["verdict"] == "INCONCLUSIVE"
    assert len(said(undecided, "ZERO-SHOT AHEAD")) == 1
    short = one(0.25, min_oos_sessions=600, zero_shot_guard=rule)
    assert short["verdict"] == "INCONCLUSIVE"
    assert len(said(short, "ZERO-SHOT AHEAD")) == 1


def test_a_pool_takes_the_point_estimate_of_each_ticker(returns_table, arms_world, rng):
    table = pool_of(rng, returns_table, arms_world, gap=0.1, spread=0.5)
    reports = judge(table, GateParams(evidence="pooled"))["tickers"].values()
    for report in reports:
        guard, sharpe = report["guards"]["zero_shot"], report["sharpe"]
        assert guard["limit"] == -0.10
        assert guard["value"] == pytest.approx(sharpe["finetuned"] - sharpe["zero_shot"])
        assert guard["passed"] is (guard["value"] >= -0.10)
    assert {r["verdict"] for r in reports} == {"PROMOTE", "REJECT_GUARDRAIL"}


# by evidence ----------------------------------------------------------------------------------


def test_a_difference_within_tolerance_or_chance_is_promoted_and_said(one_by_evidence):
    for gap in (0.45, 0.6):
        report = one_by_evidence(gap)
        assert report["guards"]["zero_shot"]["value"] == pytest.approx(-gap)
        assert report["guards"]["zero_shot"]["limit"] < -0.5
        assert report["verdict"] == "PROMOTE"
        assert said(report, "ZERO-SHOT AHEAD")
    assert not said(one_by_evidence(0.05), "ZERO-SHOT")


def test_a_clearly_destroyed_foundation_stops_the_promotion(one_by_evidence):
    report = one_by_evidence(2.0)
    assert report["verdict"] == "REJECT_GUARDRAIL"
    assert said(report, "destroyed")


def pool_of(rng, returns_table, arms_world, gap, spread, n=12):
    tables = []
    for i in range(n):
        arms = arms_world(rng, edge=3.0)
        gaps = gap + 0.3 * rng.normal()
        zero_shot = zero_shot_behind(rng, arms["finetuned"], gaps, spread)
        tables.append(returns_table(arms | {"zero_shot": zero_shot}, f"T{i:02d}"))
    return pa.concat_tables(tables)


def test_a_pool_sees_what_no_ticker_shows_by_itself(returns_table, arms_world, rng):
    table = pool_of(rng, returns_table, arms_world, gap=1.0, spread=0.7)
    alone, pooled = (
        judge(table, GateParams(evidence=how, zero_shot_guard="evidence"))["tickers"].values()
        for how in ("ticker", "pooled")
    )
    broken = [sum(not r["guards"]["zero_shot"]["passed"] for r in side) for side in (alone, pooled)]
    assert broken[0] < len(alone) / 2
    assert broken[1] == len(pooled)
    assert {r["verdict"] for r in pooled} == {"REJECT_GUARDRAIL"}


def test_a_pool_promotes_what_costs_little(returns_table, arms_world, rng):
    table = pool_of(rng, returns_table, arms_world, gap=0.25, spread=0.5)
    rule = GateParams(evidence="pooled", zero_shot_guard="evidence")
    reports = judge(table, rule)["tickers"].values()
    assert {r["verdict"] for r in reports} == {"PROMOTE"}


def test_a_policy_equal_to_its_foundation_keeps_it(rng):
    mean = 0.01 * rng.normal(size=N_SESSIONS)
    same = sharpe_difference(mean, mean)
    other = sharpe_difference(mean, mean + 0.01 * rng.normal(size=N_SESSIONS))
    for pool in ([], [same], [same, same], [same, other], [same, other, other]):
        guards = pooled_foundation_guards(pool)
        assert len(guards) == len(pool)
        for difference, guard in zip(pool, guards, strict=True):
            assert np.isfinite([guard.value, guard.limit]).all()
            assert guard.passed or difference is not same


@pytest.mark.parametrize("rule", ["point", "evidence"])
def test_only_tickers_with_a_zero_shot_arm_have_the_guard(returns_table, arms_world, rng, rule):
    table = pool_of(rng, returns_table, arms_world, gap=-1.0, spread=0.5, n=9)
    bare = returns_table(arms_world(rng, edge=3.0), "BARE")
    params = GateParams(zero_shot_guard=rule)
    reports = judge(pa.concat_tables([table, bare]), params)["tickers"]
    assert reports["BARE"]["guards"]["zero_shot"] is None
    assert reports["T00"]["guards"]["zero_shot"]["passed"]
