"""Steps of the verdict: judge what the ledger holds, keep the evaluation, show it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transfergate import metrics
from transfergate.errors import RegistryError
from transfergate.evaluation.gate import Audit, finite, unjudged
from transfergate.evaluation.gate import judge as judge_returns
from transfergate.evaluation.ledger import SCHEMA, Ledger
from transfergate.evaluation.lookbook import LookBook
from transfergate.evaluation.looks import Look
from transfergate.registry import Registry
from transfergate.reporting import describe, render_verdicts
from transfergate.settings import MarketParams, Settings
from transfergate.steps.candidates import register_candidate
from transfergate.steps.champion import why_not_compared
from transfergate.steps.evaluations import point_to, read_evaluation
from transfergate.steps.importance import recorded_importance
from transfergate.steps.keeping import keep_evaluation, keep_origin, report_key
from transfergate.steps.looks import LookPlan, audit_again, plan_looks, settle
from transfergate.steps.regimes import evaluation_market
from transfergate.storage import ArtefactStore, content_hash, json_bytes, open_store

log = logging.getLogger(__name__)

NOTHING_KNOWN: dict[str, Any] = {"performance": {}, "flat_seeds": {}, "regimes": {}}
READERS = 8
"""Records that are read at once: hundreds of tickers have thousands of objects."""
ATTEMPTS = 5
"""Times that a judgement is planned anew because others were entered meanwhile."""


def judge(
    settings: Settings,
    foundation_version: str,
    results: Sequence[dict[str, Any]],
    run: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Give every target its verdict from its out-of-sample record, and keep the evaluation.

    Args:
        settings: Settings.
        foundation_version: The foundation that was fine-tuned.
        results: What fine-tuning returned for each ticker, in any order.
        run: ``dag_id`` and ``run_id`` of the DAG run that asks; None outside of Airflow.

    Returns:
        ``{"evaluation_id", "verdicts": {ticker: verdict}, "report": path, "created": bool}``; the
        same records give the same id, and ``created`` is then False.
    """
    store = open_store(settings)
    registry = Registry(store, settings.tracking_uri)
    ordered = sorted(results, key=lambda result: str(result["ticker"]))
    log.info("judging %d tickers of foundation %s", len(ordered), foundation_version)
    incumbents = {
        result["ticker"]: registry.incumbent(result["ticker"], result["candidate"] or "")
        for result in ordered
    }
    versions = {ticker: row.version if row else None for ticker, row in incumbents.items()}
    tables = _records(store, [r for r in ordered if r["status"] == "trained"], versions)
    evaluation, report, created = _judge_and_keep(
        settings, store, foundation_version, ordered, tables, versions
    )
    for result in ordered:
        if result["status"] == "trained" and result["candidate"]:
            register_candidate(registry, result, evaluation)
    keep_origin(registry, evaluation, run or {})
    verdicts = {ticker: item["verdict"] for ticker, item in evaluation["tickers"].items()}
    if created:
        _tell(evaluation["tickers"])
    log.info(
        "evaluation %s%s: %s",
        evaluation["evaluation_id"],
        "" if created else " (nothing new)",
        verdicts,
    )
    return {
        "evaluation_id": evaluation["evaluation_id"],
        "verdicts": verdicts,
        "report": report,
        "created": created,
    }


def _tell(reports: dict[str, dict[str, Any]]) -> None:
    for ticker, report in reports.items():
        metrics.count(f"verdicts.{report['verdict']}", 1)
        if report["looks"] and report["looks"]["number"]:
            metrics.gauge("looks.number", report["looks"]["number"], ticker)


def _judge_and_keep(
    settings: Settings,
    store: ArtefactStore,
    foundation_version: str,
    ordered: Sequence[dict[str, Any]],
    tables: dict[str, pa.Table],
    versions: dict[str, str | None],
) -> tuple[dict[str, Any], str, bool]:
    """The evaluation first, then its looks; planned anew if others were entered meanwhile."""
    document = _document(store, foundation_version)
    market = evaluation_market(store, foundation_version)
    for _ in range(ATTEMPTS):
        plan = plan_looks(settings, store, document, ordered, tables)
        shown = list(plan.shown(tables).values())
        series, described = describe(pa.concat_tables([SCHEMA.empty_table(), *shown]), market)
        evaluation, looks = _evaluate(
            settings, document, plan, ordered, tables, versions, described
        )
        evaluation["foundation_version"] = foundation_version
        evaluation["foundation"] = _foundation_cost(store, foundation_version, len(ordered))
        evaluation["evaluation_id"] = content_hash(json_bytes(evaluation))
        created = keep_evaluation(store, evaluation, series)
        report = store.location(report_key(evaluation["evaluation_id"]))
        if LookBook(store).record(plan.number, evaluation["evaluation_id"], looks):
            point_to(store, evaluation["evaluation_id"], evaluation["tickers"])
            return evaluation, report, created
    raise RegistryError(
        f"{len(ordered)} tickers of foundation {foundation_version}: other judgements were "
        f"entered at the same time, {ATTEMPTS} times in a row; run this one again"
    )


def summary(settings: Settings, evaluation_id: str | None = None) -> dict[str, Any]:
    """An evaluation with what became of it; None for the latest one.

    Returns:
        The gate's object (``config``, ``tickers``, ``pool``) with ``evaluation_id``,
        ``foundation_version``, ``foundation`` (the cost of pre-training) and ``report``; each
        ticker also has ``performance`` per arm, ``flat_seeds``, ``regimes``, ``candidate`` and
        ``outcome``.

    Raises:
        RegistryError: If there is no such evaluation.
    """
    store = open_store(settings)
    registry = Registry(store, settings.tracking_uri)
    evaluation = read_evaluation(store, evaluation_id)
    for ticker, report in evaluation["tickers"].items():
        report["outcome"] = _outcome(registry, ticker, report)
    evaluation["report"] = store.location(report_key(evaluation["evaluation_id"]))
    return evaluation


def render_summary(evaluation: dict[str, Any]) -> str:
    """What :func:`summary` returned as aligned plain text of 100 columns."""
    return render_verdicts(evaluation)


def _records(
    store: ArtefactStore, results: Sequence[dict[str, Any]], versions: Mapping[str, str | None]
) -> dict[str, pa.Table]:
    """Each ticker's record; some at a time, since an object store answers late, not slowly."""
    with ThreadPoolExecutor(READERS) as readers:
        read = readers.map(lambda one: _record(store, one, versions[one["ticker"]]), results)
        return {one["ticker"]: table for one, table in zip(results, read, strict=True)}


def _record(store: ArtefactStore, result: dict[str, Any], champion: str | None) -> pa.Table:
    """A ticker's ledger rows; of the champion's, those of the incumbent."""
    rows = Ledger(store).read(result["recipe"], result["ticker"])
    own = pc.not_equal(rows["arm"], "champion")
    incumbent = pc.fill_null(pc.equal(rows["model_version"], champion or ""), False)
    return rows.filter(pc.or_(own, incumbent))


def _evaluate(
    settings: Settings,
    document: dict[str, Any],
    plan: LookPlan,
    results: Sequence[dict[str, Any]],
    tables: dict[str, pa.Table],
    incumbents: dict[str, str | None],
    described: dict[str, dict[str, Any]],
) -> tuple[dict[str, Any], list[Look]]:
    """The gate's object over all tickers, those without a record included, and its looks."""
    judged = _judged(settings, document, plan, results, tables)
    reports: dict[str, Any] = {}
    for result in results:
        ticker = result["ticker"]
        report = plan.stored.get(ticker)
        incumbent = incumbents[ticker]
        if report is not None and report["candidate"] == result["candidate"]:
            incumbent = report["incumbent"]  # that it was compared with
        if report is not None:
            audit_again(report, result["audits"])
        if report is None:
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


def _document(store: ArtefactStore, foundation_version: str) -> dict[str, Any]:
    """What defines the foundation; nothing where it is not kept."""
    key = f"foundations/{foundation_version}/foundation.json"
    document: dict[str, Any] = store.read_json(key)["document"] if store.exists(key) else {}
    return document


def _market(document: dict[str, Any], settings: Settings) -> MarketParams:
    """The market that the arms traded in, whatever settings say by now."""
    if "market" not in document:
        return settings.market
    return MarketParams.model_validate(document["market"])


def _foundation_cost(
    store: ArtefactStore, foundation_version: str, n_targets: int
) -> dict[str, Any]:
    """What pre-training consumed, all checkpoints together, and what that is for each target.

    Empty where the foundation is not there to ask.
    """
    key = f"foundations/{foundation_version}/foundation.json"
    if not store.exists(key):
        return {}
    manifest = store.read_json(key)
    checkpoints = len(manifest.get("checkpoints", ()))
    figures = {name: checkpoints * manifest.get(name, 0) for name in ("env_steps", "updates")}
    return {
        **figures,
        **{f"{name}_per_target": total / n_targets for name, total in figures.items()},
        "n_checkpoints": checkpoints,
        "n_targets": n_targets,
        "n_sources": len(manifest.get("sources", ())),
    }


def _market_audit(market: MarketParams) -> Audit:
    """Replications may trade at the close or for free; a verdict on that would mislead."""
    return Audit(
        "tradable_market",
        market.timing == "next_open" and market.cost_bps > 0.0,
        {"timing": market.timing, "cost_bps": market.cost_bps},
    )


def _outcome(registry: Registry, ticker: str, report: dict[str, Any]) -> str:
    champion = registry.champion(ticker)
    if champion is None:
        return "no champion, flat serves"
    if champion.version == report["candidate"]:
        return f"{champion.version} is the champion, promoted by {champion.who} on {champion.when}"
    return f"champion {champion.version} stays, promoted by {champion.who} on {champion.when}"
