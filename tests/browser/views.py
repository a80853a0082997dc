"""What each picture of docs/ui.md shows, and how a person gets there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import FrameLocator, Locator, expect

from tests.browser.person import LAPTOP, PHONE, Person
from transfergate.orchestration.assets import CHAIN

TALL = {"width": 1366, "height": 1080}


@dataclass(frozen=True)
class View:
    """One picture: its file's name, how to get there, on which screen."""

    name: str
    look: Callable[[Person], None]
    size: dict[str, int] = field(default_factory=lambda: LAPTOP)
    scheme: Literal["light", "dark"] = "light"


def overview(person: Person) -> None:
    """The first page, in Airflow's frame."""
    _framed(person).get_by_test_id("ticker-row").first.wait_for()


def report(person: Person) -> None:
    """Verdicts and the forest plot, in Airflow's frame."""
    _open_report(person).get_by_test_id("forest-plot").locator("svg").first.wait_for()


def curves(person: Person) -> None:
    """Equity of all arms of the ticker that the report shows first, in Airflow's frame."""
    opened = _open_report(person).get_by_test_id("ticker-report")
    chart = opened.get_by_test_id("equity-chart")
    chart.locator("svg path").nth(10).wait_for(state="attached")
    _to_the_top(opened.get_by_role("heading", level=2))


def quality(person: Person) -> None:
    """One batch, in Airflow's frame."""
    _open_batch(person).get_by_test_id("batch-counts").wait_for()


def quarantine(person: Person) -> None:
    """The rows that were set apart, in Airflow's frame."""
    pages = _open_batch(person)
    link = pages.get_by_test_id("quarantine-link")
    if link.count():  # not every batch has such rows
        link.click()
        pages.get_by_test_id("quarantine-row").first.wait_for()


def data_docs(person: Person) -> None:
    """Great Expectations' page of the batch, in Airflow's frame."""
    pages = _open_batch(person)
    pages.get_by_test_id("gx-link").click()
    pages.get_by_text("Expectation Validation Result").wait_for()


def form(person: Person) -> None:
    """The form that starts the chain, in Airflow."""
    person.page.goto(person.url)
    shown = person.open_form(CHAIN[0], "What")
    shown.get_by_role("combobox", name="Source of bars").wait_for()


def descendants(person: Person) -> None:
    """What became of a batch, outside of the frame."""
    person.page.goto(f"{person.url}/transfergate/batches")
    person.page.get_by_test_id("batch-link").first.click()
    person.page.get_by_test_id("lineage-link").click()
    person.page.get_by_test_id("lineage-graph").wait_for()


def first_page(person: Person) -> None:
    """The first page, outside of the frame."""
    person.page.goto(f"{person.url}/transfergate/")
    person.page.get_by_test_id("ticker-row").first.wait_for()


VIEWS = (
    View("overview", overview),
    View("report", report, TALL),
    View("curves-dark", curves, scheme="dark"),
    View("quality", quality),
    View("quarantine", quarantine),
    View("data-docs-dark", data_docs, scheme="dark"),
    View("form", form, TALL),
    View("lineage-phone-dark", descendants, PHONE, "dark"),
    View("overview-phone", first_page, PHONE),
)


def _framed(person: Person, section: str = "Overview") -> FrameLocator:
    person.page.goto(f"{person.url}/plugin/transfergate")
    navigation = person.frame.get_by_role("navigation", name="Transfergate")
    navigation.get_by_role("link", name=section).click()
    current = navigation.get_by_role("link", name=section)
    expect(current).to_have_attribute("aria-current", "page")
    return person.frame


def _open_report(person: Person) -> FrameLocator:
    pages = _framed(person, "Evaluations")
    pages.get_by_test_id("evaluation-row").get_by_role("link").first.click()
    return pages


def _open_batch(person: Person) -> FrameLocator:
    pages = _framed(person, "Data quality")
    pages.get_by_test_id("batch-link").first.click()
    pages.get_by_test_id("batch-counts").wait_for()
    return pages


def _to_the_top(part: Locator) -> None:
    part.evaluate("node => node.scrollIntoView({block: 'start'})")
