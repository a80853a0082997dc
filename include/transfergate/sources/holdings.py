"""What each file of a folder holds: notes between fetches, so that none is read anew for that.

An entry counts only as long as the file has the stamp that it had before it was read, and its
format reads as it did; what changed is read again. Losing the notes costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transfergate.settings import FileFormatParams
from transfergate.sources.folder import Stamp
from transfergate.sources.reading import BarFile

log = logging.getLogger(__name__)
_EDITION = 1  # of how tickers are read out of a file; another one forgets all notes


class Holdings:
    """Notes of one folder: a JSON file that is replaced whole.

    Args:
        kept: Folder for such notes; None keeps none.
        root: The folder of bars that they are about.
    """

    def __init__(self, kept: Path | None, root: str) -> None:
        self._place = kept / f"{_hash(root)}.json" if kept else None
        self._known = self._read()
        self._new: dict[str, Any] = {}
        self._shapes: dict[int, tuple[FileFormatParams, str]] = {}

    def tickers(self, file: BarFile, stamp: Stamp | None) -> set[str | None]:
        """Every ticker of one file, from the notes or from the file.

        Args:
            file: The file.
            stamp: What it looked like before this; None where that is not to be trusted.
        """
        if file.shape.ticker_from != "column":
            return file.tickers()
        about = {"stamp": stamp, "shape": self._shape(file.shape)}
        noted = self._known.get(file.name, {})
        same = about == {name: noted.get(name) for name in about}
        if stamp and same and isinstance(noted.get("tickers"), list):
            self._new[file.name] = noted
            return set(noted["tickers"])
        found = file.tickers()
        if stamp:
            named = sorted(ticker for ticker in found if ticker is not None)
            self._new[file.name] = {
                **about,
                "tickers": [*named, *([None] if None in found else [])],
            }
        return found

    def lines(
        self, name: str, stamp: Stamp | None, read: Callable[[], list[list[str]]]
    ) -> list[list[str]]:
        """Cells of a small table beside the bars, from the notes or from the file.

        Args:
            name: The file.
            stamp: What it looked like before this; None where that is not to be trusted.
            read: Reads it.
        """
        noted = self._known.get(name, {})
        if not (stamp and noted.get("stamp") == stamp and isinstance(noted.get("lines"), list)):
            noted = {"stamp": stamp, "lines": read()}
        if stamp:
            self._new[name] = noted
        found: list[list[str]] = noted["lines"]
        return found

    def keep(self) -> None:
        """Write down what this look at the folder found, if it is anything new."""
        if self._place is None or self._new == self._known:
            return
        text = json.dumps({"edition": _EDITION, "files": self._new})
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._place.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "w") as out:
                    out.write(text)
                Path(name).replace(self._place)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            log.info("tickers of files are not kept for the next fetch (%s)", error)

    def _shape(self, shape: FileFormatParams) -> str:
        # Thousands of files share one format.
        if id(shape) not in self._shapes:
            self._shapes[id(shape)] = shape, _hash(shape.model_dump_json())
        return self._shapes[id(shape)][1]

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._place.read_text()) if self._place else {}
            known = dict(found["files"]) if found and found["edition"] == _EDITION else {}
            return {name: note for name, note in known.items() if isinstance(note, dict)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.info("notes about tickers of files are left aside (%r)", error)
            return {}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
