"""What records of the artefact root say, as dataclasses: read from their JSON, and checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from transfergate.errors import RegistryError
from transfergate.registry.broken import built


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


def batch_of(load: dict[str, Any], landing: tuple[str, ...]) -> Batch:
    """A batch from its ``batch.json`` and what ``landing_of`` found."""
    found = built(Batch, {**load, "landing": landing})
    _moment(found.known_at, "known_at")
    for name in ("first_session", "last_session"):
        _day(getattr(found, name), name)
    return found


def plain(content: Any) -> dict[str, Any]:
    """An object's fields as they are."""
    if not isinstance(content, dict):
        raise TypeError(f"expected an object, found {type(content).__name__}")
    return content


def landing_of(content: dict[str, Any]) -> tuple[str, ...]:
    """Keys of the files as received, of a ``validation.json``."""
    found = tuple(content["landing"])
    for key in found:
        if not isinstance(key, str) or key.count("/") < 2:
            raise RegistryError(f"its landing file {key!r} is no key such as landing/source/hash")
    return found


def sessions_of(content: dict[str, Any]) -> tuple[str, ...]:
    """Sessions of a snapshot's manifest."""
    found = tuple(content["sessions"])
    if not found or not all(isinstance(day, str) for day in found):
        raise RegistryError("its sessions are no list of dates")
    _day(found[0], "sessions")
    _day(found[-1], "sessions")
    return found


def snapshot_of(content: dict[str, Any]) -> SnapshotRecord:
    """A snapshot from its manifest."""
    sessions = sessions_of(content)
    told = {
        **content,
        "snapshot_id": content["id"],
        "tickers": tuple(content["tickers"]),
        "first_session": sessions[0],
        "last_session": sessions[-1],
        "n_features": len(content["features"]),
    }
    found = built(SnapshotRecord, told)
    _moment(found.as_of, "as_of")
    return found


def foundation_of(content: dict[str, Any]) -> FoundationRecord:
    """A foundation version from its manifest."""
    told: dict[str, Any] = {name: tuple(content[name]) for name in ("sources", "targets")}
    told["n_checkpoints"] = len(content["checkpoints"])
    return built(FoundationRecord, {**content, **told})


def candidate_of(content: dict[str, Any]) -> CandidateRecord:
    """A candidate from its bundle."""
    return built(CandidateRecord, {**content, "n_seeds": content["run"]["n_seeds"]})


def judgements_of(content: dict[str, Any]) -> dict[str, Judgement]:
    """What an evaluation said, by ticker."""
    name, foundation = content["evaluation_id"], content["foundation_version"]
    return {
        ticker: _judgement(name, foundation, ticker, report)
        for ticker, report in content["tickers"].items()
    }


def pointer_of(content: dict[str, Any]) -> str:
    """The evaluation that a pointer names."""
    name = content["evaluation_id"]
    if not isinstance(name, str) or not name or "/" in name:
        raise RegistryError(f"it names {name!r}, expected an evaluation's id")
    return name


def origin_key(evaluation_id: str) -> str:
    """Object that says whence an evaluation came."""
    return f"evaluations/{evaluation_id}/origin.json"


def origin_of(content: Any) -> dict[str, Any]:
    """When, by which DAG run and where in MLflow, of an ``origin.json``.

    Raises:
        RegistryError: If a field is not what it should be.
    """
    if not isinstance(content, dict):
        raise RegistryError("it is no object")
    for name in ("judged_at", "dag_id", "run_id"):
        if not isinstance(content.get(name), str | None):
            raise RegistryError(f"its field {name!r} is {content[name]!r}, expected text")
    when = content.get("judged_at")
    if when is not None and datetime.fromisoformat(when).tzinfo is None:
        raise RegistryError(f"its time {when!r} has no offset")
    if not isinstance(content.get("mlflow") or {}, dict):
        raise RegistryError("its field 'mlflow' is no object")
    return content


def _judgement(name: str, foundation: str, ticker: str, report: dict[str, Any]) -> Judgement:
    looks = report.get("looks") or {}
    control = (report.get("control") or {}).values()
    told = {
        "evaluation_id": name,
        "foundation_version": foundation,
        "ticker": ticker,
        "missing_sessions": report.get("missing_sessions") or 0,
        "weak_control": any(item and item.get("weak") for item in control),
        "reason": str((report["reasons"] or [""])[0]),
        "look_number": looks.get("number"),
        "look_state": looks.get("state"),
        "next_look_sessions": looks.get("next_admissible_sessions"),
        "next_look_date": looks.get("next_admissible_date"),
    }
    own = {field.name for field in fields(Judgement)} - told.keys()
    return built(Judgement, {**{key: report[key] for key in own}, **told})


def _moment(value: str, name: str) -> None:
    try:
        aware = datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise RegistryError(f"its field {name!r} is {value!r}, expected an ISO time with offset")


def _day(value: str | None, name: str) -> None:
    try:
        if value:
            date.fromisoformat(value)
    except ValueError:
        raise RegistryError(f"its field {name!r} is {value!r}, expected an ISO date") from None
