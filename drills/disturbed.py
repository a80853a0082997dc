"""One step disturbed, done again, and beside it the same step that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drills.forks import run_in_fork
from drills.homes import Operation, copy_of
from drills.remains import State, state
from transfergate.settings import Settings


@dataclass(frozen=True)
class Disturbed:
    """What the disturbance said, and the states before it, after it, after the repetition, and
    of a home where there was none."""

    said: Any
    before: State
    during: State
    after: State
    undisturbed: State


def disturbed(root: Path, operation: Operation, disturb: Callable[[Settings], object]) -> Disturbed:
    """Disturb a step on a copy of its home, do it again, and do it alone on another copy."""
    with copy_of(root, operation.home) as settings:
        before = run_in_fork(lambda: state(settings))
        said = run_in_fork(lambda: disturb(settings))
        during = run_in_fork(lambda: state(settings))
        run_in_fork(lambda: bool(operation.run(settings)))
        after = run_in_fork(lambda: state(settings))
    with copy_of(root, operation.home) as settings:
        run_in_fork(lambda: bool(operation.run(settings)))
        return Disturbed(said, before, during, after, run_in_fork(lambda: state(settings)))
