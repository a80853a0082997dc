"""The recipe: the hash of everything that defines both arms, and the seeds derived from it.

What is judged is a recipe, not a set of weights. It covers the universe rule, the feature SQL,
the market, the network, both budgets, the grid and the folds; it leaves out data, snapshot, dates,
seeds and the tickers that a rule happens to give, so that a later retrain of the same recipe, after
listings too, extends the same out-of-sample record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfergate.settings import Settings
from transfergate.storage import Snapshot, content_hash, json_bytes


def foundation_document(
    settings: Settings, snapshot: Snapshot, rule: Mapping[str, Any]
) -> dict[str, Any]:
    """What defines a foundation, apart from its data; ``rule`` is the universe's."""
    return {
        "source": snapshot.manifest["source"],
        "universe": dict(rule),
        "index": snapshot.manifest["index"],
        "features": snapshot.manifest["features"],
        "feature_sql": snapshot.manifest["sql_hash"],
        "z_window": snapshot.manifest["z_window"],
        "z_clip": snapshot.manifest["z_clip"],
        "calendar": snapshot.manifest["calendar"],
        "index_return": snapshot.manifest["index_return"],
        "market": settings.market.model_dump(mode="json"),
        "costs": "cost_bps of the instrument, else of the market",
        "network": settings.network.model_dump(mode="json"),
        "pretrain": settings.pretrain.model_dump(mode="json"),
        "walk_forward": settings.walk_forward.model_dump(mode="json"),
    }


def recipe_document(foundation: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """What defines both arms: the foundation's document and how it is adapted."""
    return {
        "foundation": foundation,
        "finetune": settings.finetune.model_dump(mode="json"),
    }


def document_hash(document: dict[str, Any]) -> str:
    """16 hex digits over the canonical JSON of a document."""
    return content_hash(json_bytes(document))


def derive_seed(*parts: str | int) -> int:
    """A generator seed in [0, 2**62), a hash of what the training is for.

    Different folds get fresh seeds, and the two arms of one pair get the same one.
    """
    return int(content_hash(*(str(part) for part in parts), length=16), 16) >> 2
