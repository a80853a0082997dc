"""Several steps in a row in one process, as the ``transfergate`` command runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfergate.errors import SettingsError
from transfergate.settings import Settings
from transfergate.storage import open_store

_MANIFESTS = {"snapshots": "manifest.json", "foundations": "foundation.json"}
_MADE_BY = {"snapshots": "features", "foundations": "pretrain"}


def ingest_all(
    settings: Settings,
    *,
    source: str | None = None,
    tickers: list[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    data: str | None = None,
) -> dict[str, Any]:
    """Fetch, validate and load bars; arguments as for planning, result as of the load."""
    from transfergate.steps.ingest import fetch_bars, load_bars, plan_ingest
    from transfergate.steps.validating import validate_bars

    plan = plan_ingest(settings, source=source, tickers=tickers, start=start, end=end, data=data)
    landing = [fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    return load_bars(settings, plan, validate_bars(settings, plan, landing))


def pretrain_all(
    settings: Settings,
    snapshot_id: str,
    sources: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Pre-train a foundation, back-test and register it; the registration's result."""
    from transfergate.steps.foundations import register_foundation
    from transfergate.steps.pretraining import pretrain_foundation

    version = pretrain_foundation(settings, snapshot_id, sources, targets)
    return register_foundation(settings, version)


def finetune_all(
    settings: Settings,
    foundation_version: str,
    targets: Sequence[str] | None = None,
    *,
    approved_by: str,
) -> dict[str, Any]:
    """Fine-tune every target, judge all of them, promote what the gate approves.

    Returns:
        ``{"foundation_version", "results", "evaluation_id", "verdicts", "report", "created",
        "promoted", "kept"}``.
    """
    from transfergate.steps.grouped import finetune_group
    from transfergate.steps.judging import judge
    from transfergate.steps.promotion import promote_evaluated
    from transfergate.steps.targets import plan_groups

    results = [
        result
        for group in plan_groups(settings, foundation_version, targets)
        for result in finetune_group(settings, foundation_version, group)
    ]
    judged = judge(settings, foundation_version, results)
    moved = promote_evaluated(settings, judged["evaluation_id"], approved_by)
    return {"foundation_version": foundation_version, "results": results, **judged, **moved}


def newest(settings: Settings, folder: str, source: str) -> str:
    """Id of the snapshot, or version of the foundation, of a source that was published last.

    Args:
        settings: Settings.
        folder: ``snapshots`` or ``foundations``.
        source: Whose.

    Raises:
        SettingsError: If there is none.
    """
    store = open_store(settings)
    keys = [key for key in store.keys(folder) if key.endswith(f"/{_MANIFESTS[folder]}")]
    own = [key for key in keys if store.read_json(key)["source"] == source]
    if not own:
        raise SettingsError(
            f"source {source!r} has no {folder} below {store.location()}; run "
            f"`transfergate {_MADE_BY[folder]} --source {source}` first"
        )
    latest = max(own, key=lambda key: (store.modified_ns(key), key))
    return latest.split("/")[1]
