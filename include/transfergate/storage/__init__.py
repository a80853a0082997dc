"""The artefact root: write-once objects, atomic publishes, snapshot reading.

The only place that knows whether artefacts lie in a folder or an object store.
"""

from transfergate.storage.artefacts import (
    ArtefactStore,
    content_hash,
    json_bytes,
    open_store,
)
from transfergate.storage.folder import share_file, sync_path
from transfergate.storage.snapshots import Snapshot, list_snapshots, open_snapshot

__all__ = [
    "ArtefactStore",
    "Snapshot",
    "content_hash",
    "json_bytes",
    "list_snapshots",
    "open_snapshot",
    "open_store",
    "share_file",
    "sync_path",
]
