"""Lines in the log that say how far a long loop is: share done, rate, time left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0

Item = TypeVar("Item")


class Progress:
    """Count what is done of something, and say so every few seconds and at the end.

    A loop that ends sooner than the first line is due says nothing: short work stays quiet.
    Several threads may count.

    Args:
        what: The work: ``"features of sample"``.
        total: How many units there are.
        unit: What is counted, in the plural: ``"tickers"``.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, what: str, total: int, unit: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self._clock = clock
        self._lock = threading.Lock()
        self._done = 0
        self._begun = self._said = clock()

    def add(self, count: int = 1) -> None:
        """Some more are done."""
        with self._lock:
            self._done += count
            now = self._clock()
            last = self._done >= self.total and self._said > self._begun
            if now - self._said < PROGRESS_SECONDS and not last:
                return
            self._said = now
            done, rate = self._done, self._done / max(now - self._begun, 1e-9)
        log.info(
            "%s: %d of %d %s (%.0f %%), %s/s, %s left",
            self.what,
            done,
            self.total,
            self.unit,
            100.0 * done / max(self.total, 1),
            f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}",
            duration(max(self.total - done, 0) / max(rate, 1e-9)),
        )

    def over(
        self, items: Iterable[Item], count: Callable[[Item], int] = lambda _: 1
    ) -> Iterator[Item]:
        """The same items; each counts as done when the next one is asked for."""
        for item in items:
            yield item
            self.add(count(item))


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``95 s`` is ``1 min 35 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
