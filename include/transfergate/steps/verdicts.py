"""What the gate says of each target of an evaluation, with or without a record, new or standing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transfergate.evaluation.gate import Audit, finite, unjudged
from transfergate.evaluation.gate import judge as judge_returns
from transfergate.evaluation.looks import Look
from transfergate.settings import MarketParams, Settings
from transfergate.steps.champion import why_not_compared
from transfergate.steps.importance import recorded_importance
from transfergate.steps.looks import LookPlan, audit_again, settle
from transfergate.storage import ArtefactStore

NOTHING_KNOWN: dict[str, Any] = {"performance": {}, "flat_seeds": {}, "regimes": {}}


def evaluate_targets(
    settings: Settings,
    document: dict[str, Any],
    plan: LookPlan,
    results: Sequence[dict[str, Any]],
    tables: dict[str, pa.Table],
    incumbents: dict[str, str | None],
    described: dict[str, dict[str, Any]],
) -> tuple[dict[str, Any], list[Look]]:
    """Judge the records that are due, and put every target's report together.

    Args:
        settings: Settings.
        document: What defines the foundation; empty where it is not kept.
        plan: Which records are due, and which verdicts stand.
        results: What fine-tuning returned for each ticker.
        tables: The ledger's rows of each ticker that was trained.
        incumbents: Per ticker the version of the champion that its candidate faces.
        described: Per ticker what a report says besides the gate's figures.

    Returns:
        The gate's object (``config``, ``tickers``, ``pool``) over all tickers, those without a
        record included; and the looks that were taken.
    """
    judged = _judged(settings, document, plan, results, tables)
    reports: dict[str, Any] = {}
    for result in results:
        ticker = result["ticker"]
        incumbent = incumbents[ticker]
        report = plan.stored.get(ticker)
        if report is not None:
            if report["candidate"] == result["candidate"]:
                incumbent = report["incumbent"]  # that it was compared with
            audit_again(report, result["audits"])
        else:
            report = judged["tickers"].get(ticker) or _without_record(result, settings)
            report |= finite(described.get(ticker, NOTHING_KNOWN))
            report |= finite(recorded_importance(plan.store, result))
            report["reasons"] += _not_compared(plan.store, result, report, incumbent, tables)
        reports[ticker] = report | {
            "candidate": result["candidate"],
            "recipe": result["recipe"],
            "incumbent": incumbent,
        }
    looks = settle(plan, reports, {result["ticker"]: result["recipe"] for result in results})
    evaluation: dict[str, Any] = finite(
        {"config": judged["config"], "tickers": reports, "pool": judged["pool"]}
    )
    return evaluation, looks


def _not_compared(
    store: ArtefactStore,
    result: dict[str, Any],
    report: dict[str, Any],
    champion: str | None,
    tables: dict[str, pa.Table],
) -> list[str]:
    """Why the champion's guard is missing from a verdict, if it is."""
    table = tables.get(result["ticker"])
    if champion is None or table is None or report["guards"]["champion"] is not None:
        return []
    scored = int(pc.sum(pc.equal(table["arm"], "champion")).as_py() or 0)
    pair = (champion, result["candidate"])
    return [why_not_compared(store, result["ticker"], *pair, scored)]


def _judged(
    settings: Settings,
    document: dict[str, Any],
    plan: LookPlan,
    results: Sequence[dict[str, Any]],
    tables: dict[str, pa.Table],
) -> dict[str, Any]:
    """What the gate says of the records that are due."""
    none: dict[str, Any] = {
        "config": plan.rule.model_dump(mode="json"),
        "pool": {"n_tickers": 0, "tickers": []},
        "tickers": {},
    }
    if len(plan.pools) == 1:
        none |= plan.pools[0]
    due = {ticker: table for ticker, table in plan.due(tables).items() if table.num_rows}
    if not due:
        return none
    market = _market_audit(_market(document, settings))
    trained = [result for result in results if result["ticker"] in due]
    judged = judge_returns(
        pa.concat_tables(list(due.values())),
        plan.rule,
        audits={r["ticker"]: [*map(_audit, r["audits"]), market] for r in trained},
        foundations={r["ticker"]: r["n_foundations"] for r in trained},
        keep_going=True,
    )
    return judged if judged["pool"]["n_tickers"] else {**judged, "pool": none["pool"]}


def _without_record(result: dict[str, Any], settings: Settings) -> dict[str, Any]:
    reason = result["reason"]
    if result["status"] != "no_folds":
        why = reason or "its out-of-sample record is empty"
        return unjudged("INVALID", [f"Could not be judged: {why}"], settings.gate)
    missing = int(result["missing_sessions"])
    sentence = (
        f"Too short a history to judge: {missing} sessions are missing until one walk-forward "
        f"fold fits, and a verdict needs {settings.gate.min_oos_sessions} out-of-sample sessions."
    )
    return unjudged("INCONCLUSIVE", [sentence, str(reason)], settings.gate, missing)


def _audit(figures: dict[str, Any]) -> Audit:
    return Audit(figures["name"], bool(figures["passed"]), figures["figures"])


def _market(document: dict[str, Any], settings: Settings) -> MarketParams:
    """The market that the arms traded in, whatever settings say by now."""
    if "market" not in document:
        return settings.market
    return MarketParams.model_validate(document["market"])


def _market_audit(market: MarketParams) -> Audit:
    """Replications may trade at the close or for free; a verdict on that would mislead."""
    return Audit(
        "tradable_market",
        market.timing == "next_open" and market.cost_bps > 0.0,
        {"timing": market.timing, "cost_bps": market.cost_bps},
    )
