"""Run the worlds through the gate, and hold the rates of its verdicts against the limits."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from transfergate.evaluation.calibration.limits import (
    APART,
    EVIDENCE,
    LIMITS,
    NAIVE,
    Evidence,
    Rate,
)
from transfergate.evaluation.calibration.records import returns_table
from transfergate.evaluation.calibration.worlds import (
    GUARD_WORLDS,
    WORLDS,
    Design,
    World,
    draw_cohort,
)
from transfergate.evaluation.gate import Audit, judge
from transfergate.settings import GateParams

log = logging.getLogger(__name__)

VERDICTS = ("PROMOTE", "REJECT_GUARDRAIL", "REJECT_NEGATIVE_TRANSFER", "INCONCLUSIVE", "INVALID")
BENEFIT = "evidence of benefit"
"""PROMOTE or REJECT_GUARDRAIL: what would be promoted if there were no guards."""
_SETTING = {"ticker": "ticker", "pooled": "auto"}

Shares = dict[tuple[Evidence, str], float]
OnCohort = Callable[[str, int], None]


def calibrate_worlds(
    n_cohorts: int,
    seed: int,
    params: GateParams,
    *,
    design: Design | None = None,
    worlds: Mapping[str, World] | None = None,
    on_cohort: OnCohort | None = None,
) -> dict[str, Any]:
    """Measure the size and power of the gate on worlds whose truth is known.

    Args:
        n_cohorts: Independent draws of each world.
        seed: Of everything drawn.
        params: The rule; its ``evidence`` is overruled, both kinds are run.
        design: Sizes of a cohort.
        worlds: What to draw; None for all.
        on_cohort: Called with the world's name and the cohorts done, for progress.

    Returns:
        ``{"n_cohorts", "n_tickers", "seed", "config", "worlds", "checks", "passed"}``: rates per
        world (see :func:`world_rates`), and every limit with the rate found and whether it holds.
    """
    design = design or Design()
    rates = {}
    for number, (name, world) in enumerate((worlds or {**WORLDS, **GUARD_WORLDS}).items()):
        shares = []
        for cohort in range(n_cohorts):
            rng = np.random.default_rng([seed, number, cohort])
            table = returns_table(draw_cohort(rng, world, design))
            shares.append(judge_table(table, params)[0])
            if on_cohort is not None:
                on_cohort(name, cohort + 1)
        rates[name] = world_rates(shares)
        log.info("world %s: %d cohorts of %d tickers", name, n_cohorts, design.n_tickers)
    checks = check_limits(rates)
    return {
        "n_cohorts": n_cohorts,
        "n_tickers": design.n_tickers,
        "seed": seed,
        "config": params.model_dump(mode="json"),
        "worlds": rates,
        "checks": checks,
        "passed": all(check["passed"] for check in checks),
    }


def judge_table(
    table: pa.Table, params: GateParams, audits: Mapping[str, Sequence[Audit]] | None = None
) -> tuple[Shares, dict[str, Any]]:
    """Judge a cohort's table by both kinds of evidence, and count its verdicts.

    Returns:
        The shares, and the tickers' reports of the last kind of evidence.
    """
    shares: Shares = {}
    reports: dict[str, Any] = {}
    for evidence in EVIDENCE:
        rule = params.model_copy(update={"evidence": _SETTING[evidence]})
        reports = judge(table, rule, audits=audits)["tickers"]
        shares |= verdict_shares(evidence, reports)
    return shares, reports


def verdict_shares(evidence: Evidence, reports: Mapping[str, Mapping[str, Any]]) -> Shares:
    """Shares of the tickers of one cohort by verdict, by broken guard, and by the bare rule."""
    found = list(reports.values())
    counts: dict[str, int] = defaultdict(int)
    for report in found:
        counts[report["verdict"]] += 1
        counts[NAIVE] += report["delta_sharpe"] > 0.0
        broken = [name for name, guard in report["guards"].items() if guard and not guard["passed"]]
        for name in broken:
            counts[f"guard {name}"] += 1
        counts[APART] += report["verdict"] == "PROMOTE" or (
            report["verdict"] == "REJECT_GUARDRAIL" and broken == ["zero_shot"]
        )
    counts[BENEFIT] = counts["PROMOTE"] + counts["REJECT_GUARDRAIL"]
    return {
        (evidence, name): counts[name] / len(found)
        for name in {*counts, *VERDICTS, NAIVE, APART, BENEFIT}
    }


def world_rates(shares: Sequence[Shares]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over cohorts, with standard errors across them.

    Returns:
        Evidence -> verdict, ``PROMOTE, zero-shot apart``, ``naive``, ``evidence of benefit`` or
        ``guard NAME`` (broken) -> ``{"rate", "se"}``. Tickers of a cohort share a market, so only
        cohorts are independent.
    """
    result: dict[str, dict[str, dict[str, float]]] = {evidence: {} for evidence in EVIDENCE}
    for evidence, name in sorted({key for share in shares for key in share}):
        values = np.array([share.get((evidence, name), 0.0) for share in shares])
        se = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
        result[evidence][name] = asdict(Rate(float(values.mean()), se))
    return result


def check_limits(rates: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every limit of the worlds that were run, beside what was found."""
    checks = []
    for limit in LIMITS:
        if limit.world not in rates:
            continue
        found = Rate(**rates[limit.world][limit.evidence][limit.verdict])
        checks.append({**asdict(limit), **asdict(found), "passed": limit.kept(found)})
    return checks
