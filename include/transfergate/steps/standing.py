"""How every ticker and source stands now: champion, verdict, freshness. Reads records alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from transfergate.calendars import exchange_sessions
from transfergate.registry.history import Promotion
from transfergate.registry.records import (
    Batch,
    CandidateRecord,
    Judgement,
    Records,
    SnapshotRecord,
    serving,
)
from transfergate.settings import Settings

CLOSED_RECORDS = ("sample", "synthetic")
"""Kinds of sources whose bars end where they end: they cannot be late."""


@dataclass(frozen=True)
class SourceStanding:
    """One source of bars.

    Attributes:
        source: Its name.
        last: The batch that was loaded last.
        bars_until: Last session of its bars, ISO.
        sessions_late: Sessions of its exchange that are over since; None for a record that is
            closed, or whose kind is not known any more.
        late: Whether that is more than the settings allow.
        snapshot: The newest feature snapshot.
        features_lag: Whether bars were loaded that no snapshot holds yet.
    """

    source: str
    last: Batch
    bars_until: str | None
    sessions_late: int | None
    late: bool
    snapshot: SnapshotRecord | None
    features_lag: bool


@dataclass(frozen=True)
class TickerStanding:
    """One ticker.

    Attributes:
        ticker: Its name.
        champion: The promotion that serves; None where flat serves.
        learnt_until: Last session that the champion learnt from, ISO.
        sessions_behind: Sessions of the newest snapshot after that.
        old: Whether that is more than the settings allow.
        judgement: What the evaluation said that judged it last; None before the first.
        source: Of the champion, or of the foundation that was judged last.
        features_until: Last session of the newest snapshot of that source.
    """

    ticker: str
    champion: Promotion | None
    learnt_until: str | None
    sessions_behind: int | None
    old: bool
    judgement: Judgement | None
    source: str | None
    features_until: str | None


def source_standings(
    records: Records, settings: Settings, today: date
) -> dict[str, SourceStanding]:
    """Every source that bars were loaded from, by name."""
    batches: dict[str, list[Batch]] = {}
    for batch in records.batches():
        batches.setdefault(batch.source, []).append(batch)
    newest = {one.source: one for one in records.snapshots()}
    return {
        source: _source(source, loaded, newest.get(source), settings, today)
        for source, loaded in sorted(batches.items())
    }


def ticker_standings(
    records: Records, settings: Settings, sources: Mapping[str, SourceStanding]
) -> list[TickerStanding]:
    """Every ticker that has a candidate, a verdict or a history, by name.

    Args:
        records: The records.
        settings: Settings.
        sources: What ``source_standings`` gave.
    """
    judged = records.latest()
    histories = records.histories()
    candidates = {(one.ticker, one.version): one for one in records.candidates()}
    origin = {one.version: one.source for one in records.foundations()}
    known = {ticker for ticker, _ in candidates} | judged.keys() | histories.keys()
    found = []
    for ticker in sorted(known):
        champion = serving(histories.get(ticker, []))
        candidate = candidates.get((ticker, champion.version)) if champion else None
        judgement = judged.get(ticker)
        source = candidate.source if candidate else None
        if source is None and judgement is not None:
            source = origin.get(judgement.foundation_version)
        standing = sources.get(source or "")
        found.append(_ticker(records, settings, standing, ticker, champion, candidate, judgement))
    return found


def _source(
    source: str,
    loaded: list[Batch],
    snapshot: SnapshotRecord | None,
    settings: Settings,
    today: date,
) -> SourceStanding:
    until = max((batch.last_session for batch in loaded if batch.last_session), default=None)
    declared = settings.sources.get(source)
    late = None
    if until and declared is not None and declared.kind not in CLOSED_RECORDS:
        late = _sessions_since(declared.calendar, until, today)
    changed = max((batch.known_at for batch in loaded if batch.new_revisions), default="")
    return SourceStanding(
        source=source,
        last=loaded[-1],
        bars_until=until,
        sessions_late=late,
        late=late is not None and late > settings.schedules.stale_after_sessions,
        snapshot=snapshot,
        features_lag=snapshot is None or snapshot.as_of < changed,
    )


def _ticker(
    records: Records,
    settings: Settings,
    standing: SourceStanding | None,
    ticker: str,
    champion: Promotion | None,
    candidate: CandidateRecord | None,
    judgement: Judgement | None,
) -> TickerStanding:
    snapshot = standing.snapshot if standing else None
    behind = None
    if candidate and snapshot:
        days = records.sessions(snapshot.snapshot_id)
        behind = len(days) - bisect_right(days, candidate.last_session)
    return TickerStanding(
        ticker=ticker,
        champion=champion,
        learnt_until=candidate.last_session if candidate else None,
        sessions_behind=behind,
        old=behind is not None and behind > settings.schedules.old_model_sessions,
        judgement=judgement,
        source=standing.source if standing else None,
        features_until=snapshot.last_session if snapshot else None,
    )


def _sessions_since(calendar: str, last: str, today: date) -> int:
    after = date.fromisoformat(last) + timedelta(days=1)
    return (
        len(exchange_sessions(calendar, after, today - timedelta(days=1))) if after < today else 0
    )
