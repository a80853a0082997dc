"""Evaluations as they are kept: the latest one, and the latest of each ticker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from transfergate.errors import RegistryError
from transfergate.evaluation.lookbook import LookBook
from transfergate.evaluation.looks import Look
from transfergate.storage import ArtefactStore, json_bytes

LATEST = "evaluations/latest.json"


def read_evaluation(store: ArtefactStore, evaluation_id: str | None) -> dict[str, Any]:
    """One evaluation; None for the latest.

    Raises:
        RegistryError: If there is none of this id.
    """
    if evaluation_id is None and store.exists(LATEST):
        evaluation_id = store.read_json(LATEST)["evaluation_id"]
    key = f"evaluations/{evaluation_id}/verdicts.json"
    if evaluation_id is None or not store.exists(key):
        raise RegistryError(
            f"evaluation {evaluation_id!r} does not exist below {store.location()}; there are: "
            f"{', '.join(evaluation_ids(store)) or 'none'}; name one of these, or fine-tune and "
            f"judge first"
        )
    evaluation: dict[str, Any] = store.read_json(key)
    return evaluation


def evaluation_ids(store: ArtefactStore) -> list[str]:
    """All evaluations, sorted by id."""
    keys = [key for key in store.keys("evaluations") if key.endswith("/verdicts.json")]
    return sorted(key.split("/")[1] for key in keys)


def point_to(store: ArtefactStore, evaluation_id: str, tickers: Iterable[str]) -> None:
    """Make an evaluation the latest one, and that of its tickers; others keep theirs."""
    content = json_bytes({"evaluation_id": evaluation_id})
    for ticker in tickers:
        store.replace(f"evaluations/latest/{ticker}.json", content)
    store.replace(LATEST, content)


def latest_reports(
    store: ArtefactStore, note: Callable[[str, Exception], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Each ticker's report in the evaluation that judged it last, with ``evaluation_id``.

    Args:
        store: The artefact root.
        note: Told which records cannot be used, and why; without it they are an error.
    """
    reports: dict[str, dict[str, Any]] = {}
    evaluations: dict[str, dict[str, Any]] = {}
    for key in store.keys("evaluations/latest"):
        ticker = key.removeprefix("evaluations/latest/").removesuffix(".json")
        about = key
        try:
            name = store.read_json(key)["evaluation_id"]
            about = f"evaluations/{name}/verdicts.json"
            if name not in evaluations:
                evaluations[name] = read_evaluation(store, name)
            reports[ticker] = {**evaluations[name]["tickers"][ticker], "evaluation_id": name}
        except (RegistryError, LookupError, TypeError, ValueError) as error:
            if note is None:
                raise
            note(about, error)
    return reports


def overtaken(looks: Sequence[Look], version: str) -> Look | None:
    """The last look at a candidate's recipe, if it was at another candidate and no PROMOTE.

    Args:
        looks: All at the candidate's ticker, oldest first.
        version: The candidate.
    """
    own = [look for look in looks if look.candidate == version]
    if not own:
        return None
    last = [look for look in looks if look.recipe == own[-1].recipe][-1]
    return None if last.candidate == version or last.verdict == "PROMOTE" else last


def verdict_on(store: ArtefactStore, ticker: str, version: str) -> str | None:
    """What the gate said of one candidate; None if it was never judged.

    A verdict that was only repeated belongs to another candidate. Where there are several, that
    of a look counts, and of looks the last.
    """
    _, looks = LookBook(store).read()
    own = [look.verdict for look in looks.get(ticker, []) if look.candidate == version]
    if own:
        return own[-1]
    for name in evaluation_ids(store):
        report = read_evaluation(store, name)["tickers"].get(ticker, {})
        state = (report.get("looks") or {}).get("state")
        if report.get("candidate") == version and state != "repeated":
            return str(report["verdict"])
    return None
