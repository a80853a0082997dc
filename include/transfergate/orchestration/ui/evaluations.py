"""Evaluations as pages read them: the list, one of them with its ticker, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from transfergate.registry.facts import judgements_of, origin_key, origin_of
from transfergate.registry.lineage import holds
from transfergate.registry.records import Batch, Judgement, Records, SnapshotRecord
from transfergate.reporting.overview import height
from transfergate.steps.keeping import read_charts
from transfergate.storage import ArtefactStore

_ID = re.compile(r"[0-9a-f]{8,64}")
KEPT = 8
"""Evaluations that stay in memory: they never change, and one of 500 tickers is several MB."""
_KEPT: dict[tuple[str, str], Evaluation] = {}
_LOCK = Lock()


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

    def __init__(self, document: dict[str, Any]) -> None:
        judgements_of(document)  # refuses what is no evaluation
        self.id: str = document["evaluation_id"]
        self.document = document
        self.reports: dict[str, dict[str, Any]] = self.document["tickers"]
        self.tickers: list[str] = sorted(self.reports)
        self.order = sorted(self.tickers, key=lambda ticker: height(self.reports[ticker]))

    def number(self, ticker: str) -> int:
        """Which of the tickers one is."""
        return self.tickers.index(ticker)

    def charts(self, store: ArtefactStore, ticker: str) -> bytes | None:
        """Compressed numbers of a ticker's charts; None where they were not kept."""
        return read_charts(store, self.id, self.number(ticker))


def is_id(text: str) -> bool:
    """Whether a text can be the id of an evaluation: nothing else gets into a path."""
    return _ID.fullmatch(text) is not None


def find(records: Records, evaluation_id: str) -> Evaluation | None:
    """One evaluation; None if there is none of this id, whatever the id looks like.

    One that cannot be used is None too, and stands in ``records.broken``.
    """
    if not is_id(evaluation_id):
        return None
    key = f"evaluations/{evaluation_id}/verdicts.json"
    if not records.store.exists(key):  # it may be gone since it was read
        return None
    with _LOCK:
        store = records.store.location()
        found = _KEPT.pop((store, evaluation_id), None) or records.read([key], _whole).get(key)
        if found is not None:
            _KEPT[(store, evaluation_id)] = found
        while len(_KEPT) > KEPT:
            _KEPT.pop(next(iter(_KEPT)))
    return found


def _whole(content: dict[str, Any]) -> Evaluation:
    return Evaluation(content)


def summaries(records: Records) -> list[Summary]:
    """Every evaluation, the newest first; those of unknown time last."""
    judged = {told[0].evaluation_id: told for told in records.evaluations() if told}
    origins = {origin_key(name): name for name in judged}
    noted = records.read(list(origins), origin_of, absent="")
    found = []
    for key, name in origins.items():
        origin = noted.get(key, {})
        when, dag, run = (origin.get(field) for field in ("judged_at", "dag_id", "run_id"))
        found.append(Summary(name, when, dag, run, judged[name]))
    return sorted(found, key=lambda one: (one.judged_at or "", one.evaluation_id), reverse=True)


def background(records: Records, evaluation: Evaluation) -> Background:
    """Run, snapshot and batches behind an evaluation, batches newest first."""
    version = evaluation.document.get("foundation_version") or ""
    foundation = records.foundation(version) if version else None
    snapshot = records.snapshot(foundation.snapshot_id) if foundation else None
    batches = [one for one in records.batches() if snapshot and holds(snapshot, one)]
    key = origin_key(evaluation.id)
    origin = records.read([key], origin_of, absent="").get(key, {})
    return Background(origin, snapshot, tuple(reversed(batches)))
