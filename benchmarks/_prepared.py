"""Bars, features and a foundation below a home, made once for all runs of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from transfergate.settings import Settings


def prepared(home: Path, pretrain: Callable[[Settings, str], str]) -> str:
    """Version of the foundation below a home; bars, features and it are made if they are not there.

    Args:
        home: Of the settings that stand in the environment.
        pretrain: From settings and a snapshot's id to the version.
    """
    done = home / "prepared.json"
    if done.exists():
        return str(json.loads(done.read_text()))
    from transfergate import settings as settings_module
    from transfergate import steps
    from transfergate.steps import chain

    settings = settings_module.load()
    bars = chain.ingest_all(settings, source="synthetic")
    version = pretrain(settings, steps.build_features(settings, bars["source"])["snapshot_id"])
    done.write_text(json.dumps(version))
    return version
