"""Two retrains of one ticker at once leave what one leaves."""

from __future__ import annotations

import multiprocessing

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
    answers = context.Queue()

    def retrain() -> None:
        answers.put(steps.finetune_group(settings, foundation, ["TGT"])[0]["candidate"])

    rivals = [context.Process(target=retrain) for _ in range(2)]
    for rival in rivals:
        rival.start()
    found = {answers.get(timeout=300) for _ in rivals}
    for rival in rivals:
        rival.join(60)
    assert [rival.exitcode for rival in rivals] == [0, 0]
    assert found == {made["candidates"][1]}
    assert {key: store.read(key) for key in before} == before
