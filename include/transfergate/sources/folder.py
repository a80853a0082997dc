"""Files below a root, which is a folder or an object-store URL; the only place that knows which."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from transfergate.errors import SettingsError, SourceError, SourceUnavailable

_HIDDEN = re.compile(r"(^|/)[._]")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://")
SETTLED_SECONDS = {"here": 2.0, "store": 60.0}
"""How long ago a file must have changed for its stamp to tell any later change: longer than the
steps of the clock that dates it, and for a store than what its clock and ours may differ by."""

Stamp = list[int]
"""Size and time of change of a file, on this machine also when its entry changed and its inode."""
Place = tuple[int, int]
"""Device and inode of a folder."""


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
        except (pa.ArrowException, OSError, RuntimeError, ValueError) as error:
            # What is no address will not become one.
            away = bool(_SCHEME.match(text)) and not isinstance(error, pa.ArrowInvalid)
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

        None stands for a file so new that a change could still hide behind the same stamp, and for
        what is no file and that a reader will therefore refuse: a link to nothing, a pipe.

        Raises:
            SourceError: If there is no such folder, a folder in it cannot be listed, or the store
                cannot be reached.
        """
        now = time.time_ns()
        found = self._here_below() if self._here else self._in_store()
        wait = int(SETTLED_SECONDS["here" if self._here else "store"] * 1e9)
        # The last figures but the inode are times of change.
        return {
            name: stamp if stamp and max(stamp[1:3]) < now - wait else None for name, stamp in found
        }

    def _in_store(self) -> Iterator[tuple[str, Stamp | None]]:
        try:
            found = self._files.get_file_info(fs.FileSelector(self._base, recursive=True))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._no_folder() from error
        except OSError as error:
            raise _unreachable(self.root, error, away=True) from error
        for info in found:
            name = info.path[len(self._base) :].lstrip("/")
            if info.type == fs.FileType.File and not _HIDDEN.search(name):
                yield name, [info.size, info.mtime_ns] if info.mtime_ns is not None else None

    def _here_below(self) -> Iterator[tuple[str, Stamp | None]]:
        waiting: list[tuple[str, frozenset[Place]]] = [("", frozenset())]
        while waiting:
            below, above = waiting.pop()
            place, entries = self._listed(below)
            if place in above:  # a link leads back: all of it is seen without
                continue
            for entry in entries:
                name = below + entry.name
                try:
                    found = entry.stat()
                except OSError:  # gone meanwhile, or a link to nothing; a reader will say so
                    yield name, None
                    continue
                if stat.S_ISDIR(found.st_mode):
                    waiting.append((f"{name}/", above | {place}))
                else:
                    yield name, _stamp(found)

    def _listed(self, below: str) -> tuple[Place, list[os.DirEntry[str]]]:
        path = f"{self._base}/{below}"
        try:
            with os.scandir(path) as entries:
                found = [entry for entry in entries if not _HIDDEN.match(entry.name)]
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            if below:  # gone meanwhile
                return (0, 0), []
            raise self._no_folder() from error
        except OSError as error:
            raise SourceError(
                f"{self.url(below)}: cannot be listed ({error.strerror}): look at who may read "
                f"it, or begin its name with a dot to leave it out"
            ) from error
        for entry in found:
            try:
                entry.name.encode()
            except UnicodeEncodeError as error:
                raise SourceError(
                    f"{self.url(below)}: the name {entry.name!r} is not UTF-8: rename that file"
                ) from error
        return (status.st_dev, status.st_ino), found

    def _no_folder(self) -> SourceError:
        return SourceError(
            f"source 'files': {self.root} is not a folder: give a folder, or an object-store "
            f"URL such as s3://bucket/prefix, that holds bars"
        )

    def read(self, name: str) -> pa.Buffer:
        """Content of one file.

        Raises:
            SourceError: If it is not there or cannot be read.
        """
        if self._here:
            self._refuse_no_file(name)
        try:
            with self._files.open_input_file(f"{self._base}/{name}") as handle:
                return handle.read_buffer()
        except OSError as error:
            failure = SourceError if self._here else SourceUnavailable
            raise failure(
                f"{self.url(name)}: cannot be read ({str(error).splitlines()[0]}): look at whether "
                f"it is there and may be read"
            ) from error

    def _refuse_no_file(self, name: str) -> None:
        # A link to nothing is no file, nor is a folder; a pipe would be waited on for ever.
        path = Path(f"{self._base}/{name}")
        try:
            is_file = path.is_file()
        except (OSError, ValueError):
            is_file = False
        if not is_file and os.path.lexists(path):
            kind = "a folder" if path.is_dir() else "a pipe, a device or a link that leads nowhere"
            raise SourceError(
                f"{self.url(name)}: is {kind}, expected a file: replace it, or leave it out (the "
                f"source's ignore, where it is no table that the source names)"
            )

    def exists(self, name: str) -> bool:
        """Whether a file of that name is there.

        Raises:
            SourceError: If something of that name is there and is no file, or the store cannot be
                reached.
        """
        if self._here:
            self._refuse_no_file(name)
        try:
            info = self._files.get_file_info(f"{self._base}/{name}")
        except OSError as error:
            raise _unreachable(self.root, error, away=not self._here) from error
        return bool(info.type == fs.FileType.File)

    def below(self, name: str) -> str:
        """A declared path as :meth:`names` has it, also of ``./x`` and of an absolute one."""
        if self._here and os.path.isabs(name):
            name = os.path.relpath(os.path.realpath(name), self._base)
        return posixpath.normpath(name)

    def url(self, name: str) -> str:
        """Where a file is, for messages."""
        return f"{self.root}/{name}"


def _stamp(found: os.stat_result) -> Stamp | None:
    # A time of change can be set at will, that of the entry cannot.
    if not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def matches(name: str, *patterns: str) -> bool:
    """Whether a path below the root fits one of some globs.

    Without a slash a pattern is about the file's own name in any folder; with one it is about the
    whole path, where ``*`` and ``?`` stay within a folder and ``**`` crosses folders.

    Raises:
        SettingsError: If one is no glob; names it.
    """
    return _any_of(patterns).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # One expression for all, which thousands of names are compared with.
    return re.compile("|".join(map(_expression, patterns)), re.DOTALL)


def _expression(pattern: str) -> str:
    # [abc] and [!abc] are sets; {csv,txt} are choices.
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\]|\{[^}]*\})", pattern.lstrip("/"))
    simple = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    out = "" if "/" in pattern else simple["**/"]
    for part in parts:
        if part in simple:
            out += simple[part]
        elif part[:1] == "[":
            inside = re.sub(r"([\[\\^&|~])", r"\\\1", part[1:-1])
            out += f"[^{inside[1:]}]" if inside[:1] == "!" else f"[{inside}]"
        elif part[:1] == "{":
            out += "(?:" + "|".join(re.escape(choice) for choice in part[1:-1].split(",")) + ")"
        else:
            out += re.escape(part)
    try:
        re.compile(out)
    except re.error as error:
        raise SettingsError(
            f"pattern {pattern!r} is no glob ({error.msg}): correct it in the source's formats or "
            f"ignore; docs/files.md says what it may hold"
        ) from error
    return out


def _unreachable(root: str, error: Exception, *, away: bool) -> SourceError:
    return (SourceUnavailable if away else SourceError)(
        f"source 'files': {root} cannot be reached ({str(error).splitlines()[0]}): expected a "
        f"folder or an object-store URL such as s3://bucket/prefix; look at the URL and, for an "
        f"object store, at AWS_ENDPOINT_URL, AWS_REGION and the credentials"
    )
