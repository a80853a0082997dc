"""Airflow reads its configuration when it is first imported: point it at nothing of the user's."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

for name in [name for name in os.environ if name.startswith(("AIRFLOW", "TRANSFERGATE_"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": tempfile.mkdtemp(prefix="transfergate-airflow-"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write tests/golden anew")
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="fail if a test is skipped, unless it needs a GPU",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file of that name under tests/golden."""

    def compare(name: str, text: str) -> None:
        file = ROOT / "tests" / "golden" / name
        if request.config.getoption("--rewrite-golden"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        assert text == file.read_text(), f"{name} changed; if that is meant: make golden"

    return compare


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if not session.config.getoption("--fail-on-skip"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [report for report in reporter.stats.get("skipped", []) if not _wants_gpu(report)]
    if skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        names = "\n".join(f"  {report.nodeid}: {report.longrepr[2]}" for report in skipped)
        reporter.write(f"\nskipped, though this machine can run them:\n{names}\n", red=True)


def _wants_gpu(report: pytest.TestReport) -> bool:
    return re.search("needs a (GPU|CUDA device)", str(report.longrepr)) is not None
