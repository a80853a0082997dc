"""Walk-forward folds on a fixed grid of sessions: train | embargo | validation | embargo | test.

The grid is anchored in the exchange calendar, not at the end of the data: test block ``b`` holds
the sessions with ordinals ``b * test_sessions ... (b + 1) * test_sessions - 1`` since 1990-01-01.
New bars therefore add blocks and never move old ones, so that a session that was scored once keeps
its fold for ever and the out-of-sample record only grows.
"""

from __future__ import annotations

from dataclasses import dataclass

from transfergate.settings import WalkForwardParams


@dataclass(frozen=True)
class Window:
    """Session indices ``first <= t < stop`` of a panel."""

    first: int
    stop: int

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return self.stop - self.first


@dataclass(frozen=True)
class Fold:
    """One step of the walk-forward; ``test`` is None for the refit on data up to now."""

    number: int
    train: Window
    validation: Window
    test: Window | None

    @property
    def name(self) -> str:
        """``fold-<block number>``, or ``now``."""
        return "now" if self.test is None else f"fold-{self.number:05d}"


def walk_forward_folds(
    n_sessions: int, first_session_ordinal: int, params: WalkForwardParams
) -> list[Fold]:
    """Return the last ``n_folds`` complete test blocks that leave room for training.

    Args:
        n_sessions: Length of the panel's session axis.
        first_session_ordinal: Ordinal of session 0 in the exchange calendar.
        params: Lengths in sessions.

    Returns:
        At most ``n_folds`` folds, oldest first; empty when none fits. ``train`` starts at session
        0; a ticker's own history may start later, see :func:`usable_folds`.
    """
    block = params.test_sessions
    last_block = (first_session_ordinal + n_sessions) // block - 1
    folds: list[Fold] = []
    for number in range(last_block, -1, -1):
        test = Window(
            number * block - first_session_ordinal, (number + 1) * block - first_session_ordinal
        )
        fold = _fold_before(test, number, params)
        if fold is None or len(folds) == params.n_folds:
            break
        folds.append(fold)
    return folds[::-1]


def _fold_before(test: Window, number: int, params: WalkForwardParams) -> Fold | None:
    stop = test.first - params.embargo_sessions
    validation = Window(stop - params.validation_sessions, stop)
    train = Window(0, validation.first - params.embargo_sessions)
    if train.stop < params.min_train_sessions:
        return None
    return Fold(number, train, validation, test)


def refit_fold(n_sessions: int, params: WalkForwardParams, first_ready: int = 0) -> Fold:
    """Return the fold without a test: the recipe applied to all data up to now.

    Args:
        n_sessions: Length of the panel's session axis.
        params: Lengths in sessions.
        first_ready: First session to train on; ``train`` has a negative length where that is too
            late, and it is the caller's to refuse it.
    """
    validation = Window(n_sessions - params.validation_sessions, n_sessions)
    train = Window(first_ready, validation.first - params.embargo_sessions)
    return Fold(-1, train, validation, None)


def usable_folds(folds: list[Fold], first_ready: int, params: WalkForwardParams) -> list[Fold]:
    """Clip folds to a ticker's own history and drop those that leave too little of it.

    Args:
        folds: Folds of the whole panel.
        first_ready: First session at which all features of the ticker are known.
        params: ``min_train_sessions`` must remain between ``first_ready`` and ``train.stop``.
    """
    return [
        Fold(fold.number, Window(first_ready, fold.train.stop), fold.validation, fold.test)
        for fold in folds
        if fold.train.stop - first_ready >= params.min_train_sessions
    ]


def sessions_missing(
    n_sessions: int, first_session_ordinal: int, first_ready: int, params: WalkForwardParams
) -> int:
    """Return how many more sessions a ticker needs until its first fold is complete (at least 0).

    Args:
        n_sessions: Length of the panel's session axis.
        first_session_ordinal: Ordinal of session 0 in the exchange calendar.
        first_ready: First session at which all features of the ticker are known; ``n_sessions``
            if none is.
        params: Lengths in sessions.
    """
    before_test = (
        params.min_train_sessions + params.validation_sessions + 2 * params.embargo_sessions
    )
    earliest = first_session_ordinal + first_ready + before_test
    block = -(-earliest // params.test_sessions)
    end = (block + 1) * params.test_sessions - first_session_ordinal
    return max(end - n_sessions, 0)
