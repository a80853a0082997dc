"""Steps of a trained foundation: back-test on what it never saw, refuse or register."""

from __future__ import annotations

import logging
from typing import Any

from transfergate.errors import FoundationRefused
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Weights
from transfergate.learning.runtime import choose_device, use_threads
from transfergate.market.panel import Panel
from transfergate.registry import Registry
from transfergate.settings import MarketParams, NetworkParams, Settings, WalkForwardParams
from transfergate.steps.pretraining import foundation_weights, load_panel, read_foundation
from transfergate.storage import json_bytes, open_snapshot, open_store
from transfergate.transfer.behaviour import FINDINGS, NOT_FINITE, Conduct, conduct, refusal
from transfergate.transfer.pretraining import family_folds, mean_sharpe

log = logging.getLogger(__name__)


def backtest_foundation(settings: Settings, version: str) -> dict[str, Any]:
    """Score every checkpoint on its fold's test sessions, later than any it saw.

    Source tickers and the sources that were left out of training are scored apart: the latter
    say whether what was learnt carries over to tickers never seen. Each checkpoint's conduct is
    looked at over all sessions up to the end of its test.

    Returns:
        ``{"foundation_version", "folds": [{"fold", "first", "last", "sharpe",
        "holdout_sharpe"}], "mean_sharpe", "holdout", "holdout_mean_sharpe", "checkpoints":
        [{"name", "finding", "decisions", "position", "exposure"}], "collapsed", "refusal"}``:
        Sharpe ratios are annualised, net, means over tickers; None where there is nothing to
        score. It is also kept as ``backtests/<version>.json``.
    """
    store = open_store(settings)
    manifest = read_foundation(store, version)
    use_threads(settings.torch_threads)
    snapshot = open_snapshot(store, manifest["snapshot_id"])
    device, holdout = choose_device(settings.device), manifest.get("holdout", [])
    panels = {"sharpe": load_panel(snapshot, manifest["sources"]).to(device)}
    if holdout:
        panels["holdout_sharpe"] = load_panel(snapshot, holdout).to(device)
    document = manifest["document"]
    folds = family_folds(
        panels["sharpe"],
        snapshot.manifest["first_session_ordinal"],
        WalkForwardParams.model_validate(document["walk_forward"]),
    )
    rows: list[dict[str, Any]] = []
    found: list[Conduct] = []
    for fold in folds:
        weights = {
            name: tensor.to(device)
            for name, tensor in foundation_weights(store, manifest, [fold]).items()
        }
        found.append(_conduct(panels["sharpe"], weights, fold, document))
        if fold.test is not None:
            broken = found[-1].finding == NOT_FINITE
            rows.append(_scored(panels, {} if broken else weights, fold, fold.test, document))
    names = [fold.name for fold in folds]
    report = {
        "foundation_version": version,
        "folds": rows,
        "mean_sharpe": _mean(row["sharpe"] for row in rows),
        "holdout": holdout,
        "holdout_mean_sharpe": _mean(row["holdout_sharpe"] for row in rows),
        "checkpoints": [
            {"name": name, **one.record()} for name, one in zip(names, found, strict=True)
        ],
        "collapsed": sum(one.finding in FINDINGS for one in found),
        "refusal": refusal(
            names, found, admit_constant=document["pretrain"].get("admit_constant", False)
        ),
    }
    store.replace(f"backtests/{version}.json", json_bytes(report))
    log.info(
        "foundation %s: mean net Sharpe on %d unseen folds %s, on %d tickers left out %s; %d of "
        "%d checkpoints hold one position whatever they see",
        version,
        len(rows),
        _rounded(report["mean_sharpe"]),
        len(holdout),
        _rounded(report["holdout_mean_sharpe"]),
        report["collapsed"],
        len(folds),
    )
    return report


def _rounded(sharpe: float | None) -> str:
    return "unknown" if sharpe is None else f"{sharpe:.2f}"


def _conduct(panel: Panel, weights: Weights, fold: Fold, document: dict[str, Any]) -> Conduct:
    return conduct(
        panel,
        weights,
        (fold.test or fold.validation).stop,
        MarketParams.model_validate(document["market"]),
        NetworkParams.model_validate(document["network"]),
        document["pretrain"]["optimiser"]["burn_in_sessions"],
    )


def _scored(
    panels: dict[str, Panel], weights: Weights, fold: Fold, test: Window, document: dict[str, Any]
) -> dict[str, Any]:
    # One fold's test on each panel; without weights (they are not finite) no figure.
    sessions = panels["sharpe"].sessions
    row: dict[str, Any] = {
        "fold": fold.number,
        "first": str(sessions[test.first]),
        "last": str(sessions[test.stop - 1]),
        "sharpe": None,
        "holdout_sharpe": None,
    }
    for name, panel in panels.items() if weights else ():
        row[name] = mean_sharpe(
            panel,
            weights,
            NetworkParams.model_validate(document["network"]),
            MarketParams.model_validate(document["market"]),
            test,
            document["pretrain"]["optimiser"]["burn_in_sessions"],
        )
    return row


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def register_foundation(
    settings: Settings, version: str, backtest: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Record a foundation version in the registry, with lineage, once.

    Args:
        settings: Settings.
        version: A foundation that was trained.
        backtest: What :func:`backtest_foundation` returned; None runs it.

    Raises:
        FoundationRefused: If it is not finite, or holds one position whatever it sees; nothing
            is registered. The message says which, with figures and what to do.
    """
    store = open_store(settings)
    manifest = read_foundation(store, version)
    report = backtest if backtest is not None else backtest_foundation(settings, version)
    if report["refusal"]:
        raise FoundationRefused(f"foundation {version} is not registered: {report['refusal']}")
    metrics = {
        "unseen_sharpe": report["mean_sharpe"],
        "holdout_sharpe": report["holdout_mean_sharpe"],
        "collapsed_checkpoints": float(report["collapsed"]),
    }
    created = Registry(store, settings.tracking_uri).register_foundation(
        version,
        tags={
            "snapshot": manifest["snapshot_id"],
            "source": manifest["source"],
            "sources": ",".join(manifest["sources"]),
            "holdout": ",".join(manifest.get("holdout", [])),
            "code_version": manifest["code_version"],
            "seed": str(manifest["seed"]),
            "artefact": f"foundations/{version}",
        },
        metrics={name: value for name, value in metrics.items() if value is not None},
        curves={
            f"validation_sharpe_{checkpoint['name']}": [
                row[number] for row in manifest["learning_curve"]
            ]
            for number, checkpoint in enumerate(manifest["checkpoints"])
        },
    )
    return {
        "foundation_version": version,
        "snapshot_id": manifest["snapshot_id"],
        "source": manifest["source"],
        "sources": manifest["sources"],
        "holdout": manifest.get("holdout", []),
        "targets": manifest["targets"],
        "unseen_sharpe": report["mean_sharpe"],
        "holdout_sharpe": report["holdout_mean_sharpe"],
        "collapsed_checkpoints": report["collapsed"],
        "registered": created,
    }
