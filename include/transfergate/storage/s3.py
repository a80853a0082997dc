"""Requests to one bucket of an S3-compatible object store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from transfergate.errors import StorageUnavailable
from transfergate.storage.folder import sync_path

if TYPE_CHECKING:
    from obstore.store import RetryConfig

_UPLOADS = 8
PATIENCE = timedelta(seconds=60)
"""How long a store that refuses or is away is asked again."""
_RETRIES: RetryConfig = {"max_retries": 10_000}
"""The time decides: ten tries, as obstore has them by itself, are over in two to six seconds."""


class Head(NamedTuple):
    """What a store says of an object without sending it."""

    version: str
    modified: datetime


class Bucket:
    """Objects below ``s3://bucket/prefix``, by their places relative to it.

    Endpoint, region and credentials come from ``AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY`` or from the machine's role. What is answered by an error of the server,
    or not at all, is asked again for a while; then it is a :class:`StorageUnavailable`.

    Args:
        url: The root.
        scratch: Folder for files on their way.
        patience: For how long it is asked again.
    """

    def __init__(self, url: str, scratch: Path, patience: timedelta = PATIENCE) -> None:
        from obstore.store import S3Store

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self.url = f"s3://{bucket}/{prefix.strip('/')}".rstrip("/")
        self._scratch = scratch
        self._store = S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            # The endpoint's own scheme decides; the default one is https.
            client_options={"allow_http": True},
            retry_config={**_RETRIES, "retry_timeout": patience},
        )

    def get(self, place: str) -> bytes:
        """Content; ``FileNotFoundError`` if there is no such object."""
        import obstore

        with self._reached(place):
            return bytes(obstore.get(self._store, place).bytes())

    def head(self, place: str) -> Head | None:
        """Version and time, or None if there is no such object."""
        import obstore

        with self._reached(place), suppress(FileNotFoundError):
            found = obstore.head(self._store, place)
            return Head(str(found["e_tag"]), found["last_modified"])
        return None

    def places(self, prefix: str) -> dict[str, str | None]:
        """All objects below a prefix with their versions, in the store's order."""
        import obstore

        with self._reached(prefix):
            pages = obstore.list(self._store, prefix or None)
            return {str(item["path"]): item["e_tag"] for page in pages for item in page}

    def names(self, prefix: str) -> list[str]:
        """Names right below a prefix: one request for a thousand of them."""
        import obstore

        with self._reached(prefix):
            found = obstore.list_with_delimiter(self._store, prefix or None)
        inside = [str(item["path"]) for item in found["objects"]]
        return sorted(path.rpartition("/")[2] for path in (*found["common_prefixes"], *inside))

    def dated(self, prefix: str = "") -> list[tuple[str, datetime]]:
        """As :meth:`places`, with the moment each was written."""
        import obstore

        with self._reached(prefix):
            pages = obstore.list(self._store, prefix or None)
            return [(str(item["path"]), item["last_modified"]) for page in pages for item in page]

    def put(self, place: str, content: bytes | Path) -> None:
        """Write an object."""
        import obstore

        with self._reached(place):
            obstore.put(self._store, place, content)

    def create(self, place: str, content: bytes) -> bool:
        """Write an object unless there is one (``If-None-Match: *``)."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._reached(place):
            try:
                obstore.put(self._store, place, content, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def upload(self, files: Mapping[str, Path]) -> None:
        """Write many objects, several at a time."""
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(self.put, files.keys(), files.values()))

    def download(self, place: str, target: Path) -> Path:
        """Write an object to a file, whole or not at all, unless the file is there."""
        import obstore

        with suppress(OSError):  # not there, or a copy of somebody else's
            os.utime(target)  # in use: retention deletes copies that nobody has asked for
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.scratch() as folder, self._reached(place):
            file = folder / "content"
            with file.open("wb") as handle:
                for chunk in obstore.get(self._store, place).stream():
                    handle.write(chunk)
            sync_path(file)  # a copy that is there is believed, also after a power cut
            file.replace(target)
        return target

    def delete(self, places: Iterable[str]) -> None:
        """Delete objects that may or may not be there."""
        import obstore

        for place in places:
            with self._reached(place), suppress(FileNotFoundError):
                obstore.delete(self._store, place)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is gone afterwards, beside the local copies."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="tmp-", dir=self._scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _reached(self, place: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except BaseError as error:
            said = str(error).splitlines()[0][:300]
            raise StorageUnavailable(
                f"{self.url}/{place}: the object store cannot be reached, or refuses ({said}); "
                f"look at AWS_ENDPOINT_URL, AWS_REGION, the credentials and what they permit, then "
                f"run the same again"
            ) from error
