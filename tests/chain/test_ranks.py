"""Pre-training by two processes under torchrun: the foundation of one, to the byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from transfergate import steps
from transfergate.settings import NetworkParams, Settings


def test_two_processes_publish_the_foundation_of_one(
    tiny_settings: Callable[..., Settings], bars: pd.DataFrame
) -> None:
    network = NetworkParams(encoder="gru", encoder_units=8, head_units=8)
    settings = tiny_settings("ranks", bars, network=network)
    plan = steps.plan_ingest(settings)
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    snapshot: dict[str, Any] = steps.build_features(settings, plan["source"])
    found = []
    for processes in (1, 2):
        own = settings.model_copy(update={"torch_processes": processes})
        version = steps.pretrain_foundation(own, snapshot["snapshot_id"])
        folder = settings.artefact_root / "foundations" / version
        found.append({p.name: p.read_bytes() for p in sorted(folder.iterdir())})
        folder.rename(settings.home / f"by-{processes}")
    assert found[0].keys() == {"foundation.json", "weights.safetensors"}
    assert found[1] == found[0]
