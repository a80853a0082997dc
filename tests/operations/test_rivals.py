"""Two retrains of one ticker at once leave what one leaves."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import suppress
from threading import BrokenBarrierError
from unittest import mock

import pytest

from transfergate import steps
from transfergate.storage import open_store

pytestmark = pytest.mark.slow


def test_two_retrains_of_a_ticker_at_once_find_the_same_candidate(grown):
    settings, made = grown
    store, foundation = open_store(settings), made["foundations"][1]
    folder = f"candidates/TGT/{made['candidates'][1]}"
    folds = [key.rpartition("/")[0] for key in store.keys("ledger") if key.endswith("fold.json")]
    before = {key: store.read(key) for prefix in (folder, *folds) for key in store.keys(prefix)}
    (run,) = (key for key in store.keys("finetunes") if key.endswith(f"{foundation}.json"))
    store.discard(run)
    for key in (folder, folds[-1]):
        assert store.withdraw(key)
    context = multiprocessing.get_context("fork")
    answers, both, rename = context.Queue(), context.Barrier(2), os.rename

    def together(source: object, target: object) -> None:
        """Both have trained, and neither has seen the other's, when the first is published."""
        with suppress(BrokenBarrierError):
            both.wait(60)
        both.abort()
        rename(source, target)

    def retrain() -> None:
        with mock.patch("transfergate.storage.folder.os.rename", together):
            answers.put(steps.finetune_group(settings, foundation, ["TGT"])[0]["candidate"])

    rivals = [context.Process(target=retrain, daemon=True) for _ in range(2)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join(300)
    for rival in rivals:
        rival.kill()  # one that hangs must not be waited for at the end
    assert [rival.exitcode for rival in rivals] == [0, 0]
    assert {answers.get(timeout=10) for _ in rivals} == {made["candidates"][1]}
    assert {key: store.read(key) for key in before} == before
    assert store.exists(run)
