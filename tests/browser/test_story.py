"""What somebody does who never read the code: log in, start, watch, read, approve, take back.

The tests tell one story in order; each fixture is a step of it that later tests stand on.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.market import N_WRONG, PROMOTED, SCRIPT
from tests.browser.person import PATIENCE, Person, wait_until
from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow
from transfergate.orchestration.follow import follow_chain
from transfergate.orchestration.progress import Progress

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

TRAINED = "finetune_tickers"


@pytest.fixture(scope="module")
def trained(logged_in: Person, airflow: EmbeddedAirflow, home: Path) -> dict[str, str]:
    """The chain, started by the form and run to the question; run ids by DAG."""
    logged_in.see_dags()
    for dag_id in CHAIN[1:]:
        logged_in.switch_on(dag_id)
    form = logged_in.open_form(CHAIN[0], "What")
    form.get_by_role("combobox", name="Source of bars").click()
    form.get_by_role("option", name=re.compile("^files")).click()
    form.locator("[name=element_data]").fill(str(home / "bars"))
    first = logged_in.send_form(form)
    before = CHAIN[-2]
    runs = follow_chain(airflow, CHAIN[0], first, before, Progress(io.StringIO()))
    ids = {run.dag_id: run.run_id for run in runs}
    created = wait_until(
        "fine-tuning to start", lambda: airflow.api.created_runs(before, ids[before])
    )
    ids |= dict(created)
    wait_until("the question", lambda: is_asked(airflow, ids[TRAINED]), seconds=600)
    return ids


@pytest.fixture(scope="module")
def approved(logged_in: Person, airflow: EmbeddedAirflow, trained: dict[str, str]) -> str:
    """The promotion, approved where the overview leads to; returns what was asked."""
    pages = logged_in.see_pages()
    pages.get_by_test_id("approval-link").first.click()
    question = logged_in.page.get_by_role("dialog")
    question.get_by_role("button", name="Approve").wait_for()
    asked = question.inner_text()
    with logged_in.page.expect_response(
        lambda answer: (
            urlsplit(answer.url).path.endswith("/hitlDetails") and answer.request.method == "PATCH"
        )
    ) as answer:
        question.get_by_role("button", name="Approve").click()
    assert answer.value.ok
    logged_in.page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    follow_chain(airflow, TRAINED, trained[TRAINED], TRAINED, Progress(io.StringIO()))
    return asked


@pytest.fixture(scope="module")
def rolled_back(logged_in: Person, approved: str) -> str:
    """The champion, taken back on its page; returns the reason given."""
    why = "costs rose above what <b>was</b> assumed"
    pages = logged_in.see_pages("Champions")
    pages.get_by_test_id("champions-table").get_by_role("link", name=PROMOTED).click()
    pages.get_by_test_id("rollback-link").click()
    pages.get_by_test_id("rollback-why").fill(why)
    pages.get_by_test_id("rollback-confirm").click()
    expect(pages.get_by_test_id("rollback-outcome")).to_contain_text(
        "Rolled back", timeout=2 * PATIENCE
    )
    return why


def is_asked(airflow: EmbeddedAirflow, run_id: str) -> bool:
    """Whether a run waits for a person; fails if it has failed."""
    states = {(one.task_id, one.state) for one in airflow.api.task_instances(TRAINED, run_id)}
    failed = [task for task, state in states if state == "failed"]
    assert not failed, f"{failed} failed; logs: {airflow.logs}"
    return ("approve", "awaiting_input") in states


def test_the_log_in_form_leads_back_to_the_page_that_was_asked_for(
    airflow: EmbeddedAirflow, newcomer: Callable[..., Person]
) -> None:
    person = newcomer()
    person.page.goto(f"{airflow.url}/transfergate/batches")
    assert urlsplit(person.page.url).path == "/auth/login"
    assert "quarantine" not in person.page.content().lower()
    person.log_in(airflow.secrets["admin_password"], to="/transfergate/batches")
    expect(person.page.get_by_role("heading", name="Data quality", level=1)).to_be_visible()
    person.watch.check()


def test_a_session_that_somebody_else_has_signed_shows_nothing(
    airflow: EmbeddedAirflow, newcomer: Callable[..., Person]
) -> None:
    person = newcomer()
    forged = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmVkIGJ5IG5vYm9keQ"
    person.page.context.add_cookies([{"name": "_token", "value": forged, "url": airflow.url}])
    for path in ("", "evaluations", "champions", "batches", "lineage/champion/SHARED"):
        answer = person.page.request.get(f"{airflow.url}/transfergate/{path}", max_redirects=0)
        assert answer.status in (307, 401, 403), path
        assert "Transfergate" not in answer.text(), path


def test_before_anything_has_run_the_overview_says_what_to_do(person: Person) -> None:
    pages = person.see_pages()
    expect(pages.get_by_test_id("overview-table")).to_contain_text("Nothing was judged yet")
    pages.get_by_test_id("overview-table").get_by_role("link").first.click()
    person.page.wait_for_url(f"**/dags/{CHAIN[0]}")


def test_the_name_in_the_navigation_bar_is_not_cut(person: Person) -> None:
    entry = person.page.get_by_role("link", name="Transfer").first
    parts = "link => [link, ...link.querySelectorAll('*')]"
    widths = entry.evaluate(f"{parts}.map(one => [one.scrollWidth, one.clientWidth])")
    assert all(needed <= there for needed, there in widths if there), widths


def test_a_nonsense_value_is_refused_in_the_form(person: Person, airflow: EmbeddedAirflow) -> None:
    form = person.open_form(CHAIN[0], "What")
    form.get_by_placeholder("each string on a new line").fill("no such ticker!")
    with person.watch.expecting(400):
        form.get_by_role("button", name="Trigger").click()
        expect(form).to_contain_text("no such ticker!' does not match")
    form.get_by_role("button", name="Close").click()
    assert runs_of(airflow, CHAIN[0]) == []


def runs_of(airflow: EmbeddedAirflow, dag_id: str) -> list[str]:
    login = {"username": "admin", "password": airflow.secrets["admin_password"]}
    token = httpx.post(f"{airflow.url}/auth/token", json=login, timeout=60).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    found = httpx.get(f"{airflow.url}/api/v2/dags/{dag_id}/dagRuns", headers=headers, timeout=60)
    return [run["dag_run_id"] for run in found.json()["dag_runs"]]


def test_the_form_starts_the_chain_and_its_runs_are_shown(
    person: Person, trained: dict[str, str]
) -> None:
    person.see_dags()
    person.page.locator(f"a[href='/dags/{CHAIN[0]}']").first.click()
    person.page.get_by_role("link", name="Runs", exact=True).click()
    expect(person.page.get_by_role("table")).to_contain_text("Success")
    assert list(trained) == list(CHAIN)


def test_the_overview_says_that_an_answer_is_waited_for(
    person: Person, trained: dict[str, str]
) -> None:
    pages = person.see_pages()
    expect(pages.get_by_test_id("attention")).to_contain_text("approve or refuse")
    rows = pages.get_by_test_id("ticker-row")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text=PROMOTED)).to_contain_text("flat")


def test_the_batch_shows_its_counts_and_opens_its_data_docs(
    person: Person, trained: dict[str, str]
) -> None:
    pages = person.see_pages("Data quality")
    pages.get_by_test_id("batch-link").first.click()
    counts = pages.get_by_test_id("batch-counts")
    expect(counts).to_contain_text("2,102")
    expect(counts).to_contain_text(str(N_WRONG))
    pages.get_by_test_id("gx-link").first.click()
    expect(pages.locator("body")).to_contain_text("Expectation Validation Result")
    for scheme, background in (("dark", "rgb(20, 23, 29)"), ("light", "rgb(255, 255, 255)")):
        person.page.emulate_media(color_scheme=scheme)
        expect(pages.locator("body")).to_have_css("background-color", background)


def test_the_quarantine_shows_wrong_rows_as_text_and_gives_them_as_csv(
    person: Person, trained: dict[str, str]
) -> None:
    pages = person.see_pages("Data quality")
    pages.get_by_test_id("batch-link").first.click()
    pages.get_by_test_id("quarantine-link").click()
    rows = pages.get_by_test_id("quarantine-row")
    expect(rows).to_have_count(N_WRONG)
    expect(rows.filter(has_text=SCRIPT)).to_have_count(1)
    with person.page.expect_download() as download:
        pages.get_by_test_id("csv-link").click()
    text = Path(download.value.path()).read_text()
    found = list(csv.DictReader(io.StringIO(text)))
    assert len(found) == N_WRONG
    assert {row["ticker"].lstrip("'") for row in found} == {SCRIPT, "=1+1", "SRC01"}
    assert not any(line.startswith("=") for line in text.splitlines())


def test_the_report_draws_the_intervals_the_curves_and_how_both_arms_learned(
    person: Person, trained: dict[str, str]
) -> None:
    pages = person.see_pages("Evaluations")
    pages.get_by_test_id("evaluation-row").get_by_role("link").first.click()
    expect(pages.get_by_test_id("verdict-counts")).to_contain_text(re.compile("1 . promote"))
    for chart in ("forest-plot", "equity-chart", "drawdown-chart", "learning-chart"):
        figure = pages.get_by_test_id(chart)
        figure.scroll_into_view_if_needed()
        marks = figure.locator("svg path[fill], svg path[stroke], svg polyline")
        expect(marks.nth(2), chart).to_be_attached()
        assert figure.get_attribute("aria-label"), f"{chart} says nothing to who cannot see it"
    opened = pages.get_by_test_id("ticker-report")
    expect(opened).to_contain_text(PROMOTED)
    pages.get_by_test_id("tickers-table").get_by_role("link", name="OPPOSED").click()
    expect(opened.get_by_role("heading", level=2)).to_contain_text("OPPOSED")


def test_the_reports_links_lead_to_the_run_and_to_the_batch(
    person: Person, trained: dict[str, str]
) -> None:
    pages = person.see_pages("Evaluations")
    pages.get_by_test_id("evaluation-row").get_by_role("link").first.click()
    expect(pages.get_by_test_id("run-link")).to_have_text(trained[TRAINED])
    pages.get_by_test_id("promotion-report").locator("a[href*='/batches/']").first.click()
    expect(pages.get_by_test_id("batch-counts")).to_be_visible()


def test_the_question_names_the_ticker_and_the_report(person: Person, approved: str) -> None:
    assert f"Promote {PROMOTED}?" in approved
    assert "Report" in approved


def test_the_overview_shows_the_new_champion(person: Person, approved: str) -> None:
    pages = person.see_pages()
    row = pages.get_by_test_id("ticker-row").filter(has_text=PROMOTED)
    expect(row).not_to_contain_text("flat")
    expect(row).to_contain_text("promote", ignore_case=True)
    expect(pages.get_by_test_id("attention")).not_to_contain_text("approve or refuse")


def test_lineage_leads_from_the_champion_to_its_batch_and_forward_again(
    person: Person, approved: str
) -> None:
    pages = person.see_pages("Champions")
    pages.get_by_test_id("champions-table").get_by_role("link", name=PROMOTED).click()
    pages.get_by_role("link", name="Lineage").click()
    graph = pages.get_by_test_id("lineage-graph")
    expect(graph).to_be_visible()
    graph.get_by_test_id("batch-link").first.click()
    pages.get_by_test_id("lineage-link").click()
    expect(pages.get_by_test_id("descendants-table")).to_contain_text(PROMOTED)


def test_the_history_shows_both_moves_and_the_reason_as_text(
    person: Person, rolled_back: str, airflow: EmbeddedAirflow
) -> None:
    pages = person.see_pages("Champions")
    pages.get_by_test_id("champions-table").get_by_role("link", name=PROMOTED).click()
    history = pages.get_by_test_id("champion-history")
    expect(history.get_by_test_id("move-row")).to_have_count(2)
    expect(history).to_contain_text(rolled_back)
    assert len(runs_of(airflow, *BY_HAND)) == 1
