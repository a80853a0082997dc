"""Lineage in both directions: from a version back to its bars, from a batch on to champions.

A snapshot holds the loads of its source that were known when it was made; nothing else ties a load
to what was learnt from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transfergate.registry.history import ChampionRow, Promotion
from transfergate.registry.records import (
    Batch,
    CandidateRecord,
    FoundationRecord,
    Judgement,
    Records,
    SnapshotRecord,
    serving,
)


@dataclass(frozen=True)
class Ancestry:
    """What one candidate came from; None where a record is not there any more.

    Attributes:
        candidate: The candidate.
        promotion: The last row of the history that made it the champion, if any.
        judgement: What the evaluation behind that row, or else the last one, said of it.
        foundation: The family it was fine-tuned from.
        snapshot: The features that both were trained on.
        batches: Loads that the snapshot holds, newest first.
    """

    candidate: CandidateRecord
    promotion: Promotion | None
    judgement: Judgement | None
    foundation: FoundationRecord | None
    snapshot: SnapshotRecord | None
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class Descent:
    """What became of one batch, newest first.

    Attributes:
        batch: The batch.
        snapshots: Snapshots that hold it.
        foundations: Foundations trained on these.
        judgements: What evaluations of these foundations said.
        candidates: Candidates trained on these snapshots.
        champions: Of each ticker the promotion that serves, where it is one of these candidates.
        former: Promotions of these candidates that serve no longer.
    """

    batch: Batch
    snapshots: tuple[SnapshotRecord, ...]
    foundations: tuple[FoundationRecord, ...]
    judgements: tuple[Judgement, ...]
    candidates: tuple[CandidateRecord, ...]
    champions: tuple[Promotion, ...]
    former: tuple[Promotion, ...]


def ancestry(records: Records, ticker: str, version: str) -> Ancestry | None:
    """Where a candidate came from, or None if there is no such candidate."""
    candidate = records.candidate(ticker, version)
    if candidate is None:
        return None
    rows = [row for row in records.history(ticker) if isinstance(row, Promotion)]
    promotions = [row for row in rows if row.version == version]
    snapshot = records.snapshot(candidate.snapshot_id)
    held = [batch for batch in records.batches() if snapshot and holds(snapshot, batch)]
    return Ancestry(
        candidate=candidate,
        promotion=promotions[-1] if promotions else None,
        judgement=_judgement_of(records, candidate, promotions),
        foundation=records.foundation(candidate.foundation_version),
        snapshot=snapshot,
        batches=tuple(reversed(held)),
    )


def descent(records: Records, batch_id: str) -> Descent | None:
    """What was made of a batch, or None if no such batch was loaded."""
    batch = records.batch(batch_id)
    if batch is None:
        return None
    snapshots = [one for one in reversed(records.snapshots()) if holds(one, batch)]
    ids = {one.snapshot_id for one in snapshots}
    foundations = [one for one in records.foundations() if one.snapshot_id in ids]
    versions = {one.version for one in foundations}
    judged = [one for told in records.evaluations() for one in told]
    candidates = [one for one in records.candidates() if one.snapshot_id in ids]
    ours = {(one.ticker, one.version) for one in candidates}
    histories = records.histories()
    sure = [rows for ticker, rows in histories.items() if ticker not in records.unsure]
    champions = [row for row in map(serving, sure) if row is not None]
    return Descent(
        batch=batch,
        snapshots=tuple(snapshots),
        foundations=tuple(foundations),
        judgements=tuple(one for one in judged if one.foundation_version in versions),
        candidates=tuple(candidates),
        champions=tuple(row for row in champions if (row.ticker, row.version) in ours),
        former=tuple(_former(histories.values(), champions, ours)),
    )


def holds(snapshot: SnapshotRecord, batch: Batch) -> bool:
    """Whether a snapshot was made with a batch's bars: same source, known by then."""
    return batch.source == snapshot.source and batch.known_at <= snapshot.as_of


def _judgement_of(
    records: Records, candidate: CandidateRecord, promotions: list[Promotion]
) -> Judgement | None:
    named = [row.evaluation for row in reversed(promotions) if row.evaluation]
    by = f"the champion of {candidate.ticker}"
    told = [records.evaluation(name, by).get(candidate.ticker) for name in named]
    if not named:
        told = [one for group in records.evaluations() for one in group]
    for one in told:
        if one and (one.ticker, one.candidate) == (candidate.ticker, candidate.version):
            return one
    return None


def _former(
    histories: Iterable[list[ChampionRow]],
    champions: list[Promotion],
    ours: set[tuple[str, str]],
) -> list[Promotion]:
    current = {(row.ticker, row.version) for row in champions}
    found = {
        (row.ticker, row.version): row
        for rows in histories
        for row in rows
        if isinstance(row, Promotion)
    }
    return [row for name, row in found.items() if name in ours and name not in current]
