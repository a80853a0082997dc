"""Artefacts in a folder: temporary files, then a link or a rename."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = ".tmp-"  # begins the name of what is not published, and may vanish at any moment


class FolderObjects:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Path of a key.

        Raises:
            ValueError: If the key leaves the root.
        """
        # Text: a snapshot asks for hundreds of files, and paths take five times as long.
        root = os.path.realpath(self.root)
        path = os.path.realpath(os.path.join(root, key))
        if path != root and not path.startswith(os.path.join(root, "")):
            raise ValueError(f"key {key!r} leaves the artefact root {self.root}")
        return Path(path)

    def location(self, key: str) -> str:
        """Path of a key."""
        return str(self.path(key))

    def local(self, key: str) -> Path:
        """The object or folder itself."""
        path = self.path(key)
        if not path.exists():
            raise FileNotFoundError(f"{key}: nothing of that name below {self.root}")
        return path

    def exists(self, key: str) -> bool:
        """Whether the object or folder is there."""
        return self.path(key).exists()

    def read(self, key: str) -> bytes:
        """Content of one object."""
        return self.path(key).read_bytes()

    def modified_ns(self, key: str) -> int:
        """When the file was written."""
        return self.path(key).stat().st_mtime_ns

    def keys(self, prefix: str) -> list[str]:
        """Keys of all objects below a prefix; safe while others publish and discard."""
        root = self.root.resolve()
        found = []
        for folder, folders, files in os.walk(self.path(prefix), onerror=_raise_unless_gone):
            folders[:] = [name for name in folders if not name.startswith(_TEMPORARY)]
            below = Path(folder).relative_to(root)
            found += [below / name for name in files if not name.startswith(_TEMPORARY)]
        return [path.as_posix() for path in sorted(found)]

    def create(self, key: str, content: bytes) -> bool:
        """Write beside, then link: of many writers exactly one creates the object."""
        target = self._parent_of(key)
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        _write_synced(temporary, content)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def replace(self, key: str, content: bytes) -> None:
        """Write beside, then rename."""
        target = self._parent_of(key)
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        _write_synced(temporary, content)
        os.replace(temporary, target)

    @contextmanager
    def replacing(self, key: str) -> Iterator[Path]:
        """Give a file beside; rename it at the end."""
        target = self._parent_of(key)
        temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield temporary
            sync_path(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def discard(self, key: str) -> None:
        """Delete the file, if it is there."""
        self.path(key).unlink(missing_ok=True)

    def publish(self, prefix: str, write: Callable[[Path], str]) -> tuple[str, bool]:
        """Fill a temporary folder, wait until it is on the disk, rename it."""
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
                # One that is shared with a published folder was waited for by that one.
                if path.is_file() and path.stat().st_nlink == 1:
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

    def _parent_of(self, key: str) -> Path:
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def share_file(source: Path, target: Path) -> None:
    """Let a second folder hold a file that never changes: linked, or copied where that fails."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def sync_path(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    # A folder that another process has just renamed or removed holds nothing to list.
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
