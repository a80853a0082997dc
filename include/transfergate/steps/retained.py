"""What a prune must leave: all that champions, looks, people and running work still need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from transfergate.evaluation.lookbook import LookBook
from transfergate.registry.facts import origin_key
from transfergate.registry.history import Promotion, stack_of
from transfergate.registry.lineage import holds
from transfergate.registry.records import Batch, CandidateRecord, Records
from transfergate.settings import RetentionParams
from transfergate.steps.evaluations import LATEST
from transfergate.storage import ArtefactStore, json_bytes

USES = "uses"


@dataclass
class Kept:
    """What stays, by kind; candidates as (ticker, version).

    Attributes:
        candidates: Champions that a rollback may choose, what is judged newest, what is young.
        evaluations: Behind looks, promotions and what is shown as the latest; the newest.
        foundations: Of these candidates, and the newest.
        snapshots: Of these candidates and foundations, what they are served from, the newest.
        batches: Loads in the snapshots of those champions.
        landing: Keys of what those batches were made from.
    """

    candidates: set[tuple[str, str]] = field(default_factory=set)
    evaluations: set[str] = field(default_factory=set)
    foundations: set[str] = field(default_factory=set)
    snapshots: set[str] = field(default_factory=set)
    batches: set[str] = field(default_factory=set)
    landing: set[str] = field(default_factory=set)


class Ages:
    """How old artefacts are, by the store's clock against ours."""

    def __init__(self, store: ArtefactStore, now: datetime) -> None:
        self.store, self.now = store, now

    def of(self, key: str) -> timedelta:
        """Since the object was written; one from the future is new. Gone meanwhile: new too."""
        try:
            written = self.store.modified_ns(key) / 1e9
        except FileNotFoundError:
            return timedelta(0)
        return self.now - datetime.fromtimestamp(written, UTC)

    def older(self, key: str, days: int) -> bool:
        """Whether an object is older than so many days."""
        return self.of(key) > timedelta(days=days)


def note_use(store: ArtefactStore, kind: str, name: str) -> None:
    """Say that a run works with an artefact now, however old that is: it is not pruned meanwhile.

    Args:
        store: Where the artefact is.
        kind: ``snapshots`` or ``foundations``.
        name: Its id.
    """
    store.replace(f"{USES}/{kind}/{name}.json", json_bytes({}))


def in_use(ages: Ages, days: int) -> set[str]:
    """Names of snapshots and foundations that a run has begun to work with since so many days."""
    return {
        key.rpartition("/")[2].removesuffix(".json")
        for key in ages.store.keys(USES)
        if not ages.older(key, days)
    }


def retained(store: ArtefactStore, params: RetentionParams, now: datetime) -> Kept:
    """Mark all that stays, from the roots down to what they were made from."""
    records, ages, kept = Records(store), Ages(store, now), Kept()
    candidates = {(one.ticker, one.version): one for one in records.candidates()}
    champions = _champions(records, params.champions)
    kept.evaluations |= _evaluations(store, records, params, ages)
    kept.evaluations |= {
        one.evaluation_id  # one that was promoted by hand names none
        for told in records.evaluations()
        for one in told
        if (one.ticker, one.candidate) in champions
    }
    kept.candidates |= champions | _judged_last(records)
    for one in candidates.values():
        if not ages.older(f"candidates/{one.ticker}/{one.version}/bundle.json", params.days):
            kept.candidates.add((one.ticker, one.version))
    found = [candidates[name] for name in kept.candidates if name in candidates]
    kept.foundations |= {one.foundation_version for one in found}
    kept.snapshots |= {one.snapshot_id for one in found}
    _keep_foundations(records, params, ages, kept)
    _keep_snapshots(records, params, ages, kept)
    serving = [candidates[name] for name in champions if name in candidates]
    kept.snapshots |= _served_from(store, records, serving)
    if params.champions_batches:
        for batch in _learnt_from(records, serving):
            kept.batches.add(batch.batch_id)
            kept.landing |= set(batch.landing)
    return kept


def _champions(records: Records, depth: int) -> set[tuple[str, str]]:
    return {
        (row.ticker, row.version)
        for rows in records.histories().values()
        for row in stack_of(rows)[-depth:]
    }


def _judged_last(records: Records) -> set[tuple[str, str]]:
    # A person may still promote these by hand, or be asked about them.
    return {(one.ticker, one.candidate) for one in records.latest().values() if one.candidate}


def _evaluations(
    store: ArtefactStore, records: Records, params: RetentionParams, ages: Ages
) -> set[str]:
    kept = {one.evaluation_id for one in records.latest().values()}
    if store.exists(LATEST):
        kept.add(str(store.read_json(LATEST)["evaluation_id"]))
    _, looks = LookBook(store).read()
    kept |= {look.evaluation for taken in looks.values() for look in taken}
    for rows in records.histories().values():
        kept |= {row.evaluation for row in rows if isinstance(row, Promotion) and row.evaluation}
    names = {told[0].evaluation_id for told in records.evaluations() if told}
    age = {name: ages.of(f"evaluations/{name}/verdicts.json") for name in names}
    kept |= {name for name in names if age[name] <= timedelta(days=params.days)}
    judged = {
        name: str(store.read_json(key)["judged_at"]) if store.exists(key) else ""
        for name in names
        for key in (origin_key(name),)
    }
    ordered = sorted(names, key=lambda name: (judged[name], -age[name], name))
    return kept | set(ordered[-params.evaluations :])


def _keep_foundations(records: Records, params: RetentionParams, ages: Ages, kept: Kept) -> None:
    known = {one.version: one for one in records.foundations()}
    as_of = {one.snapshot_id: (one.last_session, one.as_of) for one in records.snapshots()}
    sources: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for one in known.values():
        age = ages.of(f"foundations/{one.version}/foundation.json")
        newness = (as_of.get(one.snapshot_id, ("", "")), -age, one.version)
        sources[one.source].append(newness)
        if age <= timedelta(days=params.days):
            kept.foundations.add(one.version)
    for of_source in sources.values():
        kept.foundations |= {str(one[-1]) for one in sorted(of_source)[-params.foundations :]}
    kept.foundations = (kept.foundations | in_use(ages, params.days)) & known.keys()
    kept.snapshots |= {known[name].snapshot_id for name in kept.foundations}


def _keep_snapshots(records: Records, params: RetentionParams, ages: Ages, kept: Kept) -> None:
    sources: dict[str, list[str]] = defaultdict(list)
    known = sorted(records.snapshots(), key=lambda one: (one.last_session, one.as_of))
    for one in known:
        sources[one.source].append(one.snapshot_id)
        if not ages.older(f"snapshots/{one.snapshot_id}/manifest.json", params.days):
            kept.snapshots.add(one.snapshot_id)
    for of_source in sources.values():
        kept.snapshots |= set(of_source[-params.snapshots :])
    kept.snapshots |= in_use(ages, params.days)
    kept.snapshots &= {one.snapshot_id for one in known}


def _served_from(
    store: ArtefactStore, records: Records, champions: Iterable[CandidateRecord]
) -> set[str]:
    """Of each way of making features that a champion reads, the newest snapshot made so."""
    newest: dict[tuple[Any, ...], str] = {}
    for one in sorted(records.snapshots(), key=lambda one: (one.last_session, one.as_of)):
        manifest = store.read_json(f"snapshots/{one.snapshot_id}/manifest.json")
        for ticker in one.tickers:
            newest[ticker, *_inputs(manifest.get, "sql_hash")] = one.snapshot_id
    wanted = set()
    for champion in champions:
        bundle = store.read_json(f"candidates/{champion.ticker}/{champion.version}/bundle.json")
        wanted.add((champion.ticker, *_inputs(bundle.get, "feature_sql_hash")))
    return {newest[inputs] for inputs in wanted if inputs in newest}


def _inputs(said: Callable[[str], Any], sql: str) -> tuple[Any, ...]:
    return said("source"), said(sql), said("z_window"), said("z_clip")


def _learnt_from(records: Records, champions: Iterable[CandidateRecord]) -> list[Batch]:
    ids = {one.snapshot_id for one in champions}
    snapshots = [one for one in records.snapshots() if one.snapshot_id in ids]
    return [
        batch
        for batch in records.batches()
        if batch.new_revisions and any(holds(snapshot, batch) for snapshot in snapshots)
    ]
