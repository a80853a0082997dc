"""How every ticker and source stands now: champion, verdict, freshness. Reads records alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from transfergate.calendars import exchange_sessions
from transfergate.errors import SettingsError
from transfergate.registry.history import Promotion
from transfergate.registry.records import (
    Batch,
    CandidateRecord,
    Judgement,
    Records,
    SnapshotRecord,
    serving,
)
from transfergate.settings import Settings, SourceParams

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
        features_ahead: Whether that snapshot holds bars that no loaded batch on record has: the
            batches, or the warehouse with them, were restored from an earlier state.
        problem: Why it cannot be said whether bars are late; empty where it can.
    """

    source: str
    last: Batch
    bars_until: str | None
    sessions_late: int | None
    late: bool
    snapshot: SnapshotRecord | None
    features_lag: bool
    features_ahead: bool = False
    problem: str = ""


@dataclass(frozen=True)
class TickerStanding:
    """One ticker.

    Attributes:
        ticker: Its name.
        champion: The promotion that serves; None where flat serves.
        learnt_until: Last session that the champion learnt from, ISO.
        sessions_behind: Sessions of the newest snapshot after that; None where the champion has
            learnt from sessions that the snapshot does not reach.
        ahead: Whether it has.
        unsure: Whether the history is broken, so that nobody can say what serves.
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
    ahead: bool = False
    unsure: bool = False


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
    champions = {
        ticker: top
        for ticker, rows in histories.items()
        if ticker not in records.unsure and (top := serving(rows)) is not None
    }
    candidates = records.champions(champions.values())
    origin = {one.version: one.source for one in records.foundations()}
    days = {
        one.source: records.sessions(one.snapshot.snapshot_id)
        for one in sources.values()
        if one.snapshot
    }
    found = []
    for ticker in sorted({*records.tickers(), *judged, *histories}):
        candidate, judgement = candidates.get(ticker), judged.get(ticker)
        source = candidate.source if candidate else None
        if source is None and judgement is not None:
            source = origin.get(judgement.foundation_version)
        standing = _ticker(
            ticker,
            champions.get(ticker),
            candidate,
            judgement,
            sources.get(source or ""),
            days.get(source or "", ()),
            settings.schedules.old_model_sessions,
        )
        found.append(replace(standing, unsure=ticker in records.unsure))
    return found


def _source(
    source: str,
    loaded: list[Batch],
    snapshot: SnapshotRecord | None,
    settings: Settings,
    today: date,
) -> SourceStanding:
    until = max((batch.last_session for batch in loaded if batch.last_session), default=None)
    late, problem = None, ""
    try:
        late = _sessions_late(settings.sources.get(source), until, today)
    except SettingsError as error:
        problem = str(error).replace("<name>", source)
    changed = max((batch.known_at for batch in loaded if batch.new_revisions), default="")
    ahead = snapshot is not None and snapshot.last_session > (until or "")
    return SourceStanding(
        source=source,
        last=loaded[-1],
        bars_until=until,
        sessions_late=late,
        late=late is not None and late > settings.schedules.stale_after_sessions,
        snapshot=snapshot,
        features_lag=snapshot is None or snapshot.as_of < changed,
        features_ahead=ahead,
        problem=problem,
    )


def _ticker(
    ticker: str,
    champion: Promotion | None,
    candidate: CandidateRecord | None,
    judgement: Judgement | None,
    standing: SourceStanding | None,
    days: tuple[str, ...],
    old_model_sessions: int,
) -> TickerStanding:
    snapshot = standing.snapshot if standing else None
    ahead = bool(candidate and days and candidate.last_session > days[-1])
    behind = None
    if candidate and days and not ahead:
        behind = len(days) - bisect_right(days, candidate.last_session)
    return TickerStanding(
        ticker=ticker,
        champion=champion,
        learnt_until=candidate.last_session if candidate else None,
        sessions_behind=behind,
        old=behind is not None and behind > old_model_sessions,
        judgement=judgement,
        source=standing.source if standing else None,
        features_until=snapshot.last_session if snapshot else None,
        ahead=ahead,
    )


def _sessions_late(declared: SourceParams | None, until: str | None, today: date) -> int | None:
    if declared is None or until is None or declared.kind in CLOSED_RECORDS:
        return None
    after = date.fromisoformat(until) + timedelta(days=1)
    if after >= today:
        return 0
    return len(exchange_sessions(declared.calendar, after, today - timedelta(days=1)))
