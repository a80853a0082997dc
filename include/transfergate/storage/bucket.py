"""Artefacts in an S3-compatible object store, through conditional writes.

A single object is created with ``If-None-Match: *``, so that of many writers one creates it. A
folder is uploaded below ``<folder>/.staged-<id>/`` and published by one object more,
``<folder>/.published``, created in the same way and last; it names the ``<id>`` that counts. Until
then, and for whoever came second, nothing of it is seen. The mark sorts before what is staged:
stores list in order, so whoever has seen a mark goes on to see all that was staged before it.
"""

from __future__ import annotations

import json
import os.path
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from transfergate.errors import StorageUnavailable
from transfergate.storage.folder import sync_path
from transfergate.storage.objects import checked
from transfergate.storage.s3 import PATIENCE, Bucket

_MARK = ".published"
_STAGED = ".staged-"
_READERS = 24  # requests at a time
_FEW = 8  # so many objects are read without a look at the list of all


class BucketObjects:
    """Objects below ``s3://bucket/prefix``.

    Args:
        url: The root.
        cache: Folder for local copies; anybody may delete it while nothing runs.
        patience: For how long a store that refuses or is away is asked again.
    """

    def __init__(self, url: str, cache: Path, patience: timedelta = PATIENCE) -> None:
        self._cache = cache.resolve() / sha256(url.rstrip("/").encode()).hexdigest()[:16]
        self._bucket = Bucket(url, self._cache, patience)
        self._staged: dict[str, str] = {}  # published folder -> id of what was staged for it

    def location(self, key: str) -> str:
        """URL of a key."""
        return f"{self._bucket.url}/{checked(key)}".rstrip("/")

    def exists(self, key: str) -> bool:
        """Whether there is an object, or a folder with objects."""
        return self._find(key) is not None or bool(self.keys(key))

    def read(self, key: str) -> bytes:
        """Content of one object: one request where it is found at once."""
        for _ in range(2):
            for place in self._places(key):
                with suppress(FileNotFoundError):
                    return self._bucket.get(place)
            if not self._forget(key):
                break
        raise self._missing(key)

    def modified_ns(self, key: str) -> int:
        """When the object was published: one of a folder, when the folder was."""
        place = self._find(key) or checked(key)
        folder, staged, _ = place.partition(f"/{_STAGED}")
        head = self._bucket.head(f"{folder}/{_MARK}" if staged else place)
        if head is None:
            raise self._missing(key)
        return int(head.modified.timestamp()) * 1_000_000_000

    def keys(self, prefix: str) -> list[str]:
        """Keys of all objects below a prefix, published ones only."""
        return list(self.versions(prefix))

    def versions(self, prefix: str) -> dict[str, str | None]:
        """Keys of all published objects below a prefix, with their entity tags."""
        plain = checked(prefix)
        found = self._published(plain)
        inside = None if found else self._folder_above(plain)
        if inside is not None and inside != plain:
            staged = self._staged_at(inside)
            places = self._bucket.places(staged + plain.removeprefix(inside))
            found = {inside + place.removeprefix(staged): tag for place, tag in places.items()}
        return dict(sorted(found.items(), key=lambda item: item[0].split("/")))

    def names(self, prefix: str) -> list[str]:
        """Names right below a prefix; that of a folder may be there before it is published."""
        plain = checked(prefix)
        found = self._bucket.names(plain)
        return [name for name in found if name != _MARK and not name.startswith(_STAGED)]

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | OSError]:
        """Contents, many requests at a time."""
        if len(keys) > _FEW:  # one list tells the marks of all folders
            self._published(os.path.commonpath([checked(key) for key in keys]))
        with ThreadPoolExecutor(_READERS) as pool:
            return dict(zip(keys, pool.map(self._read_or_why_not, keys), strict=True))

    def _read_or_why_not(self, key: str) -> bytes | OSError:
        try:
            return self.read(key)
        except OSError as error:
            return error

    def create(self, key: str, content: bytes) -> bool:
        """Write an object unless it is there."""
        return self._bucket.create(checked(key), content)

    def replace(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._bucket.put(checked(key), content)

    @contextmanager
    def replacing(self, key: str) -> Iterator[Path]:
        """Give a local file to write; upload it at the end."""
        with self._bucket.scratch() as folder:
            yield folder / "content"
            self._bucket.put(checked(key), folder / "content")

    def discard(self, key: str) -> None:
        """Delete an object, if it is there."""
        self._bucket.delete([checked(key)])

    def withdraw(self, key: str) -> bool:
        """Delete the mark, so that nothing is seen, then what it named."""
        plain = checked(key)
        self._staged.pop(plain, None)  # asked anew: a folder may have been published again
        staged = self._staged_of(plain)
        if not plain or staged is None:
            return False
        self._bucket.delete([f"{plain}/{_MARK}"])
        del self._staged[plain]
        self._bucket.delete(self._bucket.places(f"{plain}/{_STAGED}{staged}"))
        return True

    def litter(self, before: datetime) -> list[str]:
        """Staged objects that no mark names, if none of their writer's is younger."""
        dated = self._bucket.dated()
        marked = {place for place, _ in dated if place.endswith(f"/{_MARK}")}
        left: dict[tuple[str, str], list[tuple[str, datetime]]] = defaultdict(list)
        for place, written in dated:
            folder, cut, rest = place.partition(f"/{_STAGED}")
            if cut:
                left[folder, rest.partition("/")[0]].append((place, written))
        found: list[str] = []
        for (folder, staged), objects in left.items():
            if max(written for _, written in objects) >= before:
                continue
            if f"{folder}/{_MARK}" in marked:
                self._staged.pop(folder, None)
                if self._staged_of(folder) == staged:
                    continue
            found += [place for place, _ in objects]
        return sorted(found)

    def sweep(self, place: str) -> None:
        """Delete a staged object that no mark names."""
        folder, cut, rest = checked(place).partition(f"/{_STAGED}")
        self._staged.pop(folder, None)
        if not cut or self._staged_of(folder) == rest.partition("/")[0]:
            raise ValueError(f"{place} is no litter: it was left as it is")
        self._bucket.delete([place])

    def publish(self, prefix: str, write: Callable[[Path], str]) -> tuple[str, bool]:
        """Fill a local folder, upload it where nobody looks, then set its mark."""
        with self._bucket.scratch() as scratch:
            content = scratch / "folder"
            content.mkdir()
            name = write(content)
            folder = checked(f"{prefix}/{name}")
            self._staged.pop(folder, None)  # it may have been withdrawn since it was seen
            if self._staged_of(folder) is not None:
                return name, False
            staged = uuid.uuid4().hex
            files = {
                f"{folder}/{_STAGED}{staged}/{path.relative_to(content).as_posix()}": path
                for path in sorted(content.rglob("*"))
                if path.is_file()
            }
            try:
                self._bucket.upload(files)
            except BaseException:
                self._clear(files)
                raise
            mark = json.dumps({"staged": staged}).encode()
            # Where an answer got lost the mark is set twice: the one there may be our own. Where
            # none comes at all it may be too: what it may name is left.
            created = self._bucket.create(f"{folder}/{_MARK}", mark)
            created = created or self._staged_of(folder) == staged
            if created:  # kept: the next snapshot starts from this one
                self._staged[folder] = staged
                self._copy(folder).parent.mkdir(parents=True, exist_ok=True)
                with suppress(OSError):  # whoever saw the mark may have begun to copy it there
                    for path in files.values():  # believed from then on, also after a power cut
                        sync_path(path)
                    content.replace(self._copy(folder))
            else:
                self._clear(files)
            return name, created

    def local(self, key: str) -> Path:
        """A copy in the cache."""
        plain = checked(key)
        if plain and self._staged_of(plain) is not None:
            for inner in self.keys(plain):
                self.local(inner)
            return self._copy(plain)
        place = self._find(key)
        if place is None:
            raise self._missing(key)
        if f"/{_STAGED}" in place:
            return self._bucket.download(place, self._copy(plain))
        # An object that may change is another copy after each change.
        version = sha256(f"{place} {self._bucket.head(place)}".encode()).hexdigest()[:32]
        return self._bucket.download(place, self._cache / "objects" / version / Path(place).name)

    def _clear(self, places: Iterable[str]) -> None:
        with suppress(StorageUnavailable):
            self._bucket.delete(places)

    def _places(self, key: str) -> Iterator[str]:
        # Where an object may lie, the likeliest first: at its key, or in what was staged for a
        # folder above it, which comes first where that folder is known.
        plain = checked(key)
        known = any(folder in self._staged for folder in _above(plain))
        if plain and not known:
            yield plain
        inside = self._folder_above(plain)
        if inside is not None and inside != plain:
            yield self._staged_at(inside) + plain.removeprefix(inside)
        if plain and known:
            yield plain

    def _find(self, key: str) -> str | None:
        for _ in range(2):
            for place in self._places(key):
                if self._bucket.head(place):
                    return place
            if not self._forget(key):
                break
        return None

    def _forget(self, key: str) -> bool:
        # Of the folders above a key what is known of their marks: one that was withdrawn, and
        # published again by somebody else, has another. Whether anything was known.
        known = [folder for folder in _above(checked(key)) if folder in self._staged]
        for folder in known:
            del self._staged[folder]
        return bool(known)

    def _folder_above(self, plain: str) -> str | None:
        # The published folder that a key lies in, or is.
        folders = _above(plain)
        known = [folder for folder in folders if folder in self._staged]
        found = (folder for folder in folders if self._staged_of(folder) is not None)
        return known[0] if known else next(found, None)

    def _staged_of(self, folder: str) -> str | None:
        # A mark never changes: one that was read is known until nothing is found where it points.
        if folder not in self._staged:
            with suppress(FileNotFoundError):
                mark = json.loads(self._bucket.get(f"{folder}/{_MARK}"))
                self._staged[folder] = mark["staged"]
        return self._staged.get(folder)

    def _staged_at(self, folder: str) -> str:
        return f"{folder}/{_STAGED}{self._staged_of(folder)}"

    def _copy(self, plain: str) -> Path:
        folder = self._folder_above(plain) or plain
        rest = plain.removeprefix(folder).lstrip("/")
        return self._cache / "folders" / str(self._staged_of(folder)) / rest

    def _published(self, prefix: str) -> dict[str, str | None]:
        # Plain objects, and of each folder with a mark the staged objects that the mark names:
        # where only one writer ever came, its name need not be read.
        found: dict[str, str | None] = {}
        staged: dict[str, dict[str, dict[str, str | None]]] = defaultdict(lambda: defaultdict(dict))
        marked: list[str] = []
        for place, tag in self._bucket.places(prefix).items():
            folder, cut, rest = place.partition(f"/{_STAGED}")
            if cut:
                which, _, name = rest.partition("/")
                staged[folder][which][f"{folder}/{name}"] = tag
            elif place.endswith(f"/{_MARK}"):
                marked.append(place.removesuffix(f"/{_MARK}"))
            else:
                found[place] = tag
        for folder in marked:
            parts = staged[folder]
            if len(parts) == 1:
                self._staged[folder] = next(iter(parts))
            elif self._staged.get(folder) not in parts:
                self._staged.pop(folder, None)
            found |= parts[self._staged_of(folder) or ""]
        return found

    def _missing(self, key: str) -> FileNotFoundError:
        return FileNotFoundError(f"{self.location(key)}: no such object")


def _above(key: str) -> list[str]:
    """A key and the folders above it, the nearest first."""
    parts = key.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)] if key else []
