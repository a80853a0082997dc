"""Steps of the verdict: judge what the ledger holds, keep the evaluation, show it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transfergate.errors import RegistryError
from transfergate.evaluation.gate import Audit, finite, unjudged
from transfergate.evaluation.gate import judge as judge_returns
from transfergate.evaluation.ledger import SCHEMA, Ledger
from transfergate.registry import Registry
from transfergate.reporting import ArmSeries, describe, evaluation_page, render_verdicts
from transfergate.settings import MarketParams, Settings
from transfergate.steps.regimes import evaluation_market
from transfergate.storage import ArtefactStore, content_hash, json_bytes

log = logging.getLogger(__name__)

LATEST = "evaluations/latest.json"
NOTHING_KNOWN: dict[str, Any] = {"performance": {}, "flat_seeds": {}, "regimes": {}}


def judge(
    settings: Settings, foundation_version: str, results: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Give every target its verdict from its out-of-sample record, and keep the evaluation.

    Args:
        settings: Settings.
        foundation_version: The foundation that was fine-tuned.
        results: What fine-tuning returned for each ticker, in any order.

    Returns:
        ``{"evaluation_id", "verdicts": {ticker: verdict}, "report": path, "created": bool}``; the
        same records give the same id, and ``created`` is then False.
    """
    store = ArtefactStore(settings.artefact_root)
    registry = Registry(store, settings.tracking_uri)
    ordered = sorted(results, key=lambda result: str(result["ticker"]))
    log.info("judging %d tickers of foundation %s", len(ordered), foundation_version)
    incumbents = {
        result["ticker"]: registry.incumbent(result["ticker"], result["candidate"] or "")
        for result in ordered
    }
    versions = {ticker: row.version if row else None for ticker, row in incumbents.items()}
    tables = {
        result["ticker"]: _record(store, result, versions[result["ticker"]])
        for result in ordered
        if result["status"] == "trained"
    }
    market = _market(store, foundation_version, settings)
    evaluation = _evaluate(settings, market, ordered, tables)
    merged = pa.concat_tables([SCHEMA.empty_table(), *tables.values()])
    series, descriptions = describe(merged, evaluation_market(store, foundation_version))
    for result in ordered:
        evaluation["tickers"][result["ticker"]] |= {
            **finite(descriptions.get(result["ticker"], NOTHING_KNOWN)),
            "candidate": result["candidate"],
            "recipe": result["recipe"],
            "incumbent": versions[result["ticker"]],
        }
    evaluation["foundation_version"] = foundation_version
    evaluation["foundation"] = _foundation_cost(store, foundation_version)
    evaluation["evaluation_id"] = content_hash(json_bytes(evaluation))
    report, created = _keep(store, evaluation, series)
    for result in ordered:
        if result["status"] == "trained" and result["candidate"]:
            _register(registry, result, evaluation)
    verdicts = {ticker: item["verdict"] for ticker, item in evaluation["tickers"].items()}
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
    store = ArtefactStore(settings.artefact_root)
    registry = Registry(store, settings.tracking_uri)
    evaluation = read_evaluation(store, evaluation_id)
    for ticker, report in evaluation["tickers"].items():
        report["outcome"] = _outcome(registry, ticker, report)
    evaluation["report"] = str(store.path(_report_key(evaluation["evaluation_id"])))
    return evaluation


def render_summary(evaluation: dict[str, Any]) -> str:
    """What :func:`summary` returned as aligned plain text of 100 columns."""
    return render_verdicts(evaluation)


def read_evaluation(store: ArtefactStore, evaluation_id: str | None) -> dict[str, Any]:
    """One evaluation; None for the latest.

    Raises:
        RegistryError: If there is none of this id.
    """
    known = sorted(
        key.split("/")[1] for key in store.keys("evaluations") if key.endswith("/verdicts.json")
    )
    if evaluation_id is None and store.exists(LATEST):
        evaluation_id = store.read_json(LATEST)["evaluation_id"]
    if evaluation_id not in known:
        raise RegistryError(
            f"evaluation {evaluation_id!r} does not exist below {store.root}; there are: "
            f"{', '.join(known) or 'none'}; name one of these, or fine-tune and judge first"
        )
    evaluation: dict[str, Any] = store.read_json(f"evaluations/{evaluation_id}/verdicts.json")
    return evaluation


def _record(store: ArtefactStore, result: dict[str, Any], champion: str | None) -> pa.Table:
    """A ticker's ledger rows; of the champion's, those of the incumbent."""
    rows = Ledger(store).read(result["recipe"], result["ticker"])
    own = pc.not_equal(rows["arm"], "champion")
    incumbent = pc.fill_null(pc.equal(rows["model_version"], champion or ""), False)
    return rows.filter(pc.or_(own, incumbent))


def _evaluate(
    settings: Settings,
    trade: MarketParams,
    results: Sequence[dict[str, Any]],
    tables: dict[str, pa.Table],
) -> dict[str, Any]:
    """The gate's object over all tickers, those without a record included."""
    params = settings.gate
    judged: dict[str, Any] = {"pool": {"n_tickers": 0, "tickers": []}, "tickers": {}}
    usable = [table for table in tables.values() if table.num_rows]
    if usable:
        market = _market_audit(trade)
        trained = [result for result in results if result["status"] == "trained"]
        judged = judge_returns(
            pa.concat_tables(usable),
            params,
            audits={r["ticker"]: [*map(_audit, r["audits"]), market] for r in trained},
            foundations={r["ticker"]: r["n_foundations"] for r in trained},
            keep_going=True,
        )
    reports: dict[str, Any] = {}
    for result in results:
        ticker = result["ticker"]
        reports[ticker] = judged["tickers"].get(ticker) or _without_record(result, settings)
    evaluation: dict[str, Any] = finite(
        {"config": params.model_dump(mode="json"), "tickers": reports, "pool": judged["pool"]}
    )
    return evaluation


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


def _market(store: ArtefactStore, foundation_version: str, settings: Settings) -> MarketParams:
    """The market that the arms traded in, whatever settings say by now."""
    key = f"foundations/{foundation_version}/foundation.json"
    if not store.exists(key):
        return settings.market
    return MarketParams.model_validate(store.read_json(key)["document"]["market"])


def _foundation_cost(store: ArtefactStore, foundation_version: str) -> dict[str, Any]:
    """What pre-training consumed; empty where the foundation is not there to ask."""
    key = f"foundations/{foundation_version}/foundation.json"
    if not store.exists(key):
        return {}
    manifest = store.read_json(key)
    figures = {name: manifest.get(name) for name in ("env_steps", "updates")}
    return {**figures, "n_sources": len(manifest.get("sources", ()))}


def _market_audit(market: MarketParams) -> Audit:
    """Replications may trade at the close or for free; a verdict on that would mislead."""
    return Audit(
        "tradable_market",
        market.timing == "next_open" and market.cost_bps > 0.0,
        {"timing": market.timing, "cost_bps": market.cost_bps},
    )


def _keep(
    store: ArtefactStore, evaluation: dict[str, Any], series: dict[str, dict[str, ArmSeries]]
) -> tuple[str, bool]:
    name = evaluation["evaluation_id"]
    created = store.write_once(f"evaluations/{name}/verdicts.json", json_bytes(evaluation))
    report = _report_key(name)
    if created or not store.exists(report):
        store.replace(report, evaluation_page(evaluation, series).encode())
    store.replace(LATEST, json_bytes({"evaluation_id": name}))
    return str(store.path(report)), created


def _report_key(evaluation_id: str) -> str:
    return f"evaluations/{evaluation_id}/report.html"


def _register(registry: Registry, result: dict[str, Any], evaluation: dict[str, Any]) -> None:
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
    )
    registry.tag_candidate(
        ticker,
        candidate,
        {"verdict": report["verdict"], "evaluation": evaluation["evaluation_id"]},
    )


def _short(budgets: dict[str, Any]) -> str:
    totals = budgets.get("totals", {})
    return ", ".join(
        f"{name} {figure.get('finetuned')}/{figure.get('scratch')}"
        for name, figure in sorted(totals.items())
    )


def _outcome(registry: Registry, ticker: str, report: dict[str, Any]) -> str:
    champion = registry.champion(ticker)
    if champion is None:
        return "no champion, flat serves"
    if champion.version == report["candidate"]:
        return f"{champion.version} is the champion, promoted by {champion.who} on {champion.when}"
    return f"champion {champion.version} stays, promoted by {champion.who} on {champion.when}"
