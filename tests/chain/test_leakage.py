"""Change every bar after a cut: nothing that was known before it may differ by a bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transfergate.evaluation.ledger import Ledger
from transfergate.settings import Settings
from transfergate.storage import ArtefactStore, open_snapshot
from transfergate.transfer.bundles import read_weights

MakeSettings = Callable[..., Settings]
RunChain = Callable[[Settings], dict[str, Any]]


def _shock_after(bars: pd.DataFrame, cut: str) -> pd.DataFrame:
    """Other prices and volumes after the cut, on the same dates."""
    shocked = bars.copy()
    later = shocked["session_date"] > cut
    rng = np.random.default_rng(11)
    factor = np.exp(rng.normal(0.0, 0.1, int(later.sum())))
    for column in ("open", "high", "low", "close"):
        shocked.loc[later, column] *= factor
    shocked.loc[later, "volume"] *= 3.0
    return shocked


@pytest.fixture(scope="module")
def cut() -> str:
    # inside the last test block of the tiny walk-forward: two folds end before it
    return "2011-08-12"


@pytest.fixture
def twins(
    bars: pd.DataFrame, cut: str, tiny_settings: MakeSettings, run_chain: RunChain
) -> list[tuple[ArtefactStore, dict[str, Any]]]:
    made = []
    for name, frame in (("calm", bars), ("shocked", _shock_after(bars, cut))):
        settings = tiny_settings(name, frame)
        made.append((ArtefactStore(settings.artefact_root), run_chain(settings)))
    return made


def test_nothing_known_before_the_cut_depends_on_bars_after_it(
    twins: list[tuple[ArtefactStore, dict[str, Any]]], cut: str
) -> None:
    (calm, one), (shocked, two) = twins
    assert one["features"]["snapshot_id"] != two["features"]["snapshot_id"]
    _features_agree(calm, one, shocked, two, cut)
    assert _foundations_agree(calm, one, shocked, two, cut) >= 1
    assert _scored_folds_agree(calm, one, shocked, two, cut) >= 1


def _features_agree(
    calm: ArtefactStore, one: dict[str, Any], shocked: ArtefactStore, two: dict[str, Any], cut: str
) -> None:
    left = open_snapshot(calm, one["features"]["snapshot_id"])
    right = open_snapshot(shocked, two["features"]["snapshot_id"])
    for ticker in left.manifest["tickers"]:
        a, b = (s.table(ticker).to_pandas().set_index("session_date") for s in (left, right))
        a.index, b.index = pd.to_datetime(a.index), pd.to_datetime(b.index)
        pd.testing.assert_frame_equal(a.loc[:cut], b.loc[:cut], check_exact=True)
        assert not a.loc[cut:].equals(b.loc[cut:])


def _foundations_agree(
    calm: ArtefactStore, one: dict[str, Any], shocked: ArtefactStore, two: dict[str, Any], cut: str
) -> int:
    compared = 0
    manifests, weights = [], []
    for store, run in ((calm, one), (shocked, two)):
        version = run["foundation"]["foundation_version"]
        manifests.append(store.read_json(f"foundations/{version}/foundation.json"))
        weights.append(read_weights(store, f"foundations/{version}/weights.safetensors"))
    for number, (a, b) in enumerate(
        zip(manifests[0]["checkpoints"], manifests[1]["checkpoints"], strict=True)
    ):
        if a["last_session"] <= cut:
            assert a == b
            assert all(
                weights[0][name][number].equal(weights[1][name][number]) for name in weights[0]
            )
            compared += 1
    return compared


def _scored_folds_agree(
    calm: ArtefactStore, one: dict[str, Any], shocked: ArtefactStore, two: dict[str, Any], cut: str
) -> int:
    compared = 0
    left, right = one["results"][0], two["results"][0]
    assert left["status"] == right["status"] == "trained", (left["reason"], right["reason"])
    assert left["recipe"] == right["recipe"]
    base = f"ledger/{left['recipe']}/TGT"
    for key in calm.keys(base):
        if not key.endswith("fold.json"):
            continue
        record = calm.read_json(key)
        if record["windows"]["test"][1] > cut:
            continue
        other = shocked.read_json(key)
        assert record["weights_sha256"] == other["weights_sha256"]
        assert record["arms"] == other["arms"]
        compared += 1
    rows = [Ledger(s).read(left["recipe"], "TGT").to_pandas() for s in (calm, shocked)]
    both = set(rows[0]["fold"]) & set(rows[1]["fold"])  # a quarantined shock keeps a fold waiting
    rows = [frame[frame["fold"].isin(both)].reset_index(drop=True) for frame in rows]
    dated = [frame[pd.to_datetime(frame["session_date"]) <= cut] for frame in rows]
    pd.testing.assert_frame_equal(dated[0], dated[1], check_exact=True)
    assert len(dated[0]) > 0
    return compared
