"""Walk-forward folds: no overlap, embargoes kept, and new bars never move an old fold."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from transfergate.evaluation.splits import (
    refit_fold,
    sessions_missing,
    usable_folds,
    walk_forward_folds,
)
from transfergate.settings import WalkForwardParams

PARAMS = WalkForwardParams()


@given(n_sessions=st.integers(1, 4000), ordinal=st.integers(0, 9000))
def test_windows_are_ordered_with_the_embargo_between_them(n_sessions: int, ordinal: int) -> None:
    folds = walk_forward_folds(n_sessions, ordinal, PARAMS)
    assert len(folds) <= PARAMS.n_folds
    for fold in folds:
        assert fold.test is not None
        assert fold.train.stop >= PARAMS.min_train_sessions
        assert fold.train.stop + PARAMS.embargo_sessions == fold.validation.first
        assert fold.validation.stop + PARAMS.embargo_sessions == fold.test.first
        assert fold.test.sessions == PARAMS.test_sessions
        assert fold.test.stop <= n_sessions
    for earlier, later in itertools.pairwise(folds):
        assert earlier.test is not None
        assert later.test is not None
        assert earlier.test.stop == later.test.first


@given(n_sessions=st.integers(800, 3000), ordinal=st.integers(0, 9000), new=st.integers(1, 200))
def test_new_sessions_never_move_a_fold(n_sessions: int, ordinal: int, new: int) -> None:
    before = {fold.number: fold for fold in walk_forward_folds(n_sessions, ordinal, PARAMS)}
    after = {fold.number: fold for fold in walk_forward_folds(n_sessions + new, ordinal, PARAMS)}
    for number in before.keys() & after.keys():
        assert before[number] == after[number]


def test_a_short_history_has_no_fold_and_says_how_much_is_missing() -> None:
    folds = walk_forward_folds(3270, 2500, PARAMS)
    assert len(folds) == PARAMS.n_folds
    assert usable_folds(folds, 3270 - 76, PARAMS) == []


@given(n_sessions=st.integers(1, 1500), ordinal=st.integers(0, 9000), share=st.floats(0.0, 1.0))
def test_the_first_fold_fits_when_the_missing_sessions_have_come(
    n_sessions: int, ordinal: int, share: float
) -> None:
    ready = int(share * n_sessions)

    def fits(n: int) -> bool:
        return bool(usable_folds(walk_forward_folds(n, ordinal, PARAMS), ready, PARAMS))

    missing = sessions_missing(n_sessions, ordinal, ready, PARAMS)
    assert fits(n_sessions + missing)
    assert missing == 0 or not fits(n_sessions + missing - 1)


def test_the_refit_validates_on_the_last_sessions() -> None:
    fold = refit_fold(1000, PARAMS)
    assert fold.name == "now"
    assert fold.validation.stop == 1000
    assert fold.train.stop + PARAMS.embargo_sessions == fold.validation.first
