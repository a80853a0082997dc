"""What pages read: the records of the artefact root, kept between requests."""

from __future__ import annotations

from transfergate import settings
from transfergate.registry.records import Records
from transfergate.settings import Settings
from transfergate.storage import open_store

_KEPT: dict[str, Records] = {}


def current() -> tuple[Settings, Records]:
    """Settings, and the records of the artefact root that they name."""
    loaded = settings.load()
    name = loaded.model_dump_json(include={"home", "artefacts"})
    if name not in _KEPT:
        _KEPT[name] = Records(open_store(loaded))
    return loaded, _KEPT[name]
