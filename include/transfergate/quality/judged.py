"""Every batch that was judged, loaded or not: what lists of batches say of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from transfergate.quality.markup import batch_state
from transfergate.storage import ArtefactStore
from transfergate.storage.recall import Recall


@dataclass(frozen=True)
class JudgedBatch:
    """One batch; received = loaded + quarantined + refused + waiting.

    Attributes:
        batch_id: Its id.
        source: Whose bars.
        verdict: In words; ``tone`` is ``ok``, ``warning`` or ``critical``.
        received: Rows received.
        loaded: Rows of a loaded batch that are not in quarantine.
        quarantined: Rows set apart one by one.
        refused: Rows of a batch that was refused as a whole.
        waiting: Rows that were accepted and are not loaded, yet or for ever.
        released: Quarantined rows that a person let through since.
        sessions: First and last session, ISO.
        when: When it was loaded, or else judged; ISO, UTC.
    """

    batch_id: str
    source: str
    verdict: str
    tone: str
    received: int
    loaded: int
    quarantined: int
    refused: int
    waiting: int
    released: int
    sessions: tuple[str | None, str | None]
    when: str


def judged_batches(store: ArtefactStore, recall: Recall) -> list[JudgedBatch]:
    """Every batch that was judged, the newest first.

    Args:
        store: The artefact root.
        recall: Of the same store; a loaded batch never changes and is read once.
    """
    released: Counter[str] = Counter()
    for key in store.keys("releases"):
        if key.endswith(".json"):
            released.update(recall.pick(key, _released))
    keys = set(store.keys("batches"))
    found = []
    for key in sorted(key for key in keys if key.endswith("/validation.json")):
        load = key.replace("/validation.json", "/batch.json")
        if load in keys:
            report, moment = recall.pick(key, _short), recall.pick(load, _known_at)
        else:  # it may be judged again, and then loaded
            report, moment = _short(store.read_json(key)), None
        when = moment or _when(store, key)
        found.append(_judged(report, moment is not None, when, released[report["batch_id"]]))
    return sorted(found, key=lambda one: (one.when, one.batch_id), reverse=True)


def _judged(report: dict[str, Any], loaded: bool, when: str, released: int) -> JudgedBatch:
    received, set_apart = report["received"], report["quarantined"]
    refused = received if report["refused"] else 0
    accepted = 0 if refused else received - set_apart
    return JudgedBatch(
        batch_id=report["batch_id"],
        source=report["source"],
        verdict=report["verdict"] if loaded or refused else f"{report['verdict']}, not loaded",
        tone=report["tone"],
        received=received,
        loaded=accepted if loaded else 0,
        quarantined=0 if refused else set_apart,
        refused=refused,
        waiting=0 if loaded else accepted,
        released=released,
        sessions=(report["first_session"], report["last_session"]),
        when=when,
    )


def _short(report: dict[str, Any]) -> dict[str, Any]:
    verdict, tone = batch_state(report)
    names = ("batch_id", "source", "received", "quarantined", "first_session", "last_session")
    return {name: report[name] for name in names} | {
        "refused": bool(report["refusals"]),
        "verdict": verdict,
        "tone": tone,
    }


def _known_at(load: dict[str, Any]) -> str:
    return str(load["known_at"])


def _released(release: dict[str, Any]) -> dict[str, int]:
    return {batch_id: len(rows) for batch_id, rows in release["row_ids"].items()}


def _when(store: ArtefactStore, key: str) -> str:
    seconds = store.modified_ns(key) / 1e9
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
