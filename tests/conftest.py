"""Airflow reads its configuration when it is first imported: point it at nothing of the user's."""

from __future__ import annotations

import os
import re
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from drills.gateway import STORE_PYTHON, local_store, login

ROOT = Path(__file__).resolve().parents[1]

# Starting a real Airflow takes both cores for a while: tests below these folders run one after
# another in one process, and first, so that the rest fills the time beside them.
ONE_AFTER_ANOTHER = {"dags", "orchestration", "plugins"}

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each process has a core, not all of them

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


class Files(LoadScopeScheduling):  # type: ignore[misc]
    """Files stay whole, and all that starts an Airflow stays in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "airflow" if _starts_an_airflow(file) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """The order and the processes of the tests; xdist 3.8 reads no marks under pytest 9.2."""
    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that start an Airflow: they take longest."""
    items.sort(key=lambda item: not _starts_an_airflow(item.nodeid))


def _starts_an_airflow(nodeid: str) -> bool:
    return nodeid.split("/")[1] in ONE_AFTER_ANOTHER


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by its argument where that is bytes: archives hold the time they were made."""
    return argname if isinstance(val, bytes) else None


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
    if not session.config.getoption("--fail-on-skip") or "PYTEST_XDIST_WORKER" in os.environ:
        return  # of several processes, the one that hands out tests hears of all of them
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [report for report in reporter.stats.get("skipped", []) if not _wants_gpu(report)]
    if skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        names = "\n".join(f"  {report.nodeid}: {report.longrepr[2]}" for report in skipped)
        reporter.write(f"\nskipped, though this machine can run them:\n{names}\n", red=True)


def _wants_gpu(report: pytest.TestReport) -> bool:
    return re.search("needs a (GPU|CUDA device)", str(report.longrepr)) is not None


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Endpoint of a local S3 server.

    The usual variables name it, for this process and for those that a test starts.
    """
    if not STORE_PYTHON.exists():
        pytest.skip("no local S3 server: make setup-store installs one")
    with local_store() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in login(endpoint).items():
            patch.setenv(name, value)
        yield endpoint


@pytest.fixture
def put_object(object_store: str) -> Callable[[str, bytes], None]:
    """Write an object, such as ``bucket/key``, as somebody else would; or make a bucket."""

    def put(path: str, content: bytes = b"") -> None:
        request = urllib.request.Request(f"{object_store}/{path}", data=content, method="PUT")
        request.add_header("Content-Type", "application/octet-stream")
        urllib.request.urlopen(request, timeout=10).close()

    return put
