"""A source's settings together with what its data folder says of itself."""

from __future__ import annotations

from datetime import date
from typing import Any

from transfergate.errors import SourceError
from transfergate.settings import Settings, SourceParams
from transfergate.sources.description import described, read_description
from transfergate.storage import json_bytes, open_store


def source_params(settings: Settings, plan: dict[str, Any]) -> SourceParams:
    """Settings of the source of one ingest, as they were when it was planned.

    Args:
        settings: Settings.
        plan: With ``source``, ``data`` and ``description``, as ``plan_ingest`` returns it.
    """
    params = _at(settings.source(plan["source"]), plan.get("data"))
    return described(params, plan.get("description") or {})


def iso_date(name: str, value: str | None) -> date | None:
    """A date that was asked for; None where none was.

    Raises:
        SourceError: If it is no ISO date.
    """
    try:
        return date.fromisoformat(value) if value else None
    except ValueError as error:
        raise SourceError(
            f"{name} {value!r} is no date, expected ISO such as 2018-02-07: correct it"
        ) from error


def describe(settings: Settings, source: str, data: str | None) -> dict[str, Any]:
    """What the data folder says, kept beside the artefacts for the planes that never see it."""
    found = read_description(_at(settings.source(source), data))
    key = _key(source)
    store = open_store(settings)
    if found or store.exists(key):
        store.replace(key, json_bytes(found))
    return found


def last_described(settings: Settings, source: str) -> SourceParams:
    """Settings of a source over what its folder said at the last ingest."""
    store = open_store(settings)
    known = store.read_json(_key(source)) if store.exists(_key(source)) else {}
    return described(settings.source(source), known)


def _key(source: str) -> str:
    return f"sources/{source}/description.json"


def _at(params: SourceParams, data: str | None) -> SourceParams:
    return params.model_copy(update={"root": data}) if data else params
