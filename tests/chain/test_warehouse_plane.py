"""Only the tasks of the pool with one slot open the DuckDB file; all others live without it."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import duckdb
import pytest

from transfergate import steps
from transfergate.settings import PROJECT_ROOT, Settings
from transfergate.steps import chain

IN_THE_POOL = {"validate_bars", "load_bars", "build_features"}
BESIDE_IT = {"plan_ingest", "fetch_bars"}


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nobody can open a DuckDB file; who tried stands in the list."""
    tried: list[str] = []

    def refuse(path: str = ":memory:", *_: object, **__: object) -> None:
        tried.append(str(path))
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(duckdb, "connect", refuse)
    return tried


def test_training_judging_and_serving_never_open_a_warehouse(
    published: tuple[Settings, str], closed: list[str]
):
    settings, snapshot = published
    os.rename(settings.warehouse_path, settings.warehouse_path.with_suffix(".away"))
    foundation = chain.pretrain_all(settings, snapshot)
    done = chain.finetune_all(settings, foundation["foundation_version"], approved_by="a test")
    assert set(done["verdicts"]) == {"TGT"}
    steps.status(settings)
    assert closed == []
    assert not settings.warehouse_path.exists()


def test_planning_and_fetching_open_none_and_the_tasks_of_the_pool_do(
    published: tuple[Settings, str], closed: list[str]
):
    settings, _ = published
    plan = steps.plan_ingest(settings, source="files")
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    assert closed == []
    for work in (
        lambda: steps.validate_bars(settings, plan, landing),
        lambda: steps.build_features(settings, "files"),
    ):
        with pytest.raises(AssertionError, match="was opened"):
            work()
    assert closed == [str(settings.warehouse_path)] * 2


def test_every_step_that_opens_it_is_run_by_a_task_of_the_pool():
    folder = PROJECT_ROOT / "include" / "transfergate"
    openers = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if "warehouse/" not in path.as_posix()
        and {"open_warehouse", "compact_warehouse"} & _names(path)
        and path.name != "__init__.py"
    }
    assert {name.split("/")[0] for name in openers} == {"steps"}
    in_pool, others = set(), set()
    for path in sorted((PROJECT_ROOT / "dags").glob("*.py")):
        for task in ast.walk(ast.parse(path.read_text())):
            if isinstance(task, ast.FunctionDef) and task.decorator_list:
                pooled = "WAREHOUSE" in ast.unparse(ast.Module(task.decorator_list, []))
                (in_pool if pooled else others).update(_steps_called(task))
    assert in_pool >= IN_THE_POOL
    modules = {name.removeprefix("steps/").removesuffix(".py") for name in openers}
    opening = {name for name, module in steps._MODULE_OF.items() if module in modules}
    assert opening >= IN_THE_POOL - {"validate_bars"}
    assert others & (opening | IN_THE_POOL) == BESIDE_IT


def _names(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {
        getattr(node, "id", None) or getattr(node, "attr", "")
        for node in tree
        if isinstance(node, ast.Name | ast.Attribute)
    }


def _steps_called(task: ast.FunctionDef) -> set[str]:
    return {
        node.attr
        for statement in task.body
        if not isinstance(statement, ast.FunctionDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "steps"
    }
