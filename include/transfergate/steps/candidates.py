"""Entering a judged candidate in the registry."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfergate.registry import Registry


def register_candidate(
    registry: Registry, result: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    """Enter the candidate with lineage, figures and curve, and its verdict as tags."""
    ticker, candidate = result["ticker"], result["candidate"]
    report = evaluation["tickers"][ticker]
    figures = {
        "delta_sharpe": report["delta_sharpe"],
        "se": report["se"],
        **{f"sharpe_{arm}": sharpe for arm, sharpe in report["sharpe"].items()},
    }
    metrics = {name: value for name, value in figures.items() if value is not None}
    bundle = registry.bundle(ticker, candidate)
    curve = list(bundle.get("run", {}).get("learning_curve", []))
    budgets: dict[str, Any] = next(
        (audit["figures"] for audit in result["audits"] if audit["name"] == "budget_parity"), {}
    )
    registry.register_candidate(
        ticker,
        candidate,
        {**registry.lineage(ticker, candidate), "budgets": _short(budgets)},
        metrics,
        {"validation_sharpe": curve} if np.isfinite(curve).all() else {},
        {"verdict": report["verdict"], "evaluation": evaluation["evaluation_id"]},
    )


def _short(budgets: dict[str, Any]) -> str:
    totals = budgets.get("totals", {})
    return ", ".join(
        f"{name} {figure.get('finetuned')}/{figure.get('scratch')}"
        for name, figure in sorted(totals.items())
    )
