"""Files below a root, which is a folder or an object-store URL; the only place that knows which."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from transfergate.errors import SourceError, SourceUnavailable

_HIDDEN = re.compile(r"(^|/)[._]")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://")
SETTLED_SECONDS = {"here": 2.0, "store": 60.0}
"""How long ago a file must have changed for its stamp to tell any later change: longer than the
steps of the clock that dates it, and for a store than what its clock and ours may differ by."""

Stamp = list[int]
"""Size and time of change of a file, on this machine also when its entry changed and its inode."""


class Folder:
    """A tree of files that is only read.

    ``s3://bucket/prefix`` takes endpoint, region and credentials from the usual environment
    variables (``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID``,
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_PROFILE``); ``gs://`` and ``abfs://`` likewise from theirs.
    """

    def __init__(self, root: str | Path) -> None:
        text = str(root)
        try:
            if _SCHEME.match(text):
                self._files, base = fs.FileSystem.from_uri(text)
                self.root = text.partition("?")[0].rstrip("/")
            else:
                self._files = fs.LocalFileSystem()
                self.root = base = str(Path(text).expanduser().resolve())
        except (pa.ArrowException, OSError) as error:
            away = not isinstance(error, pa.ArrowInvalid)  # that is no address
            raise _unreachable(text, error, away=away) from error
        self._base = base.rstrip("/")
        self._here = isinstance(self._files, fs.LocalFileSystem)

    def names(self) -> list[str]:
        """Paths below the root, sorted; hidden files and folders are left out.

        Raises:
            SourceError: If there is no such folder, or the store cannot be reached.
        """
        return sorted(self.stamps())

    def stamps(self) -> dict[str, Stamp | None]:
        """Paths as :meth:`names` has them, each with what it looks like now.

        None stands for a file so new that a change could still hide behind the same stamp.

        Raises:
            SourceError: If there is no such folder, or the store cannot be reached.
        """
        now = time.time_ns()
        try:
            found = self._files.get_file_info(fs.FileSelector(self._base, recursive=True))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceError(
                f"source 'files': {self.root} is not a folder: give a folder, or an object-store "
                f"URL such as s3://bucket/prefix, that holds bars"
            ) from error
        except OSError as error:
            raise _unreachable(self.root, error, away=not self._here) from error
        named = (
            (info.path[len(self._base) :].lstrip("/"), info)
            for info in found
            if info.type == fs.FileType.File
        )
        return {name: self._stamp(info, now) for name, info in named if not _HIDDEN.search(name)}

    def _stamp(self, info: fs.FileInfo, now: int) -> Stamp | None:
        changed = info.mtime_ns
        if changed is None:
            return None
        stamp, wait = [info.size, changed], SETTLED_SECONDS["here" if self._here else "store"]
        if self._here:
            try:
                entry = os.stat(info.path)
            except OSError:  # gone meanwhile; whoever reads it will say so
                return None
            # A time of change can be set at will, that of the entry cannot.
            stamp = [entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino]
            changed = max(entry.st_mtime_ns, entry.st_ctime_ns)
        return stamp if changed < now - wait * 1e9 else None

    def read(self, name: str) -> pa.Buffer:
        """Content of one file.

        Raises:
            SourceError: If it is not there or cannot be read.
        """
        try:
            with self._files.open_input_file(f"{self._base}/{name}") as handle:
                return handle.read_buffer()
        except OSError as error:
            failure = SourceError if self._here else SourceUnavailable
            raise failure(
                f"{self.url(name)}: cannot be read ({str(error).splitlines()[0]}): look at whether "
                f"it is there and may be read"
            ) from error

    def exists(self, name: str) -> bool:
        """Whether a file of that name is there."""
        try:
            info = self._files.get_file_info(f"{self._base}/{name}")
        except OSError as error:
            raise _unreachable(self.root, error, away=not self._here) from error
        return bool(info.type == fs.FileType.File)

    def url(self, name: str) -> str:
        """Where a file is, for messages."""
        return f"{self.root}/{name}"


def matches(name: str, pattern: str) -> bool:
    """Whether a path below the root fits a glob.

    Without a slash the pattern is about the file's own name in any folder; with one it is about the
    whole path, where ``*`` and ``?`` stay within a folder and ``**`` crosses folders.
    """
    if "/" not in pattern:
        name = name.rpartition("/")[2]
    return _expression(pattern.lstrip("/")).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    # [abc] and [!abc] are sets; {csv,txt} are choices.
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{[^}]*\})", pattern)
    simple = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    out = ""
    for part in parts:
        if part in simple:
            out += simple[part]
        elif part[:1] == "[":
            inside = part[1:-1].replace("\\", "\\\\")
            out += f"[^{inside[1:]}]" if inside[:1] == "!" else f"[{inside}]"
        elif part[:1] == "{":
            out += "(?:" + "|".join(re.escape(choice) for choice in part[1:-1].split(",")) + ")"
        else:
            out += re.escape(part)
    return re.compile(out)


def _unreachable(root: str, error: Exception, *, away: bool) -> SourceError:
    return (SourceUnavailable if away else SourceError)(
        f"source 'files': {root} cannot be reached ({str(error).splitlines()[0]}): expected a "
        f"folder or an object-store URL such as s3://bucket/prefix; look at the URL and, for an "
        f"object store, at AWS_ENDPOINT_URL, AWS_REGION and the credentials"
    )
