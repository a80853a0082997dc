"""Where a forked process is: stages of its work, told through memory that both sides see."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

Place = tuple[Any, str, str]
"""Owner of a function, the function's name, and the stage that it is."""

_NOW, _SINCE, _HEAD = 0, 1, 2  # the stage, since when, then the seconds spent in each


class Stages:
    """Stages of an operation and how long each has lasted, without what runs inside it.

    Args:
        places: Functions that make up stages; several may be one stage. What runs outside of all
            of them is the stage ``"between"``.
        then: Stage -> the one that follows until the surrounding function ends.
    """

    def __init__(self, places: Sequence[Place], then: Mapping[str, str] | None = None) -> None:
        self._places = tuple(places)
        self._then = dict(then or {})
        stages = (*(stage for *_, stage in places), *self._then.values())
        self.names = ("between", *dict.fromkeys(stages))
        self._memory = mmap.mmap(-1, 8 * (_HEAD + len(self.names)))
        self._shared = np.frombuffer(self._memory, dtype=np.float64)

    def clear(self) -> None:
        """Nothing has been spent; the next process starts now, between stages."""
        self._shared[:] = 0.0
        self._shared[_SINCE] = time.monotonic()

    def current(self) -> str:
        """The stage that the process is in, or was killed in."""
        return self.names[int(self._shared[_NOW])]

    def spent(self, stage: str) -> float:
        """Seconds in one stage so far."""
        number = self.names.index(stage)
        seconds = float(self._shared[_HEAD + number])
        if int(self._shared[_NOW]) == number:
            seconds += time.monotonic() - float(self._shared[_SINCE])
        return seconds

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell stages from here on, in this process."""
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in self._places]
        for (owner, name, stage), (*_, inner) in zip(self._places, kept, strict=True):
            setattr(owner, name, self._telling(inner, stage))
        try:
            yield
        finally:
            self._enter(0)
            for owner, name, inner in kept:
                setattr(owner, name, inner)

    def _telling(self, inner: Callable[..., Any], stage: str) -> Callable[..., Any]:
        number, then = self.names.index(stage), self._then.get(stage)

        def telling(*args: Any, **kwargs: Any) -> Any:
            before = int(self._shared[_NOW])
            self._enter(number)
            try:
                return inner(*args, **kwargs)
            finally:
                self._enter(self.names.index(then) if then else before)

        return telling

    def _enter(self, number: int) -> None:
        now = time.monotonic()
        self._shared[_HEAD + int(self._shared[_NOW])] += now - self._shared[_SINCE]
        self._shared[_SINCE] = now
        self._shared[_NOW] = number
