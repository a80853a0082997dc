"""Files below a root, which is a folder or an object-store URL; the only place that knows which."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from transfergate.errors import SourceError

_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://")


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
            raise _unreachable(text, error) from error
        self._base = base.rstrip("/")

    def names(self) -> list[str]:
        """Paths below the root, sorted; hidden files and folders are left out.

        Raises:
            SourceError: If there is no such folder, or the store cannot be reached.
        """
        try:
            found = self._files.get_file_info(fs.FileSelector(self._base, recursive=True))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceError(
                f"source 'files': {self.root} is not a folder: give a folder, or an object-store "
                f"URL such as s3://bucket/prefix, that holds bars"
            ) from error
        except OSError as error:
            raise _unreachable(self.root, error) from error
        names = [
            info.path[len(self._base) :].lstrip("/")
            for info in found
            if info.type == fs.FileType.File
        ]
        return sorted(name for name in names if not re.search(r"(^|/)[._]", name))

    def read(self, name: str) -> pa.Buffer:
        """Content of one file.

        Raises:
            SourceError: If it is not there or cannot be read.
        """
        try:
            with self._files.open_input_file(f"{self._base}/{name}") as handle:
                return handle.read_buffer()
        except OSError as error:
            raise SourceError(
                f"{self.url(name)}: cannot be read ({str(error).splitlines()[0]}): look at whether "
                f"it is there and may be read"
            ) from error

    def exists(self, name: str) -> bool:
        """Whether a file of that name is there."""
        try:
            info = self._files.get_file_info(f"{self._base}/{name}")
        except OSError as error:
            raise _unreachable(self.root, error) from error
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
    return re.fullmatch(_expression(pattern.lstrip("/")), name) is not None


def _expression(pattern: str) -> str:
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
    return out


def _unreachable(root: str, error: Exception) -> SourceError:
    return SourceError(
        f"source 'files': {root} cannot be reached ({str(error).splitlines()[0]}): expected a "
        f"folder or an object-store URL such as s3://bucket/prefix; look at the URL and, for an "
        f"object store, at AWS_ENDPOINT_URL, AWS_REGION and the credentials"
    )
