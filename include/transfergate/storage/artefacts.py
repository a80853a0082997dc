"""Write-once objects and atomic publishes below one root."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfergate.errors import StorageConflict

_TEMPORARY = ".tmp-"  # begins the name of what is not published, and may vanish at any moment


def json_bytes(value: Any) -> bytes:
    """Encode as canonical JSON: sorted keys, no NaN, one trailing newline.

    Raises:
        ValueError: If a float is not finite; store ``None`` instead.
    """
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()


def content_hash(*parts: bytes | str, length: int = 16) -> str:
    """First ``length`` hex digits of SHA-256 over length-prefixed parts."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()[:length]


class ArtefactStore:
    """Objects under keys like ``ledger/ab12/GOOG/fold-3.parquet`` below a folder.

    An object appears whole or not at all (temporary file, fsync, link or rename).
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Local path of a key.

        Raises:
            ValueError: If the key leaves the root.
        """
        path = (self.root / key).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"key {key!r} leaves the artefact root {self.root}")
        return path

    def exists(self, key: str) -> bool:
        """Whether the object or folder is there."""
        return self.path(key).exists()

    def read(self, key: str) -> bytes:
        """Content of one object; ``FileNotFoundError`` if there is none."""
        return self.path(key).read_bytes()

    def read_json(self, key: str) -> Any:
        """Content of one JSON object."""
        return json.loads(self.read(key))

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys of all objects below a prefix, sorted."""
        root = self.root.resolve()
        found = []
        for folder, folders, files in os.walk(self.path(prefix), onerror=_raise_unless_gone):
            folders[:] = [name for name in folders if not name.startswith(_TEMPORARY)]
            below = Path(folder).relative_to(root)
            found += [below / name for name in files if not name.startswith(_TEMPORARY)]
        return (path.as_posix() for path in sorted(found))

    def write_once(self, key: str, content: bytes) -> bool:
        """Create an object, or confirm that it is there with identical content.

        Safe under concurrent writers of one key: exactly one creates it.

        Returns:
            True if created, False if the same content was there already.

        Raises:
            StorageConflict: If the key holds other content; nothing is changed.
        """
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        _write_synced(temporary, content)
        try:
            os.link(temporary, target)
            return True
        except FileExistsError:
            if target.read_bytes() == content:
                return False
            raise StorageConflict(
                f"{key}: already written with other content "
                f"(found {content_hash(target.read_bytes())}, new {content_hash(content)}); "
                f"it is write-once and was left as it is"
            ) from None
        finally:
            temporary.unlink()

    def replace(self, key: str, content: bytes) -> None:
        """Write an object that may change (a derived index, a progress checkpoint), atomically."""
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        _write_synced(temporary, content)
        os.replace(temporary, target)

    @contextmanager
    def replacing(self, key: str) -> Iterator[Path]:
        """Give a file to write what may not fit into memory; it takes the key's place at the end.

        Nothing changes where the block fails.
        """
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield temporary
            sync_path(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def discard(self, key: str) -> None:
        """Delete an object that may change, if it is there."""
        self.path(key).unlink(missing_ok=True)

    def publish_folder(self, key: str, write: Callable[[Path], None]) -> bool:
        """Let ``write`` fill a temporary folder, then rename it to ``key`` at once.

        Returns:
            True if published; False if the folder was there already (``write`` is not called).
        """
        if self.path(key).exists():
            return False
        prefix, _, name = key.rpartition("/")

        def named(folder: Path) -> str:
            write(folder)
            return name

        return self.publish_named_folder(prefix, named)[1]

    def publish_named_folder(self, prefix: str, write: Callable[[Path], str]) -> tuple[str, bool]:
        """Let ``write`` fill a temporary folder and name it, then rename it to that name at once.

        For a folder whose name is a hash of what it holds.

        Returns:
            The name, and whether it was published; False if a folder of that name was there.
        """
        parent = self.path(prefix)
        parent.mkdir(parents=True, exist_ok=True)
        temporary = parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        temporary.mkdir()
        try:
            name = write(temporary)
            target = self.path(f"{prefix}/{name}")
            if target.exists():
                return name, False
            for path in temporary.rglob("*"):
                if path.is_file():
                    sync_path(path)
            try:
                os.rename(temporary, target)
            except OSError:
                if target.exists():
                    return name, False
                raise
            return name, True
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def share_file(source: Path, target: Path) -> None:
    """Let a second folder hold a file that never changes: linked, or copied where that fails."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _raise_unless_gone(error: OSError) -> None:
    # A folder that another process has just renamed or removed holds nothing to list.
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def sync_path(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
