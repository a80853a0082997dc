"""Every batch that was judged, loaded or not: what lists of batches say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from transfergate.quality.markup import batch_state
from transfergate.storage import ArtefactStore
from transfergate.storage.recall import Recall

_REPORT, _LOAD = "/validation.json", "/batch.json"


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


def judged_batches(
    store: ArtefactStore, recall: Recall, note: Callable[[str, Exception], None] | None = None
) -> list[JudgedBatch]:
    """Every batch that was judged, the newest first.

    Args:
        store: The artefact root.
        recall: Of the same store; a record that has not changed is read once.
        note: Told which records cannot be used, and why; what they say is left out.
    """
    released: Counter[str] = Counter()
    releases = {key: v for key, v in store.versions("releases").items() if key.endswith(".json")}
    told = recall.pick_many(releases, _released)
    for counts in told.found.values():
        released.update(counts)
    versions = store.versions("batches")
    names = {name: key for key in versions for name in _named(key)}
    reports = recall.pick_many({k: v for k, v in versions.items() if k.endswith(_REPORT)}, _short)
    loads = recall.pick_many({k: v for k, v in versions.items() if k.endswith(_LOAD)}, _known_at)
    found = []
    for key, report in reports.found.items():
        load = key.replace(_REPORT, _LOAD)
        if load in loads.failed:
            continue
        when = loads.found.get(load) or recall.once(key, versions[key], store.modified_ns)
        found.append(_judged(report, load in versions, when, released[report["batch_id"]]))
    for key, load in names.items():
        if key not in versions:
            reports.failed[key] = FileNotFoundError(load)
    for key, error in (told.failed | reports.failed | loads.failed).items():
        if note is not None:
            note(key, error)
    return sorted(found, key=lambda one: (one.when, one.batch_id), reverse=True)


def _named(key: str) -> list[str]:
    """The report that a loaded batch must have."""
    return [key.replace(_LOAD, _REPORT)] if key.endswith(_LOAD) else []


def _judged(report: dict[str, Any], loaded: bool, when: str | int, released: int) -> JudgedBatch:
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
        when=when if isinstance(when, str) else _moment(when),
    )


def _short(report: dict[str, Any]) -> dict[str, Any]:
    verdict, tone = batch_state(report)
    names = ("batch_id", "source", "received", "quarantined", "first_session", "last_session")
    found = {name: report[name] for name in names}
    kinds: dict[str, Any] = {"batch_id": str, "source": str, "received": int, "quarantined": int}
    for name, kind in (kinds | dict.fromkeys(names[4:], str | None)).items():
        if not isinstance(found[name], kind):
            raise TypeError(f"its field {name!r} is {found[name]!r}")
    return found | {"refused": bool(report["refusals"]), "verdict": verdict, "tone": tone}


def _known_at(load: dict[str, Any]) -> str:
    known_at = str(load["known_at"])
    datetime.fromisoformat(known_at)
    return known_at


def _released(release: dict[str, Any]) -> dict[str, int]:
    return {batch_id: len(rows) for batch_id, rows in release["row_ids"].items()}


def _moment(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="seconds")
