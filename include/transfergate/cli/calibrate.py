"""The command of calibration: the gate on worlds whose truth is known."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping
from typing import Any

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_command

log = logging.getLogger(__name__)

QUICK_COHORTS = 30
FULL_COHORTS = 200
SEED = 20


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, calibrate)
    added.set_defaults(status=lambda result: 0 if result["passed"] else 1)
    how = added.add_mutually_exclusive_group()
    how.add_argument(
        "--training",
        action="store_true",
        help="train real policies on planted transfer instead: 10 minutes of one core",
    )
    how.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_COHORTS} cohorts a world instead of {FULL_COHORTS}: about a minute",
    )
    added.add_argument("--seed", type=int, default=SEED, help="of everything drawn")


def calibrate(options: argparse.Namespace) -> Result:
    """Measure how often the gate is wrong, and how often it sees what is there."""
    started = time.perf_counter()
    result = _trained(options.seed) if options.training else _drawn(options.quick, options.seed)
    result["wall_s"] = round(time.perf_counter() - started, 1)
    return result, render(result)


def _drawn(quick: bool, seed: int) -> dict[str, Any]:
    from transfergate.evaluation.calibration import calibrate_worlds

    return calibrate_worlds(
        QUICK_COHORTS if quick else FULL_COHORTS,
        seed,
        settings_module.load().gate,
        on_cohort=lambda world, done: log.info("%s: %d cohorts", world, done),
    )


def _trained(seed: int) -> dict[str, Any]:
    from transfergate.steps.calibration import calibrate_training

    return calibrate_training(
        seed,
        settings_module.load().gate,
        on_ticker=lambda world, done: log.info("%s: %d tickers", world, done),
    )


def render(result: Mapping[str, Any]) -> str:
    """The rates of every world, then every limit with what was found."""
    cohorts = result["n_cohorts"]
    if isinstance(cohorts, dict):
        cohorts = ", ".join(f"{name} {n}" for name, n in cohorts.items()) + ":"
    head = (
        f"{cohorts} cohorts of {result['n_tickers']} tickers a world, all reference arms "
        f"supplied; rates with their standard error across cohorts"
    )
    rule = result["config"]["zero_shot_guard"]
    legend = [line.format(rule=rule) for line in _LEGEND]
    verdict = "all limits hold" if result["passed"] else "LIMITS MISSED"
    sharpe = _sharpe(result["sharpe"]) if "sharpe" in result else []
    rows = [*_rates(result["worlds"]), "", *sharpe, *_checks(result["checks"])]
    return "\n".join([head, *legend, "", *rows, "", verdict])


def _sharpe(worlds: Mapping[str, Mapping[str, float]]) -> list[str]:
    arms = list(next(iter(worlds.values())))
    rows = [f"{'mean Sharpe ratio':<18}" + "".join(f"{arm:>11}" for arm in arms)]
    for world, means in worlds.items():
        rows.append(f"{world:<18}" + "".join(f"{means[arm]:>11.2f}" for arm in arms))
    return [*rows, ""]


_LEGEND = (
    'promote: all guards in force, zero_shot_guard = "{rule}"; zero-shot apart: all but that one;',
    "no guards: the evidence alone. Power is held against zero-shot apart, size against both, the",
    "eroded world against promote.",
)
_COLUMNS = {
    "PROMOTE": "promote",
    "PROMOTE, zero-shot apart": "zero-shot apart",
    "evidence of benefit": "no guards",
    "REJECT_NEGATIVE_TRANSFER": "reject",
    "naive": "naive rule",
}


def _rates(worlds: Mapping[str, Any]) -> list[str]:
    rows = [f"{'world':<18} {'evidence':<8}" + "".join(f"{c:>17}" for c in _COLUMNS.values())]
    for world, by_evidence in worlds.items():
        for evidence, rates in by_evidence.items():
            cells = "".join(f"{_rate(rates[name]):>17}" for name in _COLUMNS)
            rows.append(f"{world:<18} {evidence:<8}{cells}")
    return rows


def _checks(checks: list[dict[str, Any]]) -> list[str]:
    rows = [f"{'limit':<60} {'found':>14}"]
    for check in checks:
        low, high = check["low"], check["high"]
        bound = f">= {low}" if high == 1.0 else f"<= {high}" if low == 0.0 else f"{low} .. {high}"
        name = f"{check['world']}, {check['evidence']}: {check['verdict']} {bound}"
        mark = "" if check["passed"] else "  MISSED"
        rows.append(f"{name:<60} {_rate(check):>14}{mark}")
    return rows


def _rate(found: Mapping[str, float]) -> str:
    return f"{found['rate']:.3f} ({found['se']:.3f})"
