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
from transfergate.evaluation.ledger import SCHEMA, Ledger
from transfergate.evaluation.lookbook import LookBook
from transfergate.registry import Registry
from transfergate.reporting import describe, render_verdicts
from transfergate.settings import Settings
from transfergate.steps.candidates import register_candidate
from transfergate.steps.evaluations import point_to, read_evaluation
from transfergate.steps.keeping import keep_evaluation, keep_origin, report_key
from transfergate.steps.looks import plan_looks
from transfergate.steps.regimes import evaluation_market
from transfergate.steps.verdicts import evaluate_targets
from transfergate.storage import ArtefactStore, content_hash, json_bytes, open_store

log = logging.getLogger(__name__)

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
    foundation = _foundation(store, foundation_version)
    document = {} if foundation is None else foundation["document"]
    market = evaluation_market(store, foundation_version)
    for _ in range(ATTEMPTS):
        plan = plan_looks(settings, store, document, ordered, tables)
        shown = list(plan.shown(tables).values())
        series, described = describe(pa.concat_tables([SCHEMA.empty_table(), *shown]), market)
        evaluation, looks = evaluate_targets(
            settings, document, plan, ordered, tables, versions, described
        )
        evaluation["foundation_version"] = foundation_version
        evaluation["foundation"] = _foundation_cost(foundation, len(ordered))
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


def _foundation(store: ArtefactStore, version: str) -> dict[str, Any] | None:
    """Manifest of the foundation; None where it is not kept."""
    key = f"foundations/{version}/foundation.json"
    manifest: dict[str, Any] | None = store.read_json(key) if store.exists(key) else None
    return manifest


def _foundation_cost(manifest: dict[str, Any] | None, n_targets: int) -> dict[str, Any]:
    """What pre-training consumed, all checkpoints together, and what that is for each target."""
    if manifest is None:
        return {}
    checkpoints = len(manifest.get("checkpoints", ()))
    figures = {name: checkpoints * manifest.get(name, 0) for name in ("env_steps", "updates")}
    return {
        **figures,
        **{f"{name}_per_target": total / n_targets for name, total in figures.items()},
        "n_checkpoints": checkpoints,
        "n_targets": n_targets,
        "n_sources": len(manifest.get("sources", ())),
    }


def _outcome(registry: Registry, ticker: str, report: dict[str, Any]) -> str:
    champion = registry.champion(ticker)
    if champion is None:
        return "no champion, flat serves"
    if champion.version == report["candidate"]:
        return f"{champion.version} is the champion, promoted by {champion.who} on {champion.when}"
    return f"champion {champion.version} stays, promoted by {champion.who} on {champion.when}"
