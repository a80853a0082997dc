"""What the folds' records say about features, for a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfergate.evaluation.ledger import Ledger
from transfergate.storage import ArtefactStore
from transfergate.transfer.importance import combine_folds


def recorded_importance(store: ArtefactStore, result: Mapping[str, Any]) -> dict[str, Any]:
    """``{"importance": ...}`` of a trained ticker; nothing where a fold did not record it."""
    if result["status"] != "trained":
        return {}
    ledger, recipe, ticker = Ledger(store), result["recipe"], result["ticker"]
    records = [ledger.record(recipe, ticker, fold) for fold in ledger.folds(recipe, ticker)]
    found = combine_folds(records)
    return {} if found is None else {"importance": found}
