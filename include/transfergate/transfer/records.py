"""A fold's record: what its runs consumed, and how its rows were checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transfergate.evaluation.splits import Fold
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams
from transfergate.transfer.arms import ArmRun
from transfergate.transfer.replay import check_accounting, check_seeds
from transfergate.transfer.scoring import test_window


def arm_record(run: ArmRun, panel: Panel) -> dict[str, Any]:
    """What is kept of a run besides its weights: its choice, seeds, budget and curve."""
    return {
        "choice": run.choice,
        "validation_sharpe": list(run.validation_sharpe),
        "validation_behind": list(run.validation_behind),
        "choice_margin": run.choice_margin,
        "seeds": list(run.seeds),
        "n_seeds": len(run.seeds),
        "n_choices": run.n_choices,
        "sessions": run.sessions,
        "env_steps": run.env_steps,
        "updates": run.updates,
        "trained_models": run.trained_models,
        "validations": run.validations,
        "last_session": str(panel.sessions[run.last_session]),
        "parameters": run.parameters,
        "network": run.network,
        "features": run.features,
        "costs": list(run.costs),
        "learning_curve": list(run.learning_curve),
        "collapsed": run.collapsed,
    }


def flat_seeds(rows: pa.Table) -> int:
    """Seeds that hold nothing in any of their rows."""
    held = rows.select(["seed"]).append_column("held", pc.not_equal(rows["position"], 0.0))
    seeds = held.group_by("seed").aggregate([("held", "any")])
    return int(pc.sum(pc.invert(seeds["held_any"])).as_py() or 0)


def fold_checks(
    panel: Panel,
    fold: Fold,
    runs: Mapping[str, ArmRun],
    rows: Mapping[str, pa.Table],
    *,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """The part of a fold's record that the audits read.

    Args:
        panel: The ticker alone.
        fold: A fold with a test.
        runs: Both trained arms.
        rows: Ledger rows of every arm, references included.
        market: The market.
        network: The network.
        burn_in: Sessions encoded before the first decision.
        seeds: Those that the recipe asks for, in order.
    """
    test = test_window(fold)
    return {
        "seeds": list(seeds),
        "arms": {
            name: {
                **arm_record(run, panel),
                "flat_in_test": flat_seeds(rows[name]),
                "curves": run.curves,
            }
            for name, run in runs.items()
        },
        "accounting": {
            name: check_accounting(own, panel, market, test) for name, own in rows.items()
        },
        "replayed": {
            name: check_seeds(rows[name], panel, run, market, network, test, burn_in)
            for name, run in runs.items()
        },
    }
