"""The market that an evaluation's regimes are read from."""

from __future__ import annotations

import numpy as np

from transfergate.evaluation.regimes import Market
from transfergate.storage import ArtefactStore, Snapshot, open_snapshot


def evaluation_market(store: ArtefactStore, foundation_version: str) -> Market | None:
    """The index of the snapshot that a foundation learnt from; None where neither is there."""
    key = f"foundations/{foundation_version}/foundation.json"
    if not store.exists(key):
        return None
    snapshot_id = store.read_json(key).get("snapshot_id")
    if snapshot_id is None or not store.exists(f"snapshots/{snapshot_id}/manifest.json"):
        return None
    return snapshot_market(open_snapshot(store, snapshot_id))


def snapshot_market(snapshot: Snapshot) -> Market:
    """A snapshot's own index, else the equal-weight mean of its tickers' returns, by session.

    From adjusted closes; a ticker counts on the sessions on which it has a return.
    """
    files = list(snapshot.manifest["files"])
    index = str(snapshot.manifest.get("index_return"))
    members = [index] if index in files else files
    days, returns = [np.zeros(0, dtype="datetime64[D]")], [np.zeros(0)]
    for ticker in members:
        table = snapshot.table(ticker, ["session_date", "close"])
        close = table["close"].to_numpy().astype(np.float64)
        known = np.isfinite(close) & (close > 0.0)
        own = table["session_date"].to_numpy().astype("datetime64[D]")[known]
        days.append(own[1:])
        returns.append(close[known][1:] / close[known][:-1] - 1.0)
    sessions, which = np.unique(np.concatenate(days), return_inverse=True)
    values = np.concatenate(returns)
    mean = np.bincount(which, values, len(sessions)) / np.bincount(which, minlength=len(sessions))
    name = (
        f"the index {index}"
        if index in files
        else f"the equal-weight mean of the snapshot's {len(members)} tickers"
    )
    return Market(name, sessions, mean)
