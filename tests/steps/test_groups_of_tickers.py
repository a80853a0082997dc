from pathlib import Path

import pytest

from transfergate.settings import FinetuneParams, Settings
from transfergate.steps import targets


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
