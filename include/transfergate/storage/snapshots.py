"""Reading published feature snapshots; without a manifest there is no snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfergate.errors import SnapshotError
from transfergate.storage.artefacts import ArtefactStore


@dataclass(frozen=True)
class Snapshot:
    """One immutable snapshot: ``snapshots/<id>/`` with ``manifest.json`` and Parquet.

    Each ticker's rows before the year of the last session lie in ``<ticker>.parquet``, those of
    that year, of all tickers, in ``+recent.parquet``; ``table`` puts them together.
    ``+market.parquet`` and ``+points.parquet`` are what the next snapshot starts from.

    The manifest holds: ``id, source, tickers, index`` (index series, not published themselves),
    ``index_return`` (the series that stands for the market, or ``equal_weight``), ``features``
    (names of the z-scored columns, in order), ``z_window, z_clip, calendar``, ``sessions`` (ISO
    dates of the calendar from the first to the last bar),
    ``first_session_ordinal`` (number of the first of them in the calendar since 1990-01-01),
    ``instruments`` (per ticker what the source said of it, such as ``cost_bps``),
    ``rows`` (per ticker), ``files`` (per ticker: name, sha256, rows, content, and the place of its
    recent rows), ``recent_from, recent, restart, sql_hash, versions``, ``feature_names`` (files
    of the features) and ``as_of`` (when the last of its facts became known; neither is part of
    the id).

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
        entry = self.manifest["files"][ticker]
        names = None if columns is None else list(columns)
        settled = pq.read_table(self._path(entry["name"]), columns=names)
        if not entry.get("recent_rows"):
            return settled
        recent = self._recent.slice(entry["recent_start"], entry["recent_rows"])
        return pa.concat_tables([settled, recent.select(settled.column_names)]).combine_chunks()

    @cached_property
    def _recent(self) -> pa.Table:
        return pq.read_table(self._path(self.manifest["recent"]["name"]))

    def _path(self, name: str) -> Path:
        return self.store.local(f"snapshots/{self.id}/{name}")


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
