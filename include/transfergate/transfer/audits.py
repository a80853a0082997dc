"""Budget-parity and leakage audits, computed from what the runs recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PARITY_FIGURES = ("sessions", "env_steps", "updates", "trained_models", "n_seeds", "n_choices")


def budget_parity(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Compare what both arms consumed on target data, fold by fold.

    Args:
        records: Fold records with ``arms: {finetuned: {...}, scratch: {...}}`` as written by
            the fine-tuning step; each arm holds the figures of :data:`PARITY_FIGURES`.

    Returns:
        ``{"name", "passed", "figures"}``; the figures are totals per arm, and the first
        mismatch where there is one.
    """
    totals: dict[str, Any] = {}
    mismatch = None
    for figure in PARITY_FIGURES:
        values = [
            (record["fold"], record["arms"]["finetuned"][figure], record["arms"]["scratch"][figure])
            for record in records
        ]
        totals[figure] = {
            "finetuned": sum(value for _, value, _ in values),
            "scratch": sum(value for _, _, value in values),
        }
        for fold, left, right in values:
            if left != right and mismatch is None:
                mismatch = {"fold": fold, "figure": figure, "finetuned": left, "scratch": right}
    unpaired = [
        record["fold"]
        for record in records
        if record["arms"]["finetuned"]["seeds"] != record["arms"]["scratch"]["seeds"]
    ]
    if unpaired and mismatch is None:
        mismatch = {"fold": unpaired[0], "figure": "seeds", "finetuned": None, "scratch": None}
    figures = {"totals": totals, "mismatch": mismatch}
    return {"name": "budget_parity", "passed": mismatch is None, "figures": figures}


def leakage(
    records: Sequence[dict[str, Any]], ticker: str, sources: Sequence[str]
) -> dict[str, Any]:
    """Check that no arm, and no foundation, saw the sessions it was scored on.

    Args:
        records: Fold records with ``windows`` (ISO dates of the first and last session of train,
            validation and test), ``foundation_last_session`` (last session that the fold's
            foundation saw, validation included) and ``scored`` (first and last session scored).
        ticker: The target.
        sources: Tickers that the foundation learnt from.
    """
    problems = []
    if ticker in sources:
        problems.append(f"{ticker} is among the sources of its own foundation")
    seen: set[str] = set()
    for record in records:
        windows, fold = record["windows"], record["fold"]
        if not windows["train"][1] < windows["validation"][0] <= windows["validation"][1]:
            problems.append(f"{fold}: train reaches {windows['train'][1]}, into validation")
        last_seen = max(windows["validation"][1], record["foundation_last_session"])
        if last_seen >= record["scored"][0]:
            problems.append(f"{fold}: {last_seen} was seen, scored from {record['scored'][0]}")
        if record["scored"][0] in seen:
            problems.append(f"{fold}: {record['scored'][0]} is scored in two folds")
        seen.add(record["scored"][0])
    figures = {"folds": len(records), "problems": problems}
    return {"name": "leakage", "passed": not problems, "figures": figures}
