"""Write-once objects and atomic publishes below one root, a folder or an object store."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfergate.errors import StorageConflict
from transfergate.storage.folder import FolderObjects
from transfergate.storage.objects import Objects, checked
from transfergate.storage.s3 import PATIENCE

if TYPE_CHECKING:
    from transfergate.settings import Settings

_BUCKET = re.compile(r"^s3://[^/]+")


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


def open_store(settings: Settings, patience: timedelta = PATIENCE) -> ArtefactStore:
    """The store that the settings name: ``artefacts``, a folder or ``s3://bucket/prefix``."""
    return ArtefactStore(settings.artefacts_at, settings.home / "cache", patience)


class ArtefactStore:
    """Objects under keys like ``ledger/ab12/GOOG/fold-3/record.json`` below a root.

    An object, or a folder that is published, appears whole or not at all, on both kinds of root.

    Args:
        root: A folder, or ``s3://bucket/prefix`` (endpoint, region and credentials come from the
            usual ``AWS_…`` variables).
        cache: Folder for local copies of what an object store holds; it may be deleted whenever
            no process runs. Needed for ``s3://`` alone.
        patience: For how long an object store that refuses or is away is asked again.
    """

    def __init__(
        self, root: Path | str, cache: Path | None = None, patience: timedelta = PATIENCE
    ) -> None:
        self._objects: Objects
        if _BUCKET.match(str(root)):
            from transfergate.storage.bucket import BucketObjects

            if cache is None:
                raise ValueError(f"{root}: an object store needs a folder for local copies")
            self._objects = BucketObjects(str(root), cache, patience)
        else:
            self._objects = FolderObjects(Path(root))

    @property
    def root(self) -> Path:
        """The folder.

        Raises:
            ValueError: If the root is an object store.
        """
        if not isinstance(self._objects, FolderObjects):
            raise ValueError(f"{self.location()} is no folder: read it through the store")
        return self._objects.root

    def path(self, key: str) -> Path:
        """Local path of a key, whether or not it is there; of a folder only, see :meth:`local`.

        Raises:
            ValueError: If the key leaves the root, or the root is an object store.
        """
        self.root  # noqa: B018 refuses an object store
        return Path(self._objects.location(key))

    def location(self, key: str = "") -> str:
        """Path or URL of a key, or of the root: for messages, and for people to look at."""
        return self._objects.location(key)

    def local(self, key: str) -> Path:
        """A local file or published folder with a key's content, to be read only.

        From an object store it is copied to the cache once. ``FileNotFoundError`` if there is none.
        """
        return self._objects.local(key)

    def exists(self, key: str) -> bool:
        """Whether the object or folder is there."""
        return self._objects.exists(key)

    def read(self, key: str) -> bytes:
        """Content of one object; ``FileNotFoundError`` if there is none."""
        return self._objects.read(key)

    def read_json(self, key: str) -> Any:
        """Content of one JSON object."""
        return json.loads(self.read(key))

    def modified_ns(self, key: str) -> int:
        """When an object was published, in nanoseconds since 1970; seconds in an object store."""
        return self._objects.modified_ns(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys of all objects below a prefix, sorted."""
        return iter(self._objects.keys(prefix))

    def versions(self, prefix: str) -> dict[str, str | None]:
        """Keys of all objects below a prefix, sorted, with what changes when an object does.

        None where that is not known: such an object has to be read again.
        """
        return self._objects.versions(prefix)

    def names(self, prefix: str) -> list[str]:
        """Names of the objects and folders right below a prefix, sorted; nothing deeper is read.

        An object store may name a folder here that is not published yet.
        """
        return self._objects.names(prefix)

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | OSError]:
        """Contents of many objects, several at a time where that is faster.

        Where one cannot be read its ``OSError`` stands: ``FileNotFoundError`` if there is none.
        """
        found: dict[str, bytes | OSError] = {}
        inside = []
        for key in keys:
            try:
                checked(key)
            except ValueError as error:  # made of what a damaged record says
                found[key] = OSError(errno.EINVAL, str(error))
            else:
                inside.append(key)
        return found | self._objects.read_many(inside)

    def write_once(self, key: str, content: bytes) -> bool:
        """Create an object, or confirm that it is there with identical content.

        Safe under concurrent writers of one key: exactly one creates it.

        Returns:
            True if created, False if the same content was there already.

        Raises:
            StorageConflict: If the key holds other content; nothing is changed.
        """
        if self._objects.create(key, content):
            return True
        found = self.read(key)
        if found == content:
            return False
        raise StorageConflict(
            f"{key}: already written with other content "
            f"(found {content_hash(found)}, new {content_hash(content)}); "
            f"it is write-once and was left as it is"
        )

    def replace(self, key: str, content: bytes) -> None:
        """Write an object that may change (a derived index, a progress checkpoint), atomically."""
        self._objects.replace(key, content)

    def replacing(self, key: str) -> AbstractContextManager[Path]:
        """Give a file to write what may not fit into memory; it takes the key's place at the end.

        Nothing changes where the block fails.
        """
        return self._objects.replacing(key)

    def discard(self, key: str) -> None:
        """Delete an object that may change, if it is there."""
        self._objects.discard(key)

    def withdraw(self, key: str) -> bool:
        """Take a published folder back, as a whole: retention alone does that.

        Whoever has it open may lose it. Killed in between, nothing of it is seen any more and the
        rest is litter.

        Returns:
            False if there was no such folder.
        """
        return self._objects.withdraw(key)

    def litter(self, before: datetime) -> list[str]:
        """Places of what killed writers and withdrawals left before a moment (aware).

        Nothing that is published is among them; what a living writer has not published yet is,
        if it has not been touched since: choose the moment well before any living run.
        """
        return self._objects.litter(before)

    def sweep(self, place: str) -> None:
        """Delete what :meth:`litter` named."""
        self._objects.sweep(place)

    def publish_folder(self, key: str, write: Callable[[Path], None]) -> bool:
        """Let ``write`` fill a temporary folder, then publish it as ``key`` at once.

        Returns:
            True if published; False if the folder was there already (``write`` is not called).
        """
        if self.exists(key):
            return False
        prefix, _, name = key.rpartition("/")

        def named(folder: Path) -> str:
            write(folder)
            return name

        return self.publish_named_folder(prefix, named)[1]

    def publish_named_folder(self, prefix: str, write: Callable[[Path], str]) -> tuple[str, bool]:
        """Let ``write`` fill a temporary folder and name it, then publish it below ``prefix``.

        For a folder whose name is a hash of what it holds.

        Returns:
            The name, and whether it was published; False if a folder of that name was there.
        """
        return self._objects.publish(prefix, write)
