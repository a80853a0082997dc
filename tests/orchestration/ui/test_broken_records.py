"""One record that is missing, torn or of another version spoils no page, and is named on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape

import pytest

from tests.made_records import Made, chain
from transfergate.orchestration.ui import data

PAGES = (
    "/",
    "/champions",
    "/champions/AAA",
    "/champions/BBB",
    "/champions/AAA/rollback",
    "/evaluations",
    "/batches",
    "/lineage/champion/AAA",
    "/lineage/batch/b1",
    "/lineage/batch/b2",
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "_KEPT", {})
    sources = '{"daily": {"kind": "files", "root": "/nowhere"}}'
    monkeypatch.setenv("TRANSFERGATE_SOURCES", sources)
    made = chain(tmp_path / "artefacts")
    for batch in ("b1", "b2", "b3"):  # as far as the list of batches reads it
        told = made.store.read_json(f"batches/{batch}/validation.json")
        more = {"source": "daily", "received": 101, "quarantined": 1, "refusals": []}
        days = {"first_session": "2024-01-01", "last_session": "2024-03-28", "expectations": []}
        made.write(f"batches/{batch}/validation.json", told | more | days)
    return made


def half(made: Made, key: str) -> None:
    content = made.store.read(key)
    made.store.replace(key, content[: len(content) // 2])


def half_a_character(made: Made, key: str) -> None:
    content = made.store.read_json(key) | {"why": "\ud800"}  # nothing here writes that
    made.store.replace(key, json.dumps(content).encode())


def gone(made: Made, key: str) -> None:
    made.store.discard(key)


def with_(**fields: object) -> Callable[[Made, str], None]:
    """Change fields of a record; ``...`` takes one out."""

    def change(made: Made, key: str) -> None:
        content = (made.store.read_json(key) if made.store.exists(key) else {}) | fields
        made.write(key, {name: value for name, value in content.items() if value is not ...})

    return change


BROKEN = [
    ("batches/b2/validation.json", half, ["/", "/batches", "/lineage/batch/b2"]),
    ("batches/b2/validation.json", gone, ["/", "/batches", "/lineage/batch/b2"]),
    ("batches/b2/validation.json", with_(first_session=20240101), ["/batches"]),
    ("batches/b1/batch.json", half, ["/", "/batches", "/lineage/batch/b1"]),
    ("batches/b1/batch.json", with_(known_at="yesterday"), ["/", "/batches"]),
    ("batches/b1/batch.json", with_(last_session=20240328), ["/"]),
    ("snapshots/5a/manifest.json", half, ["/", "/lineage/champion/AAA", "/lineage/batch/b1"]),
    ("snapshots/5a/manifest.json", with_(sessions={"first": "2024-01-01"}), ["/"]),
    ("snapshots/5a/manifest.json", with_(as_of=...), ["/", "/lineage/batch/b1"]),
    ("foundations/f1/foundation.json", half, ["/", "/lineage/champion/AAA"]),
    ("candidates/AAA/a2/bundle.json", half, ["/", "/champions/AAA", "/lineage/champion/AAA"]),
    ("candidates/AAA/a2/bundle.json", gone, ["/", "/champions/AAA", "/lineage/champion/AAA"]),
    ("evaluations/e1/verdicts.json", half, ["/", "/champions", "/evaluations"]),
    ("evaluations/e1/verdicts.json", with_(tickers={"AAA": {}}), ["/", "/evaluations"]),
    ("evaluations/latest/AAA.json", half, ["/", "/champions", "/champions/AAA"]),
    ("evaluations/latest/AAA.json", with_(evaluation_id=[]), ["/", "/champions"]),
    ("champions/AAA/000002.json", half, ["/", "/champions", "/champions/AAA"]),
    ("champions/AAA/000002.json", with_(stage="canary"), ["/", "/champions/AAA"]),
    ("champions/AAA/000002.json", half_a_character, ["/", "/champions", "/champions/AAA"]),
    ("champions/AAA/000002.json", with_(action="canary"), ["/", "/champions/AAA/rollback"]),
    ("evaluations/e1/origin.json", with_(judged_at="long ago"), ["/evaluations"]),
]


def concerns(page: str) -> list[str]:
    shown = re.search(r'<ul class="attention".*?</ul>', page, re.DOTALL)
    return [unescape(re.sub(r"<[^>]*>", "", one)) for one in
            re.findall(r"<li.*?</li>", shown[0], re.DOTALL)] if shown else []  # fmt: skip


@pytest.mark.parametrize(("key", "spoil", "shows"), BROKEN)
def test_a_broken_record_spoils_no_page_and_is_named_first(made, pages, key, spoil, shows):
    spoil(made, key)
    for path in PAGES:
        answer = pages.get(path)
        assert answer.status_code == 200, (path, answer.text)
        if path in shows:
            first = concerns(answer.text)[0]
            assert key in first, path
            assert str(made.store.path(key)) in first
            assert re.search(r"[Rr]estore|[Jj]udge", first), "says what to do"
    assert 'data-testid="ticker-row"' in pages.get("/").text, "the rest is there"


def test_the_page_of_what_is_broken_says_so(made, pages):
    batch = "b2" * 4
    made.batch(batch, "2024-03-29T21:00:00+00:00")  # whole, but not what the page shows
    shown = pages.get(f"/batches/{batch}")
    assert shown.status_code == 200
    assert f"batches/{batch}/validation.json" in concerns(shown.text)[0]
    made.store.replace(f"batches/{batch}/validation.json", b"{")
    for path in (f"/batches/{batch}", f"/batches/{batch}/quarantine"):
        assert "Records of this batch are broken" in pages.get(path).text
    assert pages.get(f"/batches/{batch}/quarantine.csv").status_code == 404


def test_an_evaluation_that_lacks_what_the_report_shows_says_so(made, pages):
    name = "e1" * 4
    made.evaluation(name, "f1", {"AAA": {}})
    made.store.replace(f"evaluations/{name}/report.html", b"<p>kept</p>")
    for content in (None, b"[1, 2", b"{}"):
        if content is not None:
            made.store.replace(f"evaluations/{name}/verdicts.json", content)
        shown = pages.get(f"/evaluations/{name}")
        assert shown.status_code == 200
        assert f"evaluations/{name}/verdicts.json" in concerns(shown.text)[0]
        assert f'href="/transfergate/evaluations/{name}/report.html"' in shown.text
    assert pages.get(f"/evaluations/{name}/report.html").status_code == 200
    assert pages.get(f"/evaluations/{name}/tickers/0").status_code == 404


def test_an_evaluation_that_a_pointer_names_but_is_gone_is_named(made, pages):
    assert "PROMOTE" not in concerns(pages.get("/").text)
    made.store.discard("evaluations/e1/verdicts.json")
    made.store.path("evaluations/e1").rmdir()
    (first, *_) = concerns(pages.get("/").text)  # a process that has read it before
    assert "evaluations/e1/verdicts.json" in first
    assert "evaluations/latest/" in first, "which record names it"
    assert "not judged" in pages.get("/").text


def test_a_pointer_to_an_evaluation_without_the_ticker_gives_way_to_the_newest_that_has_it(
    made, pages
):
    for name, judged_at, verdict in (
        ("e0", "2024-04-03T00:00:00+00:00", "REJECT_GUARDRAIL"),
        ("e3", "2024-04-02T00:00:00+00:00", "INVALID"),
    ):
        made.evaluation(name, "f1", {"BBB": {"verdict": verdict}})
        made.write(f"evaluations/{name}/origin.json", {"judged_at": judged_at})
    made.evaluation("e4", "f1", {"AAA": {"verdict": "PROMOTE"}})
    made.write("evaluations/latest/BBB.json", {"evaluation_id": "e4"})
    overview = pages.get("/").text
    assert "not judged" not in overview
    assert "e0?ticker=BBB" in overview, "judged last, whatever its name"
    assert "names evaluation e4, which lacks BBB" in concerns(overview)[0]
    assert "guard failed" in pages.get("/champions/BBB").text


def test_what_serves_is_not_guessed_from_half_a_history(made, pages):
    made.store.discard("champions/AAA/000001.json")
    overview, champion = pages.get("/").text, pages.get("/champions/AAA").text
    assert "the history is not whole" in concerns(overview)[0].lower()
    assert "what serves for 1 cannot be said" in overview
    assert 'data-testid="rollback-link"' not in champion
    assert "Nobody can say from here what serves for AAA" in champion
    assert "Nobody can say" in pages.get("/champions/AAA/rollback").text
    assert "Nobody can say" in pages.get("/lineage/champion/AAA").text
    assert '<code title="a2">' not in overview.partition('data-testid="overview-table"')[2]


def test_a_record_that_was_restored_is_used_again(made, pages):
    key = "champions/AAA/000002.json"
    content = made.store.read(key)
    half(made, key)
    assert concerns(pages.get("/").text)[0].startswith("✖A record is broken")
    made.store.replace(key, content)
    assert not any("broken" in one for one in concerns(pages.get("/").text))


@pytest.mark.parametrize("name", ["../../../../etc", "a\0b", "n" * 300])
def test_a_record_that_names_what_no_name_can_be_spoils_no_page(made, pages, name):
    with_(version=name, evaluation=name)(made, "champions/AAA/000002.json")
    with_(snapshot_id=name, foundation_version=name)(made, "candidates/AAA/a1/bundle.json")
    for path in PAGES:
        assert pages.get(path).status_code == 200, path
    for path in ("/", "/champions/AAA"):
        assert name in concerns(pages.get(path).text)[0]


def test_an_unknown_calendar_is_named_and_the_rest_shown(made, pages, monkeypatch):
    monkeypatch.setenv(
        "TRANSFERGATE_SOURCES",
        '{"daily": {"kind": "files", "root": "/x", "calendar": "XNOWHERE"}}',
    )
    answer = pages.get("/")
    assert answer.status_code == 200
    first = concerns(answer.text)[0]
    assert "sources.daily.calendar" in first
    assert "'XNOWHERE'" in first
    assert "correct the setting" in first
    assert answer.text.count('data-testid="source-row"') == 2


def test_text_of_a_broken_record_is_escaped_and_holds_no_secret(made, pages):
    evil = "<img src=x onerror=alert(1)>"
    with_(**{evil: "postgresql://me:hunter22@db/x"})(made, "champions/AAA/000002.json")
    made.write("evaluations/latest/BBB.json", {"evaluation_id": "s3://k:hunter22@host/" + evil})
    for path in PAGES:
        shown = pages.get(path).text
        assert evil not in shown
        assert "hunter22" not in shown
