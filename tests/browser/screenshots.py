"""``make screenshots``: docs/images anew.

    python -m tests.browser.screenshots [--data FOLDER] [--config FILE] [--home FOLDER]
        [--to FOLDER] [--views NAMES]

Photographed inside a real Airflow is a home in which ``make retrain`` has run on the sample source,
or on the bars of FOLDER with the settings of FILE; where it has run already, nothing is made anew.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, StorageState, sync_playwright

from tests.browser import views
from tests.browser.person import Person, launch
from tests.browser.views import View
from transfergate import settings as settings_module
from transfergate.orchestration import retrain
from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment
from transfergate.orchestration.processes import interruptible
from transfergate.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 150_000
COLOURS = 128
BY_ASSETS = {
    "TRANSFERGATE_SCHEDULES__INGEST": "manual",
    "TRANSFERGATE_SCHEDULES__RETRAIN": "asset",
}
_SESSIONS: dict[str, StorageState] = {}  # of one log-in each, by the Airflow's address


def main() -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="screenshots", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="folder of bar files instead of the sample source")
    parser.add_argument("--config", type=Path, help="settings of the home, as TOML")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "screenshots")
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--views", help="names of pictures, comma separated; else all")
    options = parser.parse_args()
    interruptible()
    options.to.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        photograph(browser, options)
        browser.close()
    return 0


def photograph(browser: Browser, options: argparse.Namespace) -> None:
    """Pictures of bars as they came: what the gate says of them is not chosen."""
    if options.config:
        os.environ["TRANSFERGATE_CONFIG"] = str(options.config.resolve())
    settings = _at(options.home)
    environment = settings_environment(settings) | BY_ASSETS
    if not (settings.artefact_root / "evaluations" / "latest.json").exists():
        conf = {"source": "files", "data": options.data} if options.data else {"source": "sample"}
        retrain.retrain(settings, environment, conf, sys.stdout)
    with _airflow(settings, environment) as airflow:
        for view in _wanted(views.VIEWS, options):
            _take(browser, airflow, view, options.to)


def _wanted(found: Sequence[View], options: argparse.Namespace) -> list[View]:
    names = options.views.split(",") if options.views else [view.name for view in found]
    return [view for view in found if view.name in names]


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


def _at(home: Path) -> Settings:
    return settings_module.load().model_copy(update={"home": home.resolve()})


@contextmanager
def _airflow(settings: Settings, environment: Mapping[str, str]) -> Iterator[EmbeddedAirflow]:
    with EmbeddedAirflow(settings, environment) as airflow:
        airflow.start_scheduler()  # or Airflow warns on every page that it does not run
        airflow.api.wait_for_dags((*CHAIN, *BY_HAND), parsed_after=0.0, seconds=300)
        yield airflow


def _take(browser: Browser, airflow: EmbeddedAirflow, view: View, folder: Path) -> None:
    with _somebody(browser, airflow, view) as person:
        view.look(person)
        person.page.wait_for_load_state("networkidle")
        person.watch.check()
        file = folder / f"{view.name}.png"
        file.write_bytes(small(person.page.screenshot()))
        sys.stdout.write(f"{file}  {file.stat().st_size / 1000:.0f} kB\n")


@contextmanager
def _somebody(browser: Browser, airflow: EmbeddedAirflow, view: View) -> Iterator[Person]:
    context = browser.new_context(
        viewport=view.size, color_scheme=view.scheme, storage_state=_SESSIONS.get(airflow.url)
    )
    if view.scheme == "dark":  # Airflow's own switch, as a person leaves it
        context.add_init_script("localStorage.setItem('theme', 'dark')")
    person = Person(context, airflow.url)
    if airflow.url not in _SESSIONS:
        person.log_in(airflow.secrets["admin_password"], to="/transfergate/")
        _SESSIONS[airflow.url] = context.storage_state()
    yield person
    person.close()


if __name__ == "__main__":
    raise SystemExit(main())
