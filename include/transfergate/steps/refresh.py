"""Refresh: a retrain of an approved recipe may serve between two looks, if that is switched on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow.compute as pc

from transfergate.evaluation.ledger import Ledger
from transfergate.evaluation.looks import Look
from transfergate.evaluation.splits import Window
from transfergate.learning.runtime import use_threads
from transfergate.registry import Registry
from transfergate.settings import MarketParams, NetworkParams, Settings
from transfergate.steps.pretraining import load_panel
from transfergate.storage import ArtefactStore, open_snapshot
from transfergate.transfer.bundles import read_weights
from transfergate.transfer.sanity import behaviour, vetoes


def is_retrain(report: Mapping[str, Any]) -> bool:
    """Whether a report repeats the verdict on another candidate than its own."""
    looks = report.get("looks") or {}
    return looks.get("state") == "repeated" and looks["candidate"] != report["candidate"]


def refresh_reason(report: Mapping[str, Any]) -> str:
    """Why a retrain serves, for the history."""
    looks = report["looks"]
    return f"retrain of the recipe that look {looks['number']} approved with {looks['candidate']}"


def reason_not_to_refresh(
    settings: Settings,
    registry: Registry,
    ticker: str,
    report: Mapping[str, Any],
    looks: Sequence[Look],
) -> str | None:
    """Why a retrain does not become the champion, or None if it may.

    Args:
        settings: Settings; ``refresh`` holds the limits.
        registry: The registry.
        ticker: The target.
        report: One for which :func:`is_retrain` holds.
        looks: All at this ticker, oldest first.
    """
    if report["verdict"] == "INVALID":
        return "INVALID"
    approval = _approval(looks, str(report["recipe"]))
    standing = f"{report['verdict']}, repeated"
    if approval is None:
        return f"{standing}: this retrain was not looked at, and its recipe is not approved"
    if not settings.refresh.enabled:
        return f"{standing}: this retrain was not looked at, and refresh.enabled is off"
    champion = registry.champion(ticker)
    if champion is None:
        return "no champion of the approved recipe serves, so there is nothing to refresh"
    candidate = str(report["candidate"])
    if champion.version == candidate:
        return "already champion"
    if any(row.version == candidate for row in registry.history(ticker)):
        return "it was champion before, and replaced or rolled back since"
    new, served = registry.bundle(ticker, candidate), registry.bundle(ticker, champion.version)
    if served.get("recipe") != report["recipe"]:
        return f"the champion {champion.version} is of another recipe, which was not retrained"
    if new["last_session"] <= served["last_session"]:
        return f"it learnt up to {new['last_session']}, the champion {champion.version} no less"
    age = _days(approval.last_session, new["last_session"])
    if age > settings.refresh.max_age_days:
        return (
            f"the approval of {approval.last_session} is {age} days old, and lives "
            f"{settings.refresh.max_age_days}: wait for the next look"
        )
    problems = _vetoes(settings, registry.store, new, approval)
    return f"vetoed: {'; '.join(problems)}" if problems else None


def _approval(looks: Sequence[Look], recipe: str) -> Look | None:
    """The recipe's last look, if that said PROMOTE."""
    own = [look for look in looks if look.recipe == recipe]
    return own[-1] if own and own[-1].verdict == "PROMOTE" else None


def _vetoes(
    settings: Settings, store: ArtefactStore, bundle: dict[str, Any], approval: Look
) -> list[str]:
    ticker = bundle["ticker"]
    if bundle["flat"]:
        return ["it chose to stay flat"]
    use_threads(settings.torch_threads)
    panel = load_panel(open_snapshot(store, bundle["snapshot_id"]), [ticker])
    days = [str(day) for day in panel.sessions]
    # the sessions after training: those that early stopping and the grid chose on
    window = Window(days.index(bundle["train_sessions"][1]) + 1, len(days))
    key = f"candidates/{ticker}/{bundle['version']}/weights.safetensors"
    found = behaviour(
        panel,
        read_weights(store, key, bundle["weights_sha256"]),
        window,
        MarketParams.model_validate(bundle["market"]),
        NetworkParams.model_validate(bundle["network"]),
        bundle["burn_in_sessions"],
    )
    rows = Ledger(store).read(approval.recipe, ticker)
    own = rows.filter(pc.equal(rows["arm"], "finetuned"))
    seen = own.filter(pc.less_equal(own["session_date"], date.fromisoformat(approval.last_session)))
    return vetoes(found, float(pc.mean(seen["turnover"]).as_py() or 0.0), settings.refresh)


def _days(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
