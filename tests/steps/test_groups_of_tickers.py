from pathlib import Path
from typing import Any

import pytest

from transfergate.errors import StorageUnavailable, TrainingError
from transfergate.evaluation.ledger import Ledger
from transfergate.settings import FinetuneParams, Settings
from transfergate.steps import grouped, targets
from transfergate.steps.champion import audited
from transfergate.storage import ArtefactStore


@pytest.mark.parametrize(
    ("tickers", "most", "sizes"),
    [(1, 8, [1]), (5, 8, [1] * 5), (8, 8, [1] * 8), (40, 8, [5] * 8), (12, 8, [1, 2] * 4),
     (100, 8, [7] * 4 + [8] * 9), (3, 1, [1] * 3), (20, 1, [1] * 20)],
)  # fmt: skip
def test_few_tickers_have_a_task_each_and_many_share(
    tickers: int, most: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    names = [f"T{i:03d}" for i in range(tickers)]
    monkeypatch.setattr(targets, "plan_finetune", lambda *_: names)
    settings = Settings(home=tmp_path, finetune=FinetuneParams(tickers_per_task=most))
    groups = targets.plan_groups(settings, "f")
    assert [ticker for group in groups for ticker in group] == names
    assert sorted(map(len, groups)) == sorted(sizes)


def test_the_grouping_is_no_part_of_a_recipe():
    a, b = FinetuneParams(tickers_per_task=1), FinetuneParams(tickers_per_task=50)
    assert a.model_dump(mode="json") == b.model_dump(mode="json")


class Run:
    """Stands where a ticker is trained, and fails at one stage."""

    def __init__(self, store: ArtefactStore, stage: str, error: Exception) -> None:
        self.store, self.stage, self.error = store, stage, error
        self.recipe, self.ticker, self.manifest = "r", "T", {"version": "v"}
        self.market = self.network = None

    def _reach(self, stage: str) -> Any:
        if stage == self.stage:
            raise self.error
        return [stage]

    def prepare(self) -> Any:
        return self._reach("prepare")

    def train(self, task: Any) -> Any:
        return self._reach("train")

    def record(self, task: Any, runs: Any) -> Any:
        return self._reach("record")


@pytest.mark.parametrize("stage", ["prepare", "train", "record", "together"])
def test_a_store_that_is_away_is_no_defect_of_a_ticker(
    stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    settings, store = Settings(home=tmp_path), ArtefactStore(tmp_path)

    def finetune(error: Exception) -> list[dict[str, Any]]:
        def together(tasks: Any, **more: Any) -> Any:
            if stage == "together":
                raise error
            raise TrainingError("one by one")

        monkeypatch.setattr(grouped, "open_store", lambda _: store)
        monkeypatch.setattr(grouped, "read_foundation", lambda *_: {"document": {}})
        monkeypatch.setattr(grouped, "TickerRun", lambda *_: Run(store, stage, error))
        monkeypatch.setattr(grouped, "train_together", together)
        return grouped.finetune_group(settings, "v", ["T", "U"])

    if stage != "together":
        assert [job["reason"] for job in finetune(TrainingError("its own"))] == ["its own"] * 2
    with pytest.raises(StorageUnavailable, match="away"):
        finetune(StorageUnavailable("away"))


def test_a_candidate_does_not_miss_the_champion_because_the_store_is_away(tmp_path: Path):
    ledger = Ledger(ArtefactStore(tmp_path))

    def score(error: Exception) -> None:
        raise error

    own = audited(ledger, "r", "T", "v1", lambda: score(TrainingError("its own")))
    assert own["figures"]["folds"] == 0
    with pytest.raises(StorageUnavailable, match="away"):
        audited(ledger, "r", "T", "v1", lambda: score(StorageUnavailable("away")))
