"""What pages read: the records of the artefact root, kept between requests."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from transfergate import settings
from transfergate.registry.records import Records
from transfergate.settings import Settings
from transfergate.storage import open_store
from transfergate.storage.recall import Recall

log = logging.getLogger(__name__)

_KEPT: dict[str, Recall] = {}
_PATIENCE = timedelta(seconds=5)  # who looks at a page hears soon that the store is away


def current() -> tuple[Settings, Records]:
    """Settings, and the records of the artefact root that they name, as this request sees them."""
    loaded = settings.load()
    name = loaded.model_dump_json(include={"home", "artefacts"})
    if name not in _KEPT:
        _KEPT[name] = Recall(open_store(loaded, _PATIENCE))
    recall = _KEPT[name]
    return loaded, Records(recall.store, recall)


def shown(records: Records, key: str, make: Callable[[], str]) -> str | None:
    """A page about one record; None where the record lacks what the page shows, which is noted."""
    try:
        return make()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        log.exception("%s cannot be shown", key)
        records.note(key, error)
        return None
