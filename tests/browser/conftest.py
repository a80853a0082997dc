"""One real Airflow, one Chromium and one person for the whole story; what remains of a failure."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from tests.browser.market import environment, write_bars
from tests.browser.person import LAPTOP, Person, launch
from transfergate.orchestration import embedded, follow
from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow
from transfergate.orchestration.processes import interruptible
from transfergate.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
REMAINS = ROOT / "var" / "browser"
"""Pictures of the pages; after a failure what was seen, and Airflow's logs."""
LOG_LINES = 40
"""Shown of each of Airflow's logs after a failure; all of it is kept."""
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
    embedded.START_SECONDS = follow.HAND_OVER_SECONDS = 600.0  # a failure is not a slow machine
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
    """Keep what every tab showed and what Airflow logged; show the end of its logs."""
    report = yield
    if report.failed and HERE in item.path.parents:
        values = getattr(item, "funcargs", {})
        name = re.sub(r"\W+", "-", f"{item.name}-{report.when}")
        seen = _keep_pages(values.get("browser"), name)
        report.sections.append(("what the tabs showed", "\n".join(seen) or "no tab was open"))
        home = values.get("home")
        if home is not None and (logs := home / "airflow" / "logs").is_dir():
            report.sections += _keep_logs(logs)
    return report


def _keep_pages(browser: Browser | None, name: str) -> list[str]:
    kept = []
    tabs = [page for context in browser.contexts for page in context.pages] if browser else []
    for number, page in enumerate(tabs):
        stem = REMAINS / f"{name}-{number}"
        try:
            page.screenshot(path=stem.with_suffix(".png"), timeout=30_000)
            frames = "\n".join(f"<!-- {frame.url} -->\n{frame.content()}" for frame in page.frames)
            stem.with_suffix(".html").write_text(frames)
        except (Error, OSError) as error:  # what failed the test is to be told, not this
            kept.append(f"{page.url}: no picture: {error}")
        else:
            kept.append(f"{page.url}: {stem}.png, .html")
    return kept


def _keep_logs(logs: Path) -> list[tuple[str, str]]:
    """Copies below ``REMAINS``, and the last lines of each process's log."""
    shutil.copytree(logs, REMAINS / "logs", dirs_exist_ok=True, ignore_dangling_symlinks=True)
    return [
        (f"end of {REMAINS / 'logs' / path.name}", "\n".join(_tail(path)))
        for path in sorted(logs.glob("*.log"))
    ]


def _tail(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-LOG_LINES:]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was measured: a figure that nobody reads is not worth its seconds."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(value)
