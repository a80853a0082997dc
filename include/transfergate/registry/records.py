"""What was made, and from what: batches, snapshots, foundations, candidates, verdicts, champions.

Read from the JSON records of the artefact root alone. Records that never change are read once by a
process, so that pages of hundreds of tickers stay fast.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from transfergate.registry.history import ChampionRow, Promotion, row_of, stack_of
from transfergate.storage import ArtefactStore
from transfergate.storage.recall import Recall


@dataclass(frozen=True)
class Batch:
    """One loaded batch of bars; dates are ISO, ``landing`` are keys of the files as received."""

    batch_id: str
    source: str
    known_at: str
    received: int
    loaded: int
    new_revisions: int
    quarantined: int
    tickers: int
    first_session: str | None
    last_session: str | None
    landing: tuple[str, ...]


@dataclass(frozen=True)
class SnapshotRecord:
    """One published feature snapshot; it holds what was known at ``as_of``."""

    snapshot_id: str
    source: str
    as_of: str
    tickers: tuple[str, ...]
    first_session: str
    last_session: str
    n_features: int
    sql_hash: str


@dataclass(frozen=True)
class FoundationRecord:
    """One foundation version."""

    version: str
    snapshot_id: str
    source: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    n_checkpoints: int
    code_version: str
    weights_sha256: str


@dataclass(frozen=True)
class CandidateRecord:
    """One candidate; ``last_session`` is the last it learnt from."""

    ticker: str
    version: str
    snapshot_id: str
    foundation_version: str
    recipe: str
    source: str
    last_session: str
    n_seeds: int
    flat: bool
    code_version: str
    weights_sha256: str


@dataclass(frozen=True)
class Judgement:
    """What an evaluation said of one ticker, for lists; the report has the rest."""

    evaluation_id: str
    foundation_version: str
    ticker: str
    verdict: str
    candidate: str | None
    delta_sharpe: float | None
    se: float | None
    n_sessions: int
    missing_sessions: int
    last_session: str | None
    weak_control: bool
    reason: str
    look_number: int | None
    look_state: str | None
    next_look_sessions: int | None
    next_look_date: str | None


class Records:
    """The records of one artefact root."""

    def __init__(self, store: ArtefactStore) -> None:
        self.store = store
        self._recall = Recall(store)

    def batches(self) -> list[Batch]:
        """Loaded batches, oldest first."""
        keys = [key for key in self.store.keys("batches") if key.endswith("/batch.json")]
        found = [self._batch(key) for key in keys]
        return sorted(found, key=lambda batch: (batch.known_at, batch.batch_id))

    def batch(self, batch_id: str) -> Batch | None:
        """One loaded batch, or None."""
        key = f"batches/{batch_id}/batch.json"
        return self._batch(key) if self.store.exists(key) else None

    def snapshots(self) -> list[SnapshotRecord]:
        """Published snapshots, oldest first."""
        keys = [key for key in self.store.keys("snapshots") if key.endswith("/manifest.json")]
        found = [self._recall.pick(key, _snapshot) for key in keys]
        return sorted(found, key=lambda one: (one.as_of, one.snapshot_id))

    def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        """One snapshot, or None."""
        key = f"snapshots/{snapshot_id}/manifest.json"
        return self._recall.pick(key, _snapshot) if self.store.exists(key) else None

    def sessions(self, snapshot_id: str) -> tuple[str, ...]:
        """Sessions of a snapshot's calendar, ISO dates, oldest first."""
        return self._recall.pick(f"snapshots/{snapshot_id}/manifest.json", _sessions)

    def foundations(self) -> list[FoundationRecord]:
        """Foundation versions, by version."""
        keys = [key for key in self.store.keys("foundations") if key.endswith("/foundation.json")]
        return [self._recall.pick(key, _foundation) for key in keys]

    def foundation(self, version: str) -> FoundationRecord | None:
        """One foundation version, or None."""
        key = f"foundations/{version}/foundation.json"
        return self._recall.pick(key, _foundation) if self.store.exists(key) else None

    def candidates(self) -> list[CandidateRecord]:
        """Candidates of all tickers, by ticker and version."""
        keys = [key for key in self.store.keys("candidates") if key.endswith("/bundle.json")]
        return [self._recall.pick(key, _candidate) for key in keys]

    def candidate(self, ticker: str, version: str) -> CandidateRecord | None:
        """One candidate, or None."""
        key = f"candidates/{ticker}/{version}/bundle.json"
        return self._recall.pick(key, _candidate) if self.store.exists(key) else None

    def evaluations(self) -> list[tuple[Judgement, ...]]:
        """What each evaluation said of its tickers, by the evaluation's id."""
        keys = [key for key in self.store.keys("evaluations") if key.endswith("/verdicts.json")]
        return [tuple(self._recall.pick(key, _judgements).values()) for key in keys]

    def evaluation(self, evaluation_id: str) -> dict[str, Judgement]:
        """What one evaluation said, by ticker; nothing if there is none of this id."""
        key = f"evaluations/{evaluation_id}/verdicts.json"
        return self._recall.pick(key, _judgements) if self.store.exists(key) else {}

    def latest(self) -> dict[str, Judgement]:
        """Of each ticker what the evaluation said that judged it last."""
        found = {}
        prefix = "evaluations/latest/"
        for key in self.store.keys(prefix.rstrip("/")):
            ticker = key.removeprefix(prefix).removesuffix(".json")
            judgement = self._judged(key, ticker)
            if judgement is not None:
                found[ticker] = judgement
        return found

    def latest_of(self, ticker: str) -> Judgement | None:
        """What the evaluation said of one ticker that judged it last, or None."""
        key = f"evaluations/latest/{ticker}.json"
        return self._judged(key, ticker) if self.store.exists(key) else None

    def histories(self) -> dict[str, list[ChampionRow]]:
        """Every ticker's promotions, refreshes and rollbacks, oldest first."""
        found: dict[str, list[ChampionRow]] = {}
        for key in self.store.keys("champions"):
            if key.count("/") == 2 and key.endswith(".json"):
                found.setdefault(key.split("/")[1], []).append(self._recall.pick(key, row_of))
        return found

    def history(self, ticker: str) -> list[ChampionRow]:
        """One ticker's history, oldest first."""
        keys = self.store.keys(f"champions/{ticker}")
        return [self._recall.pick(key, row_of) for key in keys if key.endswith(".json")]

    def _judged(self, key: str, ticker: str) -> Judgement | None:
        name = self.store.read_json(key)["evaluation_id"]
        told = self._recall.pick(f"evaluations/{name}/verdicts.json", _judgements)
        return told.get(ticker)

    def _batch(self, key: str) -> Batch:
        told = self._recall.pick(key, _plain)
        judged = self._recall.pick(key.replace("/batch.json", "/validation.json"), _landing)
        names = Batch.__dataclass_fields__.keys() - {"landing"}
        return Batch(**{name: told[name] for name in names}, landing=judged)


def serving(rows: Iterable[ChampionRow]) -> Promotion | None:
    """The promotion that serves after a history, or None where flat serves."""
    stack = stack_of(list(rows))
    return stack[-1] if stack else None


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return content


def _landing(content: dict[str, Any]) -> tuple[str, ...]:
    return tuple(content["landing"])


def _sessions(content: dict[str, Any]) -> tuple[str, ...]:
    return tuple(content["sessions"])


def _snapshot(content: dict[str, Any]) -> SnapshotRecord:
    return SnapshotRecord(
        snapshot_id=content["id"],
        source=content["source"],
        as_of=content["as_of"],
        tickers=tuple(content["tickers"]),
        first_session=content["sessions"][0],
        last_session=content["sessions"][-1],
        n_features=len(content["features"]),
        sql_hash=content["sql_hash"],
    )


def _foundation(content: dict[str, Any]) -> FoundationRecord:
    return FoundationRecord(
        version=content["version"],
        snapshot_id=content["snapshot_id"],
        source=content["source"],
        sources=tuple(content["sources"]),
        targets=tuple(content["targets"]),
        n_checkpoints=len(content["checkpoints"]),
        code_version=content["code_version"],
        weights_sha256=content["weights_sha256"],
    )


def _candidate(content: dict[str, Any]) -> CandidateRecord:
    names = CandidateRecord.__dataclass_fields__.keys() - {"n_seeds"}
    return CandidateRecord(
        **{name: content[name] for name in names}, n_seeds=content["run"]["n_seeds"]
    )


def _judgements(content: dict[str, Any]) -> dict[str, Judgement]:
    name, foundation = content["evaluation_id"], content["foundation_version"]
    return {
        ticker: _judgement(name, foundation, ticker, report)
        for ticker, report in content["tickers"].items()
    }


def _judgement(name: str, foundation: str, ticker: str, report: dict[str, Any]) -> Judgement:
    looks = report.get("looks") or {}
    control = (report.get("control") or {}).values()
    return Judgement(
        evaluation_id=name,
        foundation_version=foundation,
        ticker=ticker,
        verdict=report["verdict"],
        candidate=report["candidate"],
        delta_sharpe=report["delta_sharpe"],
        se=report["se"],
        n_sessions=report["n_sessions"],
        missing_sessions=report.get("missing_sessions") or 0,
        last_session=report["last_session"],
        weak_control=any(item and item.get("weak") for item in control),
        reason=str((report["reasons"] or [""])[0]),
        look_number=looks.get("number"),
        look_state=looks.get("state"),
        next_look_sessions=looks.get("next_admissible_sessions"),
        next_look_date=looks.get("next_admissible_date"),
    )
