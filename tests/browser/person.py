"""A person at a browser: what they look at, click and type, and what must not happen meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FrameLocator,
    Locator,
    Page,
    Playwright,
    Request,
    Response,
    expect,
)

CHROMIUM = Path("/usr/bin/chromium")
LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}
PATIENCE = 120_000.0
"""Milliseconds for what takes a second on a quiet machine: a failure is not a slow machine."""
expect.set_options(timeout=PATIENCE)

ARGUMENTS = [
    "--no-sandbox",  # inside a container the sandbox cannot start
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no page may need the network
]


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium, without a window."""
    if not CHROMIUM.exists():
        raise FileNotFoundError(
            f"{CHROMIUM} is not there; next: apt-get install chromium fonts-dejavu-core"
        )
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


class Watch:
    """Notes what a page must not do: errors in the console, failed and foreign requests."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        self._expected: list[int] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"script error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    @contextmanager
    def expecting(self, status: int) -> Iterator[None]:
        """Within this, one status is an answer and no failure."""
        self._expected.append(status)
        try:
            yield
        finally:
            self._expected.remove(status)

    def check(self) -> None:
        """Fail with what was noted, and forget it."""
        found, self.found = self.found, []
        assert found == []

    def _console(self, message: ConsoleMessage) -> None:
        told = message.text.startswith("Failed to load resource")  # has its response as well
        if message.type == "error" and not told:
            self.found.append(f"console: {message.text} {message.location}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.found.append(f"foreign host: {request.url}")

    def _failed(self, request: Request) -> None:
        # Aborted: by the page itself, when it goes elsewhere.
        if request.failure != "net::ERR_ABORTED":
            self.found.append(f"failed: {request.url} {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self._expected:
            self.found.append(f"{response.status}: {response.request.method} {response.url}")


class Person:
    """One tab of one browser context."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        context.set_default_timeout(PATIENCE)
        self.page = context.new_page()
        self.url = url
        self.watch = Watch(self.page)

    def log_in(self, password: str, *, to: str = "/") -> None:
        """Ask for a page without a session, and get there through the log-in form."""
        self.page.goto(f"{self.url}{to}")
        self.page.get_by_label("Username").fill("admin")
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: urlsplit(url).path == to)

    # Airflow's own pages

    def see_dags(self) -> None:
        """Go to the list of DAGs by the navigation bar."""
        self.page.get_by_role("link", name="Dags", exact=True).first.click()
        # A DAG's own page has a link to itself, so that the link alone does not say where we are.
        self.page.wait_for_url(lambda url: urlsplit(url).path == "/dags")
        self.page.get_by_role("heading", name=re.compile(r"^\d+ Dags?$")).wait_for()
        self.page.locator("a[href='/dags/ingest_daily_bars']").first.wait_for()

    def switch_on(self, dag_id: str) -> None:
        """Unpause a DAG by its switch in the list of DAGs."""
        card = self.page.locator(
            f"xpath=//a[@href='/dags/{dag_id}']"
            "/ancestor::div[.//label[@data-testid='toggle-pause']][1]"
        )
        switch = card.get_by_test_id("toggle-pause").first
        with self.page.expect_response(lambda answer: answer.request.method == "PATCH") as answer:
            switch.click()
        assert answer.value.ok
        expect(card.get_by_role("checkbox").first).to_be_checked(timeout=PATIENCE)

    def open_form(self, dag_id: str, part: str) -> Locator:
        """Open a DAG's trigger form from the list of DAGs, and unfold a part of it."""
        self.see_dags()
        self.page.locator(f"a[href='/dags/{dag_id}']").first.click()
        self.page.wait_for_url(f"**/dags/{dag_id}")
        button = self.page.get_by_role("button", name="Trigger Dag").filter(has_text="Trigger")
        button.first.click()
        form = self.page.get_by_role("dialog")
        form.locator("button[aria-expanded]").nth(1).wait_for()
        self.unfold(form, part)
        return form

    def unfold(self, form: Locator, part: str) -> None:
        """Unfold a part of a form; Airflow folds the others."""
        header = form.get_by_role("button", name=part, exact=True)
        if header.get_attribute("aria-expanded") != "true":
            header.click()
        expect(header).to_have_attribute("aria-expanded", "true")

    def send_form(self, form: Locator) -> str:
        """Press the form's button; returns the id of the run that it made."""
        with self.page.expect_response(_creates_a_run) as answer:
            form.get_by_role("button", name="Trigger").click()
        assert answer.value.ok, answer.value.text()
        form.wait_for(state="hidden")
        return str(answer.value.json()["dag_run_id"])

    # Our pages, in Airflow's frame

    def see_pages(self, section: str = "Overview") -> FrameLocator:
        """Go to a section of our pages by Airflow's navigation bar, then by ours."""
        if "/plugin/" in self.page.url:  # there already: the link would leave the frame as it is
            self.see_dags()
        self.page.get_by_role("link", name="Transfer").first.click()
        navigation = self.frame.get_by_role("navigation", name="Transfergate")
        navigation.get_by_role("link", name=section).click()
        expect(
            navigation.get_by_role("link", name=section), f"{section} is marked as current"
        ).to_have_attribute("aria-current", "page")
        return self.frame

    @property
    def frame(self) -> FrameLocator:
        """The frame in which Airflow shows our pages."""
        return self.page.frame_locator("iframe")

    def close(self) -> None:
        """Close the tab and its context."""
        self.page.context.close()


def wait_until(what: str, ready: Callable[[], Any], seconds: float = PATIENCE / 1000) -> Any:
    """Ask again and again until the answer is true; returns it.

    Raises:
        TimeoutError: If it never is.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.5)
    return answer


def _creates_a_run(answer: Response) -> bool:
    path = urlsplit(answer.url).path
    return answer.request.method == "POST" and re.search(r"/dagRuns$", path) is not None
