"""``make screenshots``: docs/images anew, from the chain on the sample source's real bars.

    python -m tests.browser.screenshots [--home FOLDER] [--to FOLDER]

Runs the chain as ``make retrain`` does (in a home where it has run, nothing is made anew), then
looks at the pages inside a real Airflow.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Page, sync_playwright

from tests.browser.person import LAPTOP, PHONE, Person, launch
from transfergate.orchestration import retrain
from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment
from transfergate.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 150_000
COLOURS = 128
TICKER = "GOOG"


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="screenshots", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "screenshots")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    settings = Settings(home=options.home.resolve())
    options.to.mkdir(parents=True, exist_ok=True)
    if not (settings.artefact_root / "evaluations" / "latest.json").exists():
        conf = {"source": "sample"}
        environment = {
            **settings_environment(settings),
            "TRANSFERGATE_SCHEDULES__INGEST": "manual",
            "TRANSFERGATE_SCHEDULES__RETRAIN": "asset",
        }
        retrain.retrain(settings, environment, conf, sys.stdout)
    with (
        EmbeddedAirflow(settings, settings_environment(settings)) as airflow,
        sync_playwright() as playwright,
    ):
        airflow.start_scheduler()  # or Airflow warns on every page that it does not run
        airflow.api.wait_for_dags((*CHAIN, *BY_HAND), parsed_after=0.0, seconds=300)
        browser = launch(playwright)
        for name, (size, scheme, look) in PICTURES.items():
            file = options.to / f"{name}.png"
            file.write_bytes(_taken(browser, airflow, size, scheme, look))
            sys.stdout.write(f"{file}  {file.stat().st_size / 1000:.0f} kB\n")
        browser.close()
    return 0


def small(picture: bytes) -> bytes:
    """The same picture in a palette of ``COLOURS``.

    Raises:
        ValueError: If it is still larger than ``MAX_BYTES``.
    """
    colours = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=0)
    written = io.BytesIO()
    colours.save(written, "PNG", optimize=True)
    if len(written.getvalue()) > MAX_BYTES:
        raise ValueError(
            f"a picture of {len(written.getvalue())} bytes, expected at most {MAX_BYTES}: take a "
            f"smaller part of the page, or fewer colours"
        )
    return written.getvalue()


def _taken(
    browser: Browser,
    airflow: EmbeddedAirflow,
    size: dict[str, int],
    scheme: str,
    look: Callable[[Person], None],
) -> bytes:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    if scheme == "dark":  # Airflow's own switch, as a person leaves it
        context.add_init_script("localStorage.setItem('theme', 'dark')")
    person = Person(context, airflow.url)
    person.log_in(airflow.secrets["admin_password"], to="/transfergate/")
    look(person)
    person.page.wait_for_load_state("networkidle")
    person.watch.check()
    taken = small(person.page.screenshot())
    person.close()
    return taken


def overview(person: Person) -> None:
    """The first page, in Airflow's frame."""
    _framed(person).get_by_test_id("ticker-row").first.wait_for()


def report(person: Person) -> None:
    """Verdicts and the forest plot, in Airflow's frame."""
    pages = _framed(person, "Evaluations")
    pages.get_by_test_id("evaluation-row").get_by_role("link").first.click()
    pages.get_by_test_id("forest-plot").locator("svg").first.wait_for()


def curves(person: Person) -> None:
    """Equity of all arms of one ticker, in Airflow's frame."""
    report(person)
    opened = person.frame.get_by_test_id("ticker-report").filter(has_text=TICKER)
    chart = opened.get_by_test_id("equity-chart")
    chart.evaluate("node => node.closest('figure').scrollIntoView({block: 'start'})")
    chart.locator("svg path").nth(10).wait_for(state="attached")


def quality(person: Person) -> None:
    """One batch, in Airflow's frame."""
    pages = _framed(person, "Data quality")
    pages.get_by_test_id("batch-link").first.click()
    pages.get_by_test_id("batch-counts").wait_for()


def lineage(person: Person) -> None:
    """From a champion or candidate back to bars, on a phone, outside of the frame."""
    person.page.goto(f"{person.url}/transfergate/batches")
    person.page.get_by_test_id("batch-link").first.click()
    person.page.get_by_test_id("lineage-link").click()
    person.page.get_by_test_id("lineage-graph").wait_for()


def phone(person: Person) -> None:
    """The first page on a phone, outside of the frame."""
    _small(person.page)


PICTURES: dict[str, tuple[dict[str, int], str, Callable[[Person], None]]] = {
    "overview": (LAPTOP, "light", overview),
    "report": (LAPTOP, "light", report),
    "curves-dark": (LAPTOP, "dark", curves),
    "quality": (LAPTOP, "light", quality),
    "lineage-phone-dark": (PHONE, "dark", lineage),
    "overview-phone": (PHONE, "light", phone),
}


def _framed(person: Person, section: str = "Overview") -> FrameLocator:
    person.page.goto(person.url)
    return person.see_pages(section)


def _small(page: Page) -> None:
    page.get_by_test_id("ticker-row").first.wait_for()


if __name__ == "__main__":
    raise SystemExit(main())
