"""Reading published feature snapshots; without a manifest there is no snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfergate.errors import SnapshotError
from transfergate.storage.artefacts import ArtefactStore


@dataclass(frozen=True)
class Snapshot:
    """One immutable snapshot: ``snapshots/<id>/<ticker>.parquet`` and ``manifest.json``.

    The manifest holds: ``id, source, tickers, index`` (index series, not published themselves),
    ``index_return`` (the series that stands for the market, or ``equal_weight``), ``features``
    (names of the z-scored columns, in order), ``z_window, z_clip, calendar``, ``sessions`` (ISO
    dates of the calendar from the first to the last bar),
    ``first_session_ordinal`` (number of the first of them in the calendar since 1990-01-01),
    ``instruments`` (per ticker what the source said of it, such as ``cost_bps``),
    ``rows`` (per ticker), ``files`` (per ticker: name, sha256), ``sql_hash, bars_hash, versions``.

    A ticker's table has ``session_date date32, open double, close double`` (adjusted),
    then one ``float`` column per feature (null until warm), sorted by date.
    """

    store: ArtefactStore
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """Hash of content, SQL text and settings."""
        return str(self.manifest["id"])

    def table(self, ticker: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of one ticker, with all columns or those named.

        Raises:
            SnapshotError: If the ticker is not in this snapshot.
        """
        if ticker not in self.manifest["files"]:
            raise SnapshotError(
                f"snapshot {self.id}: no ticker {ticker!r}; it has {len(self.manifest['files'])}: "
                f"{', '.join(sorted(self.manifest['files'])[:20])}; ingest its bars first"
            )
        name = self.manifest["files"][ticker]["name"]
        path = self.store.path(f"snapshots/{self.id}/{name}")
        return pq.read_table(path, columns=None if columns is None else list(columns))


def open_snapshot(store: ArtefactStore, snapshot_id: str) -> Snapshot:
    """Open a published snapshot.

    Raises:
        SnapshotError: If there is no such snapshot, or it has no manifest.
    """
    key = f"snapshots/{snapshot_id}/manifest.json"
    if not store.exists(key):
        known = ", ".join(list_snapshots(store)) or "none"
        raise SnapshotError(f"snapshot {snapshot_id!r} does not exist; published: {known}")
    return Snapshot(store, store.read_json(key))


def list_snapshots(store: ArtefactStore) -> Iterator[str]:
    """Ids of all published snapshots, sorted."""
    for key in store.keys("snapshots"):
        if key.endswith("/manifest.json"):
            yield key.split("/")[1]
