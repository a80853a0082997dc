"""What the artefact root keeps, to be compared between two places or two runs."""

from __future__ import annotations

import json
from typing import Any

from transfergate.settings import Settings
from transfergate.storage import open_store

MOMENTS = ("known_at", "as_of", "when", "seconds")


def kept_objects(settings: Settings, besides: tuple[str, ...] = ()) -> dict[str, bytes]:
    """All but the rendered pages; without moments, where it lies and by which run.

    Args:
        settings: Of the installation.
        besides: Ends of further names in JSON whose values are left out.
    """
    store = open_store(settings)
    keys = [key for key in store.keys("") if not key.startswith("data_docs/")]
    return {key: _timeless(key, store.read(key), (*MOMENTS, *besides)) for key in keys}


def _timeless(key: str, content: bytes, left_out: tuple[str, ...]) -> bytes:
    if key.endswith("/origin.json"):
        return b"when and by which run"
    if not key.endswith(".json"):
        return content
    return json.dumps(_without(json.loads(content), left_out), sort_keys=True).encode()


def _without(value: Any, left_out: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, left_out) for k, v in value.items() if not k.endswith(left_out)}
    return [_without(v, left_out) for v in value] if isinstance(value, list) else value
