"""Rates, their errors and the limits they are held against."""

from __future__ import annotations

import numpy as np
import pytest

from transfergate.evaluation.calibration import (
    APART,
    LIMITS,
    WORLDS,
    Design,
    Limit,
    Rate,
    calibrate_worlds,
    check_limits,
    verdict_shares,
    world_rates,
)
from transfergate.settings import GateParams


def rates(limit, rate, se=0.0):
    return {limit.world: {limit.evidence: {limit.verdict: {"rate": rate, "se": se}}}}


def test_a_rate_may_miss_by_monte_carlo_error_only():
    limit = Limit("null", "PROMOTE", "ticker", 0.0, 0.10)
    assert limit.kept(Rate(0.10, 0.0))
    assert not limit.kept(Rate(0.101, 0.0))
    assert limit.kept(Rate(0.125, 0.01))
    assert not limit.kept(Rate(0.127, 0.01))
    power = Limit("positive", "PROMOTE", "pooled", 0.95, 1.0)
    assert power.kept(Rate(0.925, 0.01))
    assert not power.kept(Rate(0.92, 0.01))


def test_standard_errors_are_across_cohorts():
    key = ("ticker", "PROMOTE")
    found = world_rates([{key: 0.2}, {key: 0.4}, {key: 0.9}, {}])["ticker"]["PROMOTE"]
    values = np.array([0.2, 0.4, 0.9, 0.0])
    assert found["rate"] == pytest.approx(values.mean())
    assert found["se"] == pytest.approx(values.std(ddof=1) / 2)


def test_the_limits_of_the_definition_are_held():
    held = {
        (limit.world, limit.verdict, limit.evidence): (limit.low, limit.high) for limit in LIMITS
    }
    for verdict in ("PROMOTE", APART):
        assert held[("null", verdict, "ticker")] == (0.0, 0.10)
        assert held[("null", verdict, "pooled")] == (0.0, 0.03)
        assert held[("negative", verdict, "pooled")] == (0.0, 0.005)
    assert held[("positive", APART, "ticker")] == (0.80, 1.0)
    assert held[("positive", APART, "pooled")] == (0.95, 1.0)
    assert held[("eroded", "PROMOTE", "pooled")] == (0.0, 0.20)
    assert held[("negative", "REJECT_NEGATIVE_TRANSFER", "ticker")] == (0.97, 1.0)
    assert held[("negative_weak", "REJECT_NEGATIVE_TRANSFER", "ticker")] == (0.50, 1.0)
    assert held[("negative_weak", "REJECT_NEGATIVE_TRANSFER", "pooled")] == (0.88, 1.0)
    assert held[("null", "naive", "ticker")] == (0.42, 0.58)


def test_only_worlds_that_were_run_are_checked():
    limit = LIMITS[0]
    small = rates(limit, 0.5)
    small[limit.world]["ticker"] |= {key: {"rate": 0.5, "se": 0.0} for key in (APART, "naive")}
    small[limit.world]["pooled"] = {key: {"rate": 0.0, "se": 0.0} for key in ("PROMOTE", APART)}
    checks = check_limits(small)
    assert {check["world"] for check in checks} == {limit.world}
    assert [check["passed"] for check in checks] == [False, True, False, True, True]


def report(verdict, **passed):
    guards = {name: {"passed": ok, "value": 0.0, "limit": 0.0} for name, ok in passed.items()}
    return {"verdict": verdict, "delta_sharpe": 1.0, "guards": {"champion": None, **guards}}


def test_the_zero_shot_guard_apart_counts_what_it_alone_stopped():
    reports = {
        "promoted": report("PROMOTE", flat=True, zero_shot=True),
        "its work": report("REJECT_GUARDRAIL", flat=True, zero_shot=False),
        "not alone": report("REJECT_GUARDRAIL", flat=False, zero_shot=False),
        "another": report("REJECT_GUARDRAIL", flat=False, zero_shot=True),
        "no evidence": report("INCONCLUSIVE", flat=True, zero_shot=False),
    }
    shares = verdict_shares("pooled", reports)
    assert shares[("pooled", "PROMOTE")] == pytest.approx(1 / 5)
    assert shares[("pooled", APART)] == pytest.approx(2 / 5)
    assert shares[("pooled", "evidence of benefit")] == pytest.approx(4 / 5)
    assert shares[("pooled", "guard zero_shot")] == pytest.approx(3 / 5)


def test_the_zero_shot_guard_costs_promotions_only_where_zero_shot_is_ahead():
    worlds = {"positive": WORLDS["positive"]}
    found = {
        rule: calibrate_worlds(
            2, 3, GateParams(zero_shot_guard=rule), design=Design(n_tickers=10), worlds=worlds
        )["worlds"]["positive"]["pooled"]
        for rule in ("point", "evidence")
    }
    assert found["point"][APART] == found["evidence"][APART]
    assert found["point"]["PROMOTE"]["rate"] < 0.5 < found["evidence"]["PROMOTE"]["rate"]


def test_a_rule_that_promotes_coin_flips_misses():
    params = GateParams(alpha_promote=0.49, delta_min=0.0, posterior_promote=0.51)
    worlds = {"null": WORLDS["null"]}
    loose = calibrate_worlds(4, 1, params, design=Design(n_tickers=10), worlds=worlds)
    assert loose["worlds"]["null"]["ticker"]["evidence of benefit"]["rate"] > 0.3
    strict = calibrate_worlds(4, 1, GateParams(), design=Design(n_tickers=10), worlds=worlds)
    assert strict["worlds"]["null"]["ticker"]["evidence of benefit"]["rate"] < 0.2
    assert strict["passed"]


def test_a_calibration_is_repeatable_and_each_world_has_its_own_draws():
    design = Design(n_tickers=8)
    worlds = {"null": WORLDS["null"], "again": WORLDS["null"]}
    first = calibrate_worlds(2, 5, GateParams(), design=design, worlds=worlds)
    assert first == calibrate_worlds(2, 5, GateParams(), design=design, worlds=worlds)
    assert first["worlds"]["null"] != first["worlds"]["again"]
