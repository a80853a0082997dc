"""What was read once of objects that never change, kept by the process that read it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from transfergate.storage.artefacts import ArtefactStore

MOST = 20_000
"""So many answers are kept; the ones that were asked for longest ago go first."""

Picked = TypeVar("Picked")


class Recall:
    """Answers from write-once JSON objects of one store; each object is read once.

    Keep what ``pick`` returns small: a table of all tickers needs hundreds of them.

    Args:
        store: Where the objects are.
    """

    def __init__(self, store: ArtefactStore) -> None:
        self.store = store
        self._kept: OrderedDict[tuple[str, object], Any] = OrderedDict()
        self._lock = Lock()

    def pick(self, key: str, pick: Callable[[Any], Picked]) -> Picked:
        """What ``pick`` takes from the JSON object under a key.

        Args:
            key: Of a write-once object.
            pick: A function of the module's level, so that asking again finds the answer.

        Raises:
            FileNotFoundError: If there is no such object; that is not kept.
        """
        name = (key, pick)
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                found: Picked = self._kept[name]
                return found
        found = pick(self.store.read_json(key))
        with self._lock:
            self._kept[name] = found
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return found
