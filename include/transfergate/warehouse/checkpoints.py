"""Checkpoints of the DuckDB file that a kill cannot tear.

At a checkpoint DuckDB writes the blocks of its catalogue where they lie: killed amid such a write,
a process leaves neither the old block nor the new one. So these blocks and the headers are kept
beside the file until the checkpoint is done (a doublewrite buffer, as InnoDB calls it). The headers
are written last: where they are still the ones that were kept, the blocks are put back, and the
log, which is removed after the headers, brings what was committed since.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from duckdb import DuckDBPyConnection

from transfergate.storage import sync_path

_SUFFIX = ".before"
_HEADERS = 3 * 4096
"""Bytes before the first block: the main header, and two that take turns."""
_BY_ITSELF = (
    "set wal_autocheckpoint = '1 TB'",
    "set auto_checkpoint_skip_wal_threshold = 9223372036854775807",
    "pragma disable_checkpoint_on_shutdown",
)


def leave_to_us(conn: DuckDBPyConnection) -> None:
    """Keep DuckDB from checkpoints of its own accord."""
    for statement in _BY_ITSELF:
        conn.execute(statement)


def checkpoint(conn: DuckDBPyConnection, path: Path, opened: int) -> None:
    """Write the log into the file.

    Args:
        conn: The only connection to the file, in no transaction.
        path: The file.
        opened: A descriptor of it. Closing one lets go of DuckDB's lock, so it stays open as long
            as the connection.
    """
    (size,) = conn.execute("select block_size from pragma_database_size()").fetchall()[0]
    blocks = sorted({row[0] for row in conn.execute("pragma metadata_info").fetchall()})
    places = [(0, _HEADERS), *((_HEADERS + block * size, size) for block in blocks)]
    content = [os.pread(opened, length, offset) for offset, length in places]
    table = [(offset, len(part)) for (offset, _), part in zip(places, content, strict=True)]
    kept, fresh = _beside(path), _beside(path).with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(json.dumps(table).encode() + b"\n")
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, kept)
    sync_path(path.parent)
    conn.execute("force checkpoint")
    kept.unlink()


def mend(path: Path) -> None:
    """Put back what an interrupted checkpoint may have torn; nothing where a process is at it."""
    kept = _beside(path)
    if not (kept.exists() and path.exists()):
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # DuckDB's own lock
            return
        parts = _parts(kept.read_bytes())
        if os.pread(file.fileno(), _HEADERS, 0) == parts.pop(0):
            for offset, part in parts.items():
                os.pwrite(file.fileno(), part, offset)
            os.fsync(file.fileno())
        kept.unlink()


def _parts(content: bytes) -> dict[int, bytes]:
    table, _, rest = content.partition(b"\n")
    parts, begin = {}, 0
    for offset, length in json.loads(table):
        parts[offset] = rest[begin : begin + length]
        begin += length
    return parts


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)
