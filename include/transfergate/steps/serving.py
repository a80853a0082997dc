"""Step that serves a promoted model version: the next target position of a ticker."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from transfergate.errors import NotEnoughData, RegistryError, SnapshotError
from transfergate.learning import next_targets
from transfergate.learning.runtime import use_threads
from transfergate.market.panel import Panel
from transfergate.registry import Registry
from transfergate.settings import MarketParams, NetworkParams, Settings
from transfergate.steps.evaluations import latest_reports
from transfergate.steps.pretraining import load_panel
from transfergate.storage import ArtefactStore, Snapshot, list_snapshots, open_snapshot, open_store
from transfergate.transfer.bundles import read_bundle, read_weights


def decide(settings: Settings, ticker: str, as_of: str | None = None) -> dict[str, Any]:
    """Return the position to hold from the open after ``as_of``, decided at its close.

    The champion's K policies are replayed from the last session that they learnt from, flat at
    first, up to ``as_of``; the target is the mean of their positions.

    Args:
        settings: Settings.
        ticker: The ticker.
        as_of: ISO date of a session; None for the last session of the newest snapshot.

    Returns:
        ``{"ticker", "as_of", "version", "target_position", "policy_positions", "snapshot_id",
        "reason"}``; without a champion the target is 0 (flat serves).

    Raises:
        SnapshotError: If no snapshot with the bundle's features reaches ``as_of``.
        RegistryError: If ``as_of`` lies before what the champion learnt from, or the ticker is
            unknown: no bars, no candidate, no verdict.
    """
    store = open_store(settings)
    registry = Registry(store, settings.tracking_uri)
    champion = registry.champion(ticker)
    if champion is None:
        _refuse_unknown(store, registry, ticker)
        return {
            "ticker": ticker,
            "as_of": as_of,
            "version": None,
            "target_position": 0.0,
            "policy_positions": [],
            "snapshot_id": None,
            "reason": "no champion: flat serves",
        }
    bundle = read_bundle(store, ticker, champion.version)
    snapshot, session = _find_snapshot(store, bundle, ticker, as_of)
    use_threads(settings.torch_threads)
    panel = load_panel(snapshot, [ticker])
    positions = _replay(store, bundle, panel, session)
    return {
        "ticker": ticker,
        "as_of": str(panel.sessions[session]),
        "version": champion.version,
        "target_position": float(np.mean(positions)),
        "policy_positions": positions,
        "snapshot_id": snapshot.id,
        "reason": "the champion chose to stay flat" if bundle["flat"] else "champion's decision",
    }


def _refuse_unknown(store: ArtefactStore, registry: Registry, ticker: str) -> None:
    """Flat serves a ticker that is known; of any other nothing can be said."""
    known = {*registry.tickers(), *latest_reports(store)}
    for name in list_snapshots(store) if ticker not in known else ():
        known.update(open_snapshot(store, name).manifest["tickers"])
    if ticker not in known:
        raise RegistryError(
            f"{ticker}: unknown, it has no bars in any snapshot, no candidate and no verdict below "
            f"{store.location()}; known are {len(known)}: "
            f"{', '.join(sorted(known)[:20]) or 'none'}; name one of these or ingest its bars first"
        )


def _find_snapshot(
    store: ArtefactStore, bundle: dict[str, Any], ticker: str, as_of: str | None
) -> tuple[Snapshot, int]:
    """The newest snapshot with the bundle's features and the session to decide at."""
    fitting = [
        snapshot
        for snapshot in (open_snapshot(store, name) for name in list_snapshots(store))
        if snapshot.manifest["source"] == bundle["source"]
        and snapshot.manifest["sql_hash"] == bundle["feature_sql_hash"]
        and snapshot.manifest["z_window"] == bundle["z_window"]
        and snapshot.manifest["z_clip"] == bundle.get("z_clip")
        and ticker in snapshot.manifest["files"]
    ]
    if not fitting:
        raise SnapshotError(
            f"{ticker}: no snapshot has the features that version {bundle['version']} reads "
            f"(feature SQL {bundle['feature_sql_hash']}); run `transfergate features`"
        )
    newest = max(fitting, key=lambda one: (one.manifest["sessions"][-1], _published(one), one.id))
    sessions = newest.manifest["sessions"]
    wanted = date.fromisoformat(as_of).isoformat() if as_of else sessions[-1]
    if wanted not in sessions:
        raise SnapshotError(
            f"{ticker}: {wanted} is not a session of snapshot {newest.id} "
            f"({sessions[0]} to {sessions[-1]}); ingest newer bars or name another date"
        )
    if wanted < bundle["last_session"]:
        raise RegistryError(
            f"{ticker}: version {bundle['version']} learnt from data up to "
            f"{bundle['last_session']}; a decision as of {wanted} would look back with foresight; "
            f"ask for {bundle['last_session']} or later"
        )
    return newest, sessions.index(wanted)


def _published(snapshot: Snapshot) -> int:
    """When its manifest was written, in nanoseconds."""
    return snapshot.store.modified_ns(f"snapshots/{snapshot.id}/manifest.json")


def _replay(
    store: ArtefactStore, bundle: dict[str, Any], panel: Panel, session: int
) -> list[float]:
    """Positions that each policy wants after the close of ``session``."""
    market = MarketParams.model_validate(bundle["market"])
    network = NetworkParams.model_validate(bundle["network"])
    n_policies = bundle["run"]["n_seeds"]
    if bundle["flat"]:
        return [0.0] * n_policies
    if not bool(panel.ready[0, session]):
        raise NotEnoughData(
            f"{bundle['ticker']}: features of {panel.sessions[session]} are not all known; "
            f"ingest that session's bar and build features again"
        )
    key = f"candidates/{bundle['ticker']}/{bundle['version']}/weights.safetensors"
    weights = read_weights(store, key, bundle["weights_sha256"])
    first = [str(day) for day in panel.sessions].index(bundle["last_session"])
    targets = next_targets(
        panel,
        weights,
        network,
        market,
        [0] * n_policies,
        first,
        session,
        bundle["burn_in_sessions"],
    )
    return [float(target) for target in targets]
