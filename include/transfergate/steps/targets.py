"""Step that says which tickers are fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from transfergate.errors import SettingsError
from transfergate.settings import Settings
from transfergate.steps.pretraining import read_foundation
from transfergate.storage import open_snapshot, open_store


def plan_finetune(
    settings: Settings, foundation_version: str, targets: Sequence[str] | None = None
) -> list[str]:
    """Return the target tickers, sorted: those named now, else those of the pre-training.

    A target may not be a source of the foundation.

    Raises:
        SettingsError: If a target is a source, there is no target, or none has bars. One without
            bars beside others is left to be reported for itself.
    """
    store = open_store(settings)
    manifest = read_foundation(store, foundation_version)
    snapshot = open_snapshot(store, manifest["snapshot_id"])
    wanted = sorted(targets or manifest["targets"])
    both = sorted(set(wanted) & set(manifest["sources"]))
    if both or not wanted:
        raise SettingsError(
            f"targets {wanted} of foundation {foundation_version}: {both} are among its sources, "
            f"expected at least one target that is not; name other targets, pre-train without "
            f"those tickers, or lower target_every where the default rule left no target"
        )
    if not set(wanted) & set(snapshot.manifest["tickers"]):
        raise SettingsError(
            f"targets {wanted}: none has bars in snapshot {snapshot.id}, which has "
            f"{snapshot.manifest['tickers'][:20]}; name other targets or ingest their bars"
        )
    return wanted


LEAST_TASKS = 8
"""Tasks that are made before tickers share one: what a machine or a few workers run at once."""


def plan_groups(
    settings: Settings, foundation_version: str, targets: Sequence[str] | None = None
) -> list[list[str]]:
    """Return the target tickers as ``plan_finetune``, in groups that one task trains together.

    Groups differ by one ticker at most. How tickers are grouped changes no result.
    """
    wanted = plan_finetune(settings, foundation_version, targets)
    most = settings.finetune.tickers_per_task
    tasks = min(len(wanted), max(LEAST_TASKS, -(-len(wanted) // most)))
    bounds = [number * len(wanted) // tasks for number in range(tasks + 1)]
    return [wanted[a:b] for a, b in pairwise(bounds)]
