"""What was read once of JSON objects, kept by the process that read it."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar

from transfergate.storage.artefacts import ArtefactStore

MOST = 20_000
"""So many answers are kept; the ones that were asked for longest ago go first."""
TRUSTED_SECONDS = 900.0
"""So long an answer from a write-once object is given without a look at it: where a home was put
back to an earlier state under a running process, the same key may hold another object."""

_WRITTEN_ONCE = ""  # stands for the version of an object that should have no other

Picked = TypeVar("Picked")
Pick = Callable[[Any], Picked]


class Answers(Generic[Picked]):
    """Answers from many objects.

    Attributes:
        found: By key, in the order asked for.
        failed: Of the other keys, why there is no answer: ``FileNotFoundError`` where there is no
            such object.
    """

    def __init__(self) -> None:
        self.found: dict[str, Picked] = {}
        self.failed: dict[str, Exception] = {}


class Recall:
    """Answers from JSON objects of one store; an object is read once as long as it is the same.

    Keep what ``pick`` returns small: a table of all tickers needs hundreds of them.

    Args:
        store: Where the objects are.
        clock: Seconds that only grow.
    """

    def __init__(self, store: ArtefactStore, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        self._kept: OrderedDict[tuple[str, object], tuple[str, float, Any]] = OrderedDict()
        self._lock = Lock()

    def pick(self, key: str, pick: Pick[Picked]) -> Picked:
        """What ``pick`` takes from the JSON object under a key.

        Args:
            key: Of a write-once object.
            pick: A function of the module's level, so that asking again finds the answer.

        Raises:
            FileNotFoundError: If there is no such object; that is not kept.
        """
        answers = self.pick_many([key], pick)
        for error in answers.failed.values():
            raise error
        return answers.found[key]

    def pick_many(
        self, keys: Iterable[str] | Mapping[str, str | None], pick: Pick[Picked]
    ) -> Answers[Picked]:
        """What ``pick`` takes from each of many objects; those not kept are read at once.

        Args:
            keys: Of write-once objects: an answer is kept for ``TRUSTED_SECONDS``; or of any,
                with their versions as ``store.versions`` has them: an answer is kept until the
                version is another one.
            pick: A function of the module's level.

        Returns:
            Answers, and why others are missing; what failed is read again the next time.
        """
        versions = keys if isinstance(keys, Mapping) else dict.fromkeys(keys, _WRITTEN_ONCE)
        known = self._known(versions, pick)
        answers: Answers[Picked] = Answers()
        missing = [key for key in versions if key not in known]
        read = self.store.read_many(missing) if missing else {}
        for key, version in versions.items():
            if key in known:
                answers.found[key] = known[key]
                continue
            content = read[key]
            try:
                if isinstance(content, OSError):
                    raise content
                picked = pick(_loaded(content))
            except Exception as error:  # whatever a torn or foreign object leads to
                answers.failed[key] = error
                continue
            answers.found[key] = picked
            if version is not None:
                self._keep((key, pick), version, picked)
        return answers

    def once(self, key: str, version: str | None, make: Callable[[str], Picked]) -> Picked:
        """What ``make`` says of an object beside its content, asked once of each version.

        Args:
            key: Of the object.
            version: As ``store.versions`` has it.
            make: A function or method that lives as long as this.
        """
        known = self._known({key: version}, make)
        if key in known:
            return known[key]
        made = make(key)
        if version is not None:
            self._keep((key, make), version, made)
        return made

    def _known(
        self, versions: Mapping[str, str | None], pick: Callable[..., Picked]
    ) -> dict[str, Picked]:
        found = {}
        oldest = self._clock() - TRUSTED_SECONDS
        with self._lock:
            for key, version in versions.items():
                kept = self._kept.get((key, pick))
                if kept is None or version is None or kept[0] != version:
                    continue
                if version == _WRITTEN_ONCE and kept[1] <= oldest:
                    continue
                self._kept.move_to_end((key, pick))
                found[key] = kept[2]
        return found

    def _keep(self, name: tuple[str, object], version: str, picked: Any) -> None:
        with self._lock:
            self._kept[name] = (version, self._clock(), picked)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)


def _loaded(content: bytes) -> Any:
    """What a JSON object holds.

    Raises:
        ValueError: If it is no JSON, or holds half a character: no page could be sent with that.
    """
    text = content.decode()
    loaded = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(loaded, ensure_ascii=False).encode()
    return loaded
