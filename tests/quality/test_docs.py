from __future__ import annotations

import csv
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfergate.calendars import exchange_sessions
from transfergate.quality import (
    BatchContext,
    JudgedRows,
    parse_expectations,
    report_of,
    split_rows,
    validate_frame,
    write_batch_page,
    write_index,
    write_quarantine_page,
)
from transfergate.quality.browse import csv_key
from transfergate.settings import PROJECT_ROOT, QualityParams
from transfergate.sources.base import bars_table
from transfergate.storage import ArtefactStore
from transfergate.warehouse import derive_checks

SPAN = ("XNYS", date(2015, 1, 1), date(2020, 12, 31))
HEADER = {"source": "s", "start": None, "end": "2020-12-31", "calendar": "XNYS", "landing": []}


class Loads(HTMLParser):
    """Collects what a page loads, and where its links to files go."""

    def __init__(self):
        super().__init__()
        self.loaded, self.linked = [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loaded.append(values["src"])
        if tag == "link" and values.get("href"):
            self.loaded.append(values["href"])
        if tag == "a" and values.get("href", "#")[0] != "#":
            self.linked.append(values["href"])


@pytest.fixture(scope="module")
def site(clean, tmp_path_factory) -> Path:
    """Data Docs of a batch with bad rows and of a clean one, made by two runs."""
    store = ArtefactStore(tmp_path_factory.mktemp("docs"))
    bad = clean.copy()
    bad.loc[[7, 130], "volume"] = -1.0
    bad.loc[60:119, ["open", "high", "low", "close", "adj_close"]] *= 3
    reports = []
    for batch_id, frame in (("bad", bad), ("good", clean)):
        sessions = sorted({day.date() for day in clean["session_date"]})
        derived = derive_checks(bars_table(frame), sessions, PROJECT_ROOT / "sql")
        context = BatchContext(batch_id, ())
        validation = validate_frame(derived, QualityParams(), context, store)
        report = {"batch_id": batch_id, **HEADER, **report_of(validation, JudgedRows.of(derived))}
        write_batch_page(store, report)
        if validation.reasons:
            write_quarantine_page(store, report, split_rows(bars_table(frame), validation)[1])
        reports.append({**report, "load": None})
    loaded = {"loaded": 720, "new_revisions": 3, "known_at": "2021-01-04T22:00:00+00:00"}
    reports[1]["load"] = loaded
    write_index(store, reports)
    return store.root / "data_docs"


def test_pages_load_nothing_that_is_not_beside_them(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 8
    for page in pages:
        found = Loads()
        found.feed(page.read_text())
        for target in found.loaded:
            # Great Expectations gets the depth of its own icon wrong.
            if not target.endswith("favicon.ico"):
                assert (page.parent / target.split("?")[0]).resolve().is_file(), (page, target)


def test_links_lead_somewhere_also_after_a_later_run(site):
    for page in [
        *site.glob("*.html"),
        *site.glob("batches/**/*.html"),
        *site.glob("gx/**/bars.html"),
    ]:
        found = Loads()
        found.feed(page.read_text())
        assert found.linked
        for target in found.linked:
            assert (
                target.startswith("https://greatexpectations.io")
                or (page.parent / target.split("#")[0]).resolve().is_file()
            ), (page, target)


def test_no_page_names_a_content_network(site):
    for page in site.rglob("*.html"):
        assert not re.search(
            r"(src|integrity)=\"https?:|url\(['\"]?https?:|cdn|unpkg", page.read_text()
        ), page


def test_no_page_advertises(site):
    assert list(site.glob("gx/validations/**/*.html"))
    for page in site.rglob("*.html"):
        assert "newsletter" not in page.read_text().lower(), page


def test_every_page_can_be_dark(site):
    for page in [
        *site.glob("*.html"),
        *site.glob("batches/**/*.html"),
        *site.glob("gx/**/b*.html"),
    ]:
        found = Loads()
        found.feed(page.read_text())
        beside = {Path(target).name for target in found.loaded}
        assert "theme.js" in beside, page
        styles = [(page.parent / t).read_text() for t in found.loaded if t.endswith(".css")]
        assert any(':root[data-theme="dark"]' in style for style in styles), page


def test_failing_rows_are_shown_with_their_values(site):
    page = (site / "batches" / "bad.html").read_text()
    assert "720 rows received of 6 tickers = 718 accepted + 2 quarantined" in page
    assert "2 of 720 rows break it" in page
    shown = page.split("Rows that break a rule")[1]
    assert re.search(
        r"volume_not_negative.*SRC01.*-1.*SRC02.*-1.*return_outlier.*2020", shown, re.S
    )
    own = next((site / "gx").rglob("bad/last/bars.html")).read_text()
    assert "2 unexpected values found" in own


def test_broken_rules_stand_first(site):
    page = (site / "batches" / "bad.html").read_text()
    rules = re.findall(r"<tr><td><code>(\w+)</code>", page)
    assert rules[:3] == ["volume_not_negative", "return_outlier", "hidden_split"]


def test_index_lists_batches_with_their_counts(site):
    text = re.sub(r"<[^>]+>", " ", (site / "index.html").read_text())
    text = re.sub(r"\s+", " ", text)
    assert "bad s passed, with quarantine 720 - - 2 0 3" in text
    assert "good s passed 720 720 3 0 0 0" in text
    assert text.index("bad s") < text.index("good s")  # what is not loaded yet is the newest


def test_what_a_batch_says_cannot_break_out_of_the_page(clean, tmp_path):
    frame = clean.copy()
    frame.loc[3, "ticker"] = "<script>alert(1)</script>"
    store = ArtefactStore(tmp_path)
    derived = derive_checks(bars_table(frame), [], PROJECT_ROOT / "sql")
    validation = validate_frame(derived, QualityParams(), BatchContext("b", ()), store)
    report = {"batch_id": "b", **HEADER, **report_of(validation, JudgedRows.of(derived))}
    assert "<script>" not in store.read(write_batch_page(store, report)).decode()
    assert pd.notna(report["refusals"][0])


def test_what_a_data_folder_says_of_its_own_expectations_is_text(clean, tmp_path):
    """Its file of expectations travels with the bars: whoever sends these writes that too."""
    evil = "<script>alert(1)</script>"
    declared = parse_expectations(
        f"""
        [[expectations]]
        expectation = "ExpectColumnValuesToMatchRegex"
        rule = "named"
        column = "ticker"
        regex = "^(SRC.*|{evil})$"
        text = "a name {evil}"
        severity = "warning"
        [[expectations]]
        expectation = "ExpectColumnDistinctValuesToContainSet"
        rule = "known"
        column = "ticker"
        value_set = ["{evil}"]
        severity = "warning"
        [[expectations]]
        expectation = "ExpectColumnValuesToBeBetween"
        rule = "dear"
        column = "close"
        min_value = 1
        tickers = ["{evil}"]
        severity = "warning"
        """,
        "x.toml",
    )
    store = ArtefactStore(tmp_path)
    derived = derive_checks(bars_table(clean), [], PROJECT_ROOT / "sql")
    context = BatchContext("b", (), declared=declared)
    validation = validate_frame(derived, QualityParams(), context, store)
    report = {"batch_id": "b", **HEADER, **report_of(validation, JudgedRows.of(derived))}
    write_batch_page(store, report)
    pages = sorted((tmp_path / "data_docs").rglob("*.html"))
    told = [page for page in pages if "alert(1)" in page.read_text()]
    assert len(told) >= 3, "our page, Great Expectations' and its suite"
    for page in told:
        assert evil not in page.read_text(), page


def test_the_quarantine_page_holds_every_row_and_runs_nothing_that_a_batch_says(clean, tmp_path):
    frame = clean.copy()
    frame.loc[3, "ticker"] = "</script><img src=x onerror=alert(1)>"
    frame.loc[4, "ticker"] = "=cmd()"
    frame.loc[7, "high"] = np.inf
    store = ArtefactStore(tmp_path)
    derived = derive_checks(bars_table(frame), exchange_sessions(*SPAN), PROJECT_ROOT / "sql")
    validation = validate_frame(derived, QualityParams(), BatchContext("b", ()), store)
    report = {"batch_id": "b", **HEADER, **report_of(validation, JudgedRows.of(derived))}
    rows = split_rows(bars_table(frame), validation)[1]
    released = {7: {"who": "Ada", "why": "it is so", "known_at": "2021-01-04T22:00:00+00:00"}}
    page = store.read(write_quarantine_page(store, report, rows, released)).decode()
    assert page.count("</script>") == 3  # theme, browser of the rows, and the rows
    (text,) = re.findall(r'id="data">(.*?)</script>', page)
    data = json.loads(text)
    shown = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
    assert [row["row_id"] for row in shown] == [3, 4, 7]
    assert shown[2]["high"] == "inf"
    assert shown[2]["released"] == "2021-01-04 Ada: it is so"
    lines = list(csv.DictReader((store.root / csv_key("b")).open()))
    assert [line["ticker"][:5] for line in lines] == ["</scr", "'=cmd", "SRC01"]


def test_a_page_of_many_rows_shows_some_of_every_ticker_and_rule(clean, tmp_path, monkeypatch):
    monkeypatch.setattr("transfergate.quality.browse.SHOWN_ROWS", 20)
    frame = clean.copy()
    frame.loc[clean["ticker"] == "SRC01", "volume"] = -1.0
    frame.loc[200, "volume"] = -1.0
    store = ArtefactStore(tmp_path)
    derived = derive_checks(bars_table(frame), exchange_sessions(*SPAN), PROJECT_ROOT / "sql")
    validation = validate_frame(derived, QualityParams(), BatchContext("b", ()), store)
    report = {"batch_id": "b", **HEADER, **report_of(validation, JudgedRows.of(derived))}
    rows = split_rows(bars_table(frame), validation)[1]
    page = store.read(write_quarantine_page(store, report, rows)).decode()
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    assert {row[1] for row in data["rows"]} == {"SRC01", clean.loc[200, "ticker"]}
    assert len(data["rows"]) == 20
    assert "101 more stand in the CSV" in page
    assert len((store.root / csv_key("b")).read_text().splitlines()) == 122
