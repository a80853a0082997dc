"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 1_000_000
FOLDERS = r"(?:dags|plugins|include|sql|tests|benchmarks|studies|drills|docs|\.ci)"
PATH = rf"{FOLDERS}/[\w./-]*\w|[\w.-]+\.(?:md|yaml|txt)"


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run([*command, *patterns], capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_paths_named_in_the_docs_exist():
    missing = []
    for page in tracked("*.md"):
        for name in re.findall(rf"`({PATH})`", page.read_text()):
            if not (ROOT / name).exists() and not (page.parent / name).exists():
                missing.append(f"{relative(page)}: {name}")
        for name in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text()):
            if not (page.parent / name).exists():
                missing.append(f"{relative(page)}: {name}")
    assert missing == []


def test_commands_named_in_the_docs_are_targets():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (relative(page), target)
        for page in tracked("*.md")
        for target in re.findall(r"`make ([a-z-]+)", page.read_text())
    }
    assert {row for row in named if row[1] not in targets} == set()


def test_no_file_is_large():
    assert [relative(path) for path in tracked() if path.stat().st_size > MAX_BYTES] == []


def test_nothing_is_pickled():
    found = []
    for path in tracked("include/*.py", "dags/*.py", "plugins/*.py", "benchmarks/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                names = [call] if call in ("torch.load", "torch.save") else []
            found += [
                f"{relative(path)}:{node.lineno} {name}"
                for name in names
                if re.match(r"(pickle|cloudpickle|joblib|dill|torch\.(load|save))", name)
            ]
    assert found == []


def test_every_import_of_the_package_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + extras["yahoo"] + extras["sb3"]
    declared = {re.split(r"[<>=\[ ]", line)[0].lower().replace("_", "-") for line in lines}
    provided = {
        "airflow": "apache-airflow", "fastapi": "apache-airflow", "pendulum": "apache-airflow",
        "jinja2": "apache-airflow", "sqlalchemy": "apache-airflow", "starlette": "apache-airflow",
    }  # fmt: skip
    import sys

    undeclared = set()
    for path in tracked("include/*.py", "dags/*.py", "plugins/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in {name.split(".")[0] for name in names}:
                package = provided.get(name, {"mlflow": "mlflow-skinny"}.get(name, name))
                if name in sys.stdlib_module_names or name == "transfergate":
                    continue
                if package.replace("_", "-") not in declared:
                    undeclared.add(f"{relative(path)}: {name}")
    assert undeclared == set()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_pins_every_package_and_takes_any_build_of_torch(name):
    lines = [
        line
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith(("#", "-r"))
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.!]*", line) for line in lines)
    assert not [line for line in lines if line.startswith(("nvidia", "triton", "cuda"))]
    assert ("torch==2.13.0" in lines) == (name == "requirements.txt")


def test_the_lock_satisfies_what_the_project_declares():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    locked = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if "==" in line and not line.startswith("#"):
                package, version = line.split("==")
                locked[package.lower().replace("_", "-")] = version
    for line in project["dependencies"] + extras["test"] + extras["lint"]:
        wanted = Requirement(line)
        version = locked[wanted.name.lower().replace("_", "-")]
        assert wanted.specifier.contains(version), line


def test_ci_is_executable():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
