"""One real Airflow, one Chromium and one person for the whole story; what remains of a failure."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.market import environment, write_bars
from tests.browser.person import LAPTOP, Person, launch
from transfergate.orchestration import embedded
from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow
from transfergate.orchestration.processes import interruptible
from transfergate.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
REMAINS = ROOT / "var" / "browser"
"""Pictures of the pages, and of what a failing test saw."""
HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def pictures() -> Path:
    """An empty folder for screenshots; what earlier runs have left is gone."""
    folder = REMAINS / "pages"
    shutil.rmtree(REMAINS, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything lies that the chain makes."""
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="session")
def airflow(home: Path) -> Iterator[EmbeddedAirflow]:
    """Airflow as ``make up`` starts it: a fresh database, every DAG of the chain paused."""
    embedded.START_SECONDS = 600.0  # a failure is not a slow machine
    interruptible()
    write_bars(home / "bars")
    with EmbeddedAirflow(Settings(home=home), environment(home)) as running:
        running.start_scheduler()
        running.api.wait_for_dags((*CHAIN, *BY_HAND), parsed_after=0.0, seconds=300)
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="session")
def newcomer(airflow: EmbeddedAirflow, browser: Browser) -> Iterator[Callable[..., Person]]:
    """Makes people without a session; ``options`` are those of a browser context."""

    def make(**options: Any) -> Person:
        context = browser.new_context(**{"viewport": LAPTOP, "accept_downloads": True, **options})
        return Person(context, airflow.url)

    yield make
    for context in list(browser.contexts):
        context.close()


@pytest.fixture(scope="session")
def logged_in(airflow: EmbeddedAirflow, newcomer: Callable[..., Person]) -> Person:
    """The person of the story, who has come by the log-in form."""
    person = newcomer()
    person.log_in(airflow.secrets["admin_password"], to="/transfergate/")
    person.page.goto(airflow.url)
    person.see_dags()
    return person


@pytest.fixture
def person(logged_in: Person) -> Iterator[Person]:
    """The person of the story; a test fails with what went wrong in the background."""
    yield logged_in
    logged_in.watch.check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Keep what the person saw, and say where Airflow's logs are."""
    report = yield
    if report.failed and HERE in item.path.parents:
        values = getattr(item, "funcargs", {})
        name = re.sub(r"\W+", "-", f"{item.name}-{report.when}")
        kept = [str(path) for path in _keep(values.get("person") or values.get("logged_in"), name)]
        logs = getattr(values.get("airflow"), "logs", "none")
        report.sections.append(("what is left", f"seen: {kept}\nAirflow's logs: {logs}"))
    return report


def _keep(person: Person | None, name: str) -> list[Path]:
    if person is None:
        return []
    REMAINS.mkdir(parents=True, exist_ok=True)
    picture = REMAINS / f"{name}.png"
    person.page.screenshot(path=picture)
    pages = []
    for number, frame in enumerate(person.page.frames):
        pages.append(REMAINS / f"{name}-{number}.html")
        pages[-1].write_text(f"<!-- {frame.url} -->\n{frame.content()}")
    return [picture, *pages]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was measured: a figure that nobody reads is not worth its seconds."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(value)
