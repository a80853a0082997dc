"""Lines in the log that say how far a training is."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from transfergate import metrics
from transfergate.learning import TrainingProgress
from transfergate.progress import PROGRESS_SECONDS, duration

log = logging.getLogger(__name__)


def log_progress(
    what: str, clock: Callable[[], float] = time.monotonic
) -> Callable[[TrainingProgress], None]:
    """A callback that logs a line every few seconds, and at the end.

    It says the share done, trained environment steps per second and the time left at that rate,
    both since this process began: a resumed training counts from where it resumed.
    """
    begun, last, before = clock(), [0.0], [-1]

    def report(progress: TrainingProgress) -> None:
        if before[0] < 0:
            before[0] = progress.update - 1
        now = clock()
        if progress.update < progress.n_updates and now - last[0] < PROGRESS_SECONDS:
            return
        last[0] = now
        per_update = max(now - begun, 1e-9) / (progress.update - before[0])
        metrics.gauge("training.steps_per_second", progress.env_steps / per_update, what.split()[0])
        log.info(
            "%s: update %d of %d (%.0f %%), %.0f steps/s, %s left; "
            "objective %+.2e, %s (means over %d models)",
            what,
            progress.update,
            progress.n_updates,
            100.0 * progress.update / progress.n_updates,
            progress.env_steps / per_update,
            duration((progress.n_updates - progress.update) * per_update),
            float(progress.objective.mean()),
            _validated(float(progress.best_score.mean())),
            len(progress.best_score),
        )

    return report


def _validated(score: float) -> str:
    return f"best validation Sharpe {score:+.2f}" if math.isfinite(score) else "not validated yet"
