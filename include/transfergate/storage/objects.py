"""What a store of artefacts must be able to do, whether it is a folder or an object store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol


class Objects(Protocol):
    """Objects under keys such as ``ledger/ab12/GOOG/fold-3/record.json``.

    An object, or a published folder of objects, is seen whole or not at all. Keys are checked.
    """

    def location(self, key: str) -> str:
        """Path or URL of a key, for people."""

    def local(self, key: str) -> Path:
        """A local file with an object's content, or a local folder with a published folder's.

        To be read only, and soon: ``FileNotFoundError`` if there is none.
        """

    def exists(self, key: str) -> bool:
        """Whether there is an object, or a folder with objects."""

    def read(self, key: str) -> bytes:
        """Content of one object; ``FileNotFoundError`` if there is none."""

    def modified_ns(self, key: str) -> int:
        """When an object was published, in nanoseconds since 1970, as the store's clock says."""

    def keys(self, prefix: str) -> list[str]:
        """Keys of all objects below a prefix, sorted by their parts."""

    def versions(self, prefix: str) -> dict[str, str | None]:
        """Keys of all objects below a prefix, sorted, with what changes when an object does.

        None where that is not known: then the object has to be read again.
        """

    def names(self, prefix: str) -> list[str]:
        """Names of the objects and folders right below a prefix, sorted; nothing deeper is read.

        An object store may name a folder here that is not published yet.
        """

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | OSError]:
        """Contents of many objects, several at a time where that is faster.

        The ``OSError`` stands where an object cannot be read, ``FileNotFoundError`` if it is not
        there.
        """

    def create(self, key: str, content: bytes) -> bool:
        """Write an object that is not there yet; False if it is: of many writers one creates it."""

    def replace(self, key: str, content: bytes) -> None:
        """Write an object, whether or not it is there."""

    def replacing(self, key: str) -> AbstractContextManager[Path]:
        """Give a local file to write; it becomes the object at the end, unless the block fails."""

    def discard(self, key: str) -> None:
        """Delete an object, if it is there."""

    def withdraw(self, key: str) -> bool:
        """Take a published folder back: at once it is not seen, then what it held is deleted.

        Killed in between it leaves litter. False if there is no such folder.
        """

    def litter(self, before: datetime) -> list[str]:
        """Places, within the root, of what killed writers left before a moment; no keys."""

    def sweep(self, place: str) -> None:
        """Delete one place that :meth:`litter` named; it may be gone."""

    def publish(self, prefix: str, write: Callable[[Path], str]) -> tuple[str, bool]:
        """Let ``write`` fill a local folder and name it; publish it below ``prefix`` at once.

        Returns:
            The name, and whether it was published; False if a folder of that name was there.
        """


def checked(key: str) -> str:
    """A key in its plain form.

    Raises:
        ValueError: If it leaves the root.
    """
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or "\0" in key:
        raise ValueError(f"key {key!r} leaves the artefact root")
    return "" if path == PurePosixPath() else path.as_posix()
