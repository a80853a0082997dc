"""Keeping an evaluation: its verdicts, the numbers of its charts, its report, its origin."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from transfergate.evaluation.ledger import Ledger
from transfergate.registry import Registry
from transfergate.registry.facts import origin_key
from transfergate.reporting import ArmSeries, Charts, chart_data, evaluation_page
from transfergate.storage import ArtefactStore, json_bytes


def keep_evaluation(
    store: ArtefactStore,
    evaluation: Mapping[str, Any],
    series: Mapping[str, Mapping[str, ArmSeries]],
) -> bool:
    """Write an evaluation below ``evaluations/<id>/``, its report last.

    Returns:
        Whether the evaluation is new.
    """
    name = evaluation["evaluation_id"]
    created = store.write_once(f"evaluations/{name}/verdicts.json", json_bytes(evaluation))
    if created or not store.exists(report_key(name)):
        charts = {
            ticker: chart_data(series.get(ticker, {}), _records(store, ticker, own, series))
            for ticker, own in evaluation["tickers"].items()
        }
        for number, ticker in enumerate(sorted(charts)):
            content = gzip.compress(json.dumps(charts[ticker]).encode(), compresslevel=6, mtime=0)
            store.replace(charts_key(name, number), content)
        store.replace(report_key(name), evaluation_page(evaluation, charts).encode())
    return created


def keep_origin(registry: Registry, evaluation: Mapping[str, Any], run: Mapping[str, str]) -> None:
    """Note when an evaluation was made first, by which DAG run, and its candidates' MLflow runs."""
    key = origin_key(evaluation["evaluation_id"])
    if registry.store.exists(key):
        return
    tracked = {
        ticker: found
        for ticker, report in evaluation["tickers"].items()
        if report["candidate"] and (found := registry.tracked_run(ticker, report["candidate"]))
    }
    origin = {
        "judged_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dag_id": run.get("dag_id"),
        "run_id": run.get("run_id"),
        "mlflow": tracked,
    }
    registry.store.replace(key, json_bytes(origin))


def read_charts(store: ArtefactStore, evaluation_id: str, number: int) -> bytes | None:
    """Compressed JSON of what the charts of one ticker show; None where that was not kept.

    Args:
        store: Where evaluations are.
        evaluation_id: Of one of them.
        number: Of the ticker, among the evaluation's in alphabetical order.
    """
    key = charts_key(evaluation_id, number)
    return store.read(key) if store.exists(key) else None


def unpack_charts(content: bytes) -> Charts:
    """What ``chart_data`` returned, from what was kept of it.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        charts: Charts = json.loads(gzip.decompress(content))
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"the numbers of the charts are damaged: {error}") from error
    return charts


def report_key(evaluation_id: str) -> str:
    """Object that holds an evaluation's self-contained report."""
    return f"evaluations/{evaluation_id}/report.html"


def charts_key(evaluation_id: str, number: int) -> str:
    """Object with the numbers of one ticker's charts."""
    return f"evaluations/{evaluation_id}/charts/{number:05d}.json.gz"


def _records(
    store: ArtefactStore,
    ticker: str,
    report: Mapping[str, Any],
    series: Mapping[str, Mapping[str, ArmSeries]],
) -> list[dict[str, Any]]:
    """Records of the folds that the verdict has seen, oldest first."""
    seen = {int(n) for item in series.get(ticker, {}).values() for n in set(item.fold.tolist())}
    ledger, recipe = Ledger(store), report.get("recipe")
    if not seen or recipe is None:
        return []
    return [ledger.record(recipe, ticker, n) for n in ledger.folds(recipe, ticker) if n in seen]
