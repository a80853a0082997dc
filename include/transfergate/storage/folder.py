"""Artefacts in a folder: temporary files, then a link or a rename."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
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
        return Path(_inside(os.path.realpath(self.root), key))

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
        try:
            return self.path(key).exists()
        except OSError as error:
            _raise_unless_gone(error)
            return False

    def read(self, key: str) -> bytes:
        """Content of one object."""
        return self.path(key).read_bytes()

    def modified_ns(self, key: str) -> int:
        """When the file was written."""
        return self.path(key).stat().st_mtime_ns

    def keys(self, prefix: str) -> list[str]:
        """Keys of all objects below a prefix; safe while others publish and discard."""
        root = str(self.root.resolve())
        found = []
        for folder, folders, files in os.walk(self.path(prefix), onerror=_raise_unless_gone):
            folders[:] = [name for name in folders if not name.startswith(_TEMPORARY)]
            below = folder[len(root) :].strip(os.sep)
            above = f"{below.replace(os.sep, '/')}/" if below else ""
            found += [above + name for name in files if not name.startswith(_TEMPORARY)]
        return sorted(found, key=lambda key: key.split("/"))

    def versions(self, prefix: str) -> dict[str, str | None]:
        """Keys of all objects below a prefix, with size, times and number of the file."""
        found: dict[str, str | None] = {}
        root = str(self.root.resolve())
        for key in self.keys(prefix):
            with suppress(FileNotFoundError):  # discarded meanwhile
                told = os.stat(os.path.join(root, key))
                times = f"{told.st_mtime_ns}.{told.st_ctime_ns}"
                found[key] = f"{told.st_ino}.{told.st_size}.{times}"
        return found

    def names(self, prefix: str) -> list[str]:
        """Names right below a prefix."""
        try:
            found = os.listdir(self.path(prefix))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in found if not name.startswith(_TEMPORARY))

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | OSError]:
        """Contents, one after another: a disk's cache is faster than threads."""
        found: dict[str, bytes | OSError] = {}
        root = os.path.realpath(self.root)
        for key in keys:
            try:
                with open(_inside(root, key), "rb") as handle:
                    found[key] = handle.read()
            except OSError as error:
                found[key] = error
        return found

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

    def withdraw(self, key: str) -> bool:
        """Rename the folder to a temporary name, then delete it."""
        target = self.path(key)
        if key in ("", ".") or not target.is_dir():
            return False
        hidden = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            os.rename(target, hidden)
        except FileNotFoundError:
            return False
        sync_path(target.parent)
        shutil.rmtree(hidden, ignore_errors=True)
        return True

    def litter(self, before: datetime) -> list[str]:
        """Temporary files and folders in which nothing has changed since a moment."""
        found, root = [], self.root.resolve()
        for folder, folders, files in os.walk(root, onerror=_raise_unless_gone):
            temporary = [name for name in (*folders, *files) if name.startswith(_TEMPORARY)]
            found += [
                (Path(folder) / name).relative_to(root).as_posix()
                for name in temporary
                if _touched(Path(folder) / name) < before.timestamp()
            ]
            folders[:] = [name for name in folders if not name.startswith(_TEMPORARY)]
        return sorted(found)

    def sweep(self, place: str) -> None:
        """Delete a temporary file or folder."""
        path = self.path(place)
        if not path.name.startswith(_TEMPORARY):
            raise ValueError(f"{place} is no litter: it was left as it is")
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

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
                # One that is shared with a published folder was waited for by that one. Some file
                # systems count no names at all, and say 0.
                if path.is_file() and path.stat().st_nlink < 2:
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


def _inside(root: str, key: str) -> str:
    # Text: pages ask for thousands of files, and paths take five times as long.
    path = os.path.realpath(os.path.join(root, key))
    if path != root and not path.startswith(root.rstrip(os.sep) + os.sep):
        raise ValueError(f"key {key!r} leaves the artefact root {root}")
    return path


def _raise_unless_gone(error: OSError) -> None:
    # A folder that another process has just renamed or removed holds nothing to list; nor does one
    # whose name no file can have.
    gone = isinstance(error, (FileNotFoundError, NotADirectoryError))
    if not gone and error.errno != errno.ENAMETOOLONG:
        raise error


def _touched(path: Path) -> float:
    """When the newest of a file, or of a folder and what is in it, was written; seconds."""
    times = []
    for inner in (path, *(path.rglob("*") if path.is_dir() else ())):
        with suppress(FileNotFoundError):
            times.append(inner.lstat().st_mtime)
    return max(times, default=float("inf"))


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
