"""Steps that move champions: by verdict, by hand, and back; and what there is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from transfergate import metrics
from transfergate.errors import RegistryError
from transfergate.evaluation.lookbook import LookBook
from transfergate.evaluation.looks import Look
from transfergate.registry import Registry
from transfergate.registry.broken import broken_record
from transfergate.registry.facts import pointer_of
from transfergate.registry.history import stack_of
from transfergate.settings import Settings
from transfergate.steps.evaluations import (
    LATEST,
    evaluation_ids,
    latest_reports,
    overtaken,
    read_evaluation,
    verdict_on,
)
from transfergate.steps.refresh import is_retrain, reason_not_to_refresh, refresh_reason
from transfergate.storage import ArtefactStore, list_snapshots, open_store

log = logging.getLogger(__name__)


def promote_evaluated(settings: Settings, evaluation_id: str, approved_by: str) -> dict[str, Any]:
    """Promote the candidate of every ticker whose verdict is PROMOTE; the others keep theirs.

    A retrain that was not looked at is no promotion: it may refresh the champion, if that is on.
    Doing it again changes nothing; a promotion that was rolled back since is not repeated.

    Returns:
        ``{"promoted": [ticker, ...], "refreshed": [ticker, ...], "kept": {ticker: why}}``.

    Raises:
        RegistryError: If there is no such evaluation, or a champion is changed by somebody else
            at the same time.
    """
    registry = _registry(settings)
    evaluation = read_evaluation(registry.store, evaluation_id)
    registry.repair_aliases()
    _, looks = LookBook(registry.store).read()
    moved: dict[str, list[str]] = {"promote": [], "refresh": []}
    kept = {}
    for ticker, report in evaluation["tickers"].items():
        action: Literal["promote", "refresh"] = "refresh" if is_retrain(report) else "promote"
        own = looks.get(ticker, [])
        reason = reason_to_keep(settings, registry, ticker, report, evaluation_id, own)
        if reason is None:  # another run may have looked while those before it were moved
            _, looks = LookBook(registry.store).read()
            own = looks.get(ticker, [])
            reason = reason_to_keep(settings, registry, ticker, report, evaluation_id, own)
        if reason is not None:
            kept[ticker] = reason
            continue
        registry.promote(
            ticker,
            report["candidate"],
            who=approved_by,
            when=datetime.now(UTC),
            why=refresh_reason(report) if action == "refresh" else report["reasons"][0],
            evaluation=evaluation_id,
            action=action,
        )
        moved[action].append(ticker)
    metrics.counts({f"champions.{action}": len(who) for action, who in moved.items()})
    log.info("evaluation %s: moved %s, kept %s", evaluation_id, moved, kept)
    return {"promoted": moved["promote"], "refreshed": moved["refresh"], "kept": kept}


def reason_to_keep(
    settings: Settings,
    registry: Registry,
    ticker: str,
    report: dict[str, Any],
    evaluation_id: str,
    looks: Sequence[Look],
) -> str | None:
    """Why a ticker's champion stays after an evaluation, or None if the candidate replaces it.

    ``looks`` are all at this ticker, oldest first.
    """
    if is_retrain(report):
        return reason_not_to_refresh(settings, registry, ticker, report, looks)
    return _reason_not_to_promote(registry, ticker, report, evaluation_id, looks)


def promote(
    settings: Settings, ticker: str, version: str, who: str, why: str, *, force: bool = False
) -> dict[str, Any]:
    """Make a candidate the champion by hand; returns the row of its history.

    Args:
        settings: Settings.
        ticker: The ticker.
        version: A candidate.
        who: Who approves it.
        why: The reason, for the history.
        force: Promote it although the gate did not say PROMOTE; the history shows that.

    Raises:
        RegistryError: If there is no such candidate, it is the champion already, the gate did
            not say PROMOTE of it, or a later look at its recipe said otherwise, and ``force`` is
            off.
    """
    registry = _registry(settings)
    registry.bundle(ticker, version)
    verdict = verdict_on(registry.store, ticker, version)
    later = overtaken(LookBook(registry.store).read()[1].get(ticker, []), version)
    approved = verdict == "PROMOTE" and later is None
    if not approved and not force:
        said = f"was judged {verdict}" if verdict else "was never judged"
        if later is not None:
            said += f", and look {later.number} at its recipe said {later.verdict} since"
        raise RegistryError(
            f"{ticker}: candidate {version} {said}, expected PROMOTE; nothing was changed. To "
            f"promote it nevertheless give --force and --why, which the history will show"
        )
    row = registry.promote(ticker, version, who, datetime.now(UTC), why, forced=not approved)
    return row.as_dict()


def rollback(
    settings: Settings, ticker: str, who: str, why: str, *, champion: str | None = None
) -> dict[str, Any]:
    """Go back to the champion before the current one; returns the row of its history.

    Args:
        settings: Settings.
        ticker: The ticker.
        who: Who asks for it.
        why: The reason, for the history.
        champion: The version that is to go, where the caller knows it: asking twice then goes
            back once.

    Raises:
        RegistryError: If there is no champion, or another one than the named serves.
    """
    row = _registry(settings).rollback(ticker, who, datetime.now(UTC), why, champion=champion)
    metrics.count("champions.rollback", 1)
    return row.as_dict()


def status(settings: Settings) -> dict[str, Any]:
    """What there is: snapshots, foundations, evaluations, each ticker's candidates and champion.

    Returns:
        ``{"snapshots", "foundations", "evaluations", "latest_evaluation", "broken", "tickers":
        {ticker: {"champion", "candidates", "history", "promotions", "refreshes", "verdict",
        "evaluation", "looks", "known"}}}``; the last four but one are of the evaluation that
        judged the ticker last, and a champion of None means that flat serves, unless ``known`` is
        False: its history is broken. ``broken`` are records that cannot be used: ``key, where,
        problem, advice`` of each.
    """
    registry = _registry(settings)
    store = registry.store
    broken: dict[str, dict[str, str]] = {}

    def note(key: str, error: Exception) -> None:
        found = broken_record(key, store.location(key), error)
        broken.setdefault(key, found.as_dict())

    reports = latest_reports(store, note)
    tickers = {}
    for ticker in sorted({*registry.tickers(), *reports}):
        try:
            history, known = registry.history(ticker), True
        except RegistryError as error:
            history, known = [], False
            note(f"champions/{ticker}", error)
        stack = stack_of(history)
        report = reports.get(ticker, {})
        tickers[ticker] = {
            "champion": stack[-1].as_dict() if stack else None,
            "known": known,
            "candidates": registry.candidates(ticker),
            "history": [row.as_dict() for row in history],
            "promotions": sum(row.action == "promote" for row in history),
            "refreshes": sum(row.action == "refresh" for row in history),
            "verdict": report.get("verdict"),
            "evaluation": report.get("evaluation_id"),
            "looks": report.get("looks"),
        }
    return {
        "home": str(settings.home.resolve()),
        "snapshots": list(list_snapshots(store)),
        "foundations": _names(store, "foundations", "foundation.json"),
        "evaluations": evaluation_ids(store),
        "latest_evaluation": _latest(store, note),
        "broken": [broken[key] for key in sorted(broken)],
        "tickers": tickers,
    }


def _latest(store: ArtefactStore, note: Callable[[str, Exception], None]) -> str | None:
    if not store.exists(LATEST):
        return None
    try:
        return pointer_of(store.read_json(LATEST))
    except (RegistryError, LookupError, TypeError, ValueError) as error:
        note(LATEST, error)
        return None


def _reason_not_to_promote(
    registry: Registry,
    ticker: str,
    report: dict[str, Any],
    evaluation_id: str,
    looks: Sequence[Look],
) -> str | None:
    if report["verdict"] != "PROMOTE":
        return str(report["verdict"])
    if later := overtaken(looks, report["candidate"]):
        return (
            f"look {later.number} at its recipe, up to {later.last_session}, said {later.verdict} "
            f"since"
        )
    champion = registry.champion(ticker)
    current = champion.version if champion else None
    if current == report["candidate"]:
        return "already champion"
    for row in registry.history(ticker):
        if row.evaluation == evaluation_id and row.version == report["candidate"]:
            return "promoted by this evaluation before, and replaced or rolled back since"
    if current != report["incumbent"]:
        return (
            f"the champion changed to {current or 'none'} since it was judged: promote by hand, or "
            f"judge again at the next look"
        )
    if current is None:
        return None
    learnt = [
        str(registry.bundle(ticker, version).get("last_session", ""))
        for version in (report["candidate"], current)
    ]
    if learnt[0] < learnt[1]:
        return f"learnt up to {learnt[0]}, the champion {current} up to {learnt[1]}: it is newer"
    if report["guards"]["champion"] is None:
        return (
            f"the champion {current} has no record on these sessions to compare with; "
            f"promote by hand if it is to be replaced"
        )
    return None


def _registry(settings: Settings) -> Registry:
    return Registry(open_store(settings), settings.tracking_uri)


def _names(store: ArtefactStore, folder: str, file: str) -> list[str]:
    return sorted(key.split("/")[1] for key in store.keys(folder) if key.endswith(f"/{file}"))
