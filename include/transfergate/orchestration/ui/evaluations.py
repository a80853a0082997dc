"""Evaluations as pages read them: the list, one of them with its ticker, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transfergate.registry.lineage import holds
from transfergate.registry.records import Batch, Judgement, Records, SnapshotRecord
from transfergate.reporting.overview import height
from transfergate.steps.keeping import read_charts, read_origin
from transfergate.storage import ArtefactStore

_ID = re.compile(r"[0-9a-f]{8,64}")
KEPT = 8
"""Evaluations that stay in memory: they never change, and one of 500 tickers is several MB."""


@dataclass(frozen=True)
class Summary:
    """One evaluation in a list; ``judged_at`` is ISO, None where it was not noted."""

    evaluation_id: str
    judged_at: str | None
    dag_id: str | None
    run_id: str | None
    judgements: tuple[Judgement, ...]

    @property
    def foundation_version(self) -> str | None:
        """The foundation that was fine-tuned."""
        return self.judgements[0].foundation_version if self.judgements else None


@dataclass(frozen=True)
class Background:
    """Where an evaluation came from; None and nothing where a record is not there any more."""

    origin: Mapping[str, Any]
    snapshot: SnapshotRecord | None
    batches: tuple[Batch, ...]


class Evaluation:
    """One evaluation as it was published.

    Attributes:
        id: Hash of the verdicts.
        document: What ``judge`` kept.
        tickers: In alphabetical order, which numbers them.
        order: Those tickers, the highest difference first.
    """

    def __init__(self, store: ArtefactStore, evaluation_id: str) -> None:
        self.id = evaluation_id
        self.document: dict[str, Any] = store.read_json(
            f"evaluations/{evaluation_id}/verdicts.json"
        )
        self.reports: dict[str, dict[str, Any]] = self.document["tickers"]
        self.tickers: list[str] = sorted(self.reports)
        self.order = sorted(self.tickers, key=lambda ticker: height(self.reports[ticker]))

    def number(self, ticker: str) -> int:
        """Which of the tickers one is."""
        return self.tickers.index(ticker)

    def charts(self, store: ArtefactStore, ticker: str) -> bytes | None:
        """Compressed numbers of a ticker's charts; None where they were not kept."""
        return read_charts(store, self.id, self.number(ticker))


def find(records: Records, evaluation_id: str) -> Evaluation | None:
    """One evaluation; None if there is none of this id, whatever the id looks like."""
    if not _ID.fullmatch(evaluation_id):
        return None
    if not records.store.exists(f"evaluations/{evaluation_id}/verdicts.json"):
        return None
    return _read(records, evaluation_id)


@lru_cache(maxsize=KEPT)
def _read(records: Records, evaluation_id: str) -> Evaluation:
    return Evaluation(records.store, evaluation_id)


def summaries(records: Records) -> list[Summary]:
    """Every evaluation, the newest first; those of unknown time last."""
    found = []
    for judgements in records.evaluations():
        if judgements:
            name = judgements[0].evaluation_id
            origin = read_origin(records.store, name)
            when, dag, run = (origin.get(key) for key in ("judged_at", "dag_id", "run_id"))
            found.append(Summary(name, when, dag, run, judgements))
    return sorted(found, key=lambda one: (one.judged_at or "", one.evaluation_id), reverse=True)


def background(records: Records, evaluation: Evaluation) -> Background:
    """Run, snapshot and batches behind an evaluation, batches newest first."""
    version = evaluation.document.get("foundation_version") or ""
    foundation = records.foundation(version) if version else None
    snapshot = records.snapshot(foundation.snapshot_id) if foundation else None
    batches = [one for one in records.batches() if snapshot and holds(snapshot, one)]
    return Background(read_origin(records.store, evaluation.id), snapshot, tuple(reversed(batches)))
