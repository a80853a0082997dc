"""Everything that transfergate does, one function per step: what the DAGs and the command call.

Arguments and results are JSON-able; each takes the settings first. A step is imported when it is
first used, so that a task pays only for what it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfergate.steps.approvals import approval_request as approval_request
    from transfergate.steps.backups import backup as backup
    from transfergate.steps.backups import restore as restore
    from transfergate.steps.features import build_features as build_features
    from transfergate.steps.features import compact as compact
    from transfergate.steps.foundations import backtest_foundation as backtest_foundation
    from transfergate.steps.foundations import register_foundation as register_foundation
    from transfergate.steps.grouped import finetune_group as finetune_group
    from transfergate.steps.grouped import finetune_ticker as finetune_ticker
    from transfergate.steps.ingest import fetch_bars as fetch_bars
    from transfergate.steps.ingest import load_bars as load_bars
    from transfergate.steps.ingest import plan_ingest as plan_ingest
    from transfergate.steps.judging import judge as judge
    from transfergate.steps.judging import render_summary as render_summary
    from transfergate.steps.judging import summary as summary
    from transfergate.steps.pretraining import pretrain_foundation as pretrain_foundation
    from transfergate.steps.promotion import promote as promote
    from transfergate.steps.promotion import promote_evaluated as promote_evaluated
    from transfergate.steps.promotion import rollback as rollback
    from transfergate.steps.promotion import status as status
    from transfergate.steps.rebuild import rebuild_snapshot as rebuild_snapshot
    from transfergate.steps.retention import prune as prune
    from transfergate.steps.serving import decide as decide
    from transfergate.steps.targets import plan_finetune as plan_finetune
    from transfergate.steps.targets import plan_groups as plan_groups
    from transfergate.steps.universes import require_universe as require_universe
    from transfergate.steps.validating import validate_bars as validate_bars

_MODULE_OF = {
    "require_universe": "universes",
    "plan_ingest": "ingest",
    "fetch_bars": "ingest",
    "validate_bars": "validating",
    "load_bars": "ingest",
    "build_features": "features",
    "compact": "features",
    "rebuild_snapshot": "rebuild",
    "pretrain_foundation": "pretraining",
    "backtest_foundation": "foundations",
    "register_foundation": "foundations",
    "plan_finetune": "targets",
    "plan_groups": "targets",
    "finetune_ticker": "grouped",
    "finetune_group": "grouped",
    "judge": "judging",
    "summary": "judging",
    "render_summary": "judging",
    "approval_request": "approvals",
    "promote_evaluated": "promotion",
    "promote": "promotion",
    "rollback": "promotion",
    "status": "promotion",
    "prune": "retention",
    "backup": "backups",
    "restore": "backups",
    "decide": "serving",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no step {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
