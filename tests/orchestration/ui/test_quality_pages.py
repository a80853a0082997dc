"""The pages of data quality, over HTTP, on batches that a hostile vendor has sent."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from transfergate import steps
from transfergate.errors import BarsRejected
from transfergate.orchestration.ui import docs_policy
from transfergate.settings import FileFormatParams, IngestParams, Settings, SourceParams

SCRIPT = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://evil","x")'
FILE = "<img src=x onerror=alert(2)>&.csv"
SESSIONS = pd.bdate_range("2012-02-01", "2012-02-14")  # no holiday among them


def vendor_bars(n_tickers: int = 12) -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {"ticker": f"T{number:02d}", "session_date": SESSIONS.strftime("%Y-%m-%d"),
             "open": 10.0, "high": 10.5, "low": 9.5, "close": 10.0, "volume": 1000.0}
        )
        for number in range(n_tickers)
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True).astype(object)


def ingest(settings: Settings) -> str:
    plan = steps.plan_ingest(settings, source="files")
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    batch_id = steps.validate_bars(settings, plan, landing)
    steps.load_bars(settings, plan, batch_id)
    return batch_id


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Settings, the id of a loaded batch with quarantine, and that of a refused one."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "vendor"
    folder.mkdir()
    settings = Settings(
        home=home,
        ingest=IngestParams(source="files"),
        sources={
            "files": SourceParams(
                kind="files",
                root=str(folder),
                formats=(FileFormatParams(pattern="*.csv", unreadable="quarantine"),),
            )
        },
    )
    frame = vendor_bars()
    frame.loc[3, "high"] = 1.0  # lower than its low
    frame.loc[14, "close"] = "=1+1"
    junk = frame.loc[[0, 1]].assign(ticker=[SCRIPT, FORMULA])
    file = folder / FILE
    pd.concat([frame, junk]).to_csv(file, index=False)
    loaded = ingest(settings)
    frame["high"] = 1.0
    frame.to_csv(file, index=False)
    with pytest.raises(BarsRejected) as refused:
        ingest(settings)
    return settings, loaded, re.search(r"batch ([0-9a-f]{16})", str(refused.value))[1]


@pytest.fixture
def client(installed, monkeypatch):
    """The shipped router without its guard, which the real Airflow's test looks at."""
    from transfergate.orchestration.ui import data, quality

    settings, *_ = installed
    monkeypatch.setattr(data.settings, "load", lambda: settings)
    app = FastAPI()
    app.include_router(quality.router, prefix="/transfergate")
    for guard in quality.router.dependencies:
        app.dependency_overrides[guard.dependency] = lambda: None
    with TestClient(app, base_url="http://testserver/transfergate/") as running:
        yield running


class Elements(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data + " "

    def testid(self, name):
        return [attributes for _, attributes in self.tags if attributes.get("data-testid") == name]


def look(client, path: str) -> Elements:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert SCRIPT not in answer.text
    found = Elements(answer.text)
    assert "alert" not in str([a for tag, a in found.tags if tag in ("script", "img", "a")
                               for a in [a.get("src"), a.get("onerror")]])  # fmt: skip
    assert all(tag != "img" for tag, _ in found.tags)
    for tag, attributes in found.tags:
        for name in ("src", "href"):
            address = attributes.get(name) or ""
            assert "//" not in address, f"{tag} loads {address} from elsewhere"
    return found


def test_the_list_has_every_batch_the_newest_first(client, installed):
    _, loaded, refused = installed
    found = look(client, "batches")
    links = [one["href"] for one in found.testid("batch-link")]
    assert links == [f"/transfergate/batches/{name}" for name in (refused, loaded)]
    assert len(found.testid("batch-row")) == 2
    for words in ("refused", "passed, with quarantine", "118", "122"):
        assert words in found.text


def test_a_batch_says_in_words_what_failed_and_leads_on(client, installed):
    _, loaded, _ = installed
    found = look(client, f"batches/{loaded}")
    assert "Found: " in found.text
    assert re.search(r"Expected: high", found.text)
    assert found.testid("failed-expectation")
    ways = {name: found.testid(name)[0]["href"] for name in
            ("gx-link", "docs-link", "lineage-link", "quarantine-link", "csv-link")}  # fmt: skip
    assert ways["lineage-link"] == f"/transfergate/lineage/batch/{loaded}"
    for name in ("gx-link", "docs-link", "quarantine-link", "csv-link"):
        assert client.get(ways[name].removeprefix("/transfergate/")).status_code == 200
    assert loaded in client.get(ways["gx-link"].removeprefix("/transfergate/")).text
    reasons = [a["href"] for tag, a in found.tags if "?reason=" in (a.get("href") or "")]
    assert f"/transfergate/batches/{loaded}/quarantine?reason=high_bounds_the_bar" in reasons


def test_a_refused_batch_says_so_first_and_has_no_lineage(client, installed):
    _, _, refused = installed
    found = look(client, f"batches/{refused}")
    assert found.testid("refusals")
    assert found.text.index("is refused") < found.text.index("What failed")
    assert not found.testid("lineage-link")


def test_the_quarantine_shows_rows_as_received_and_filters_them(client, installed):
    _, loaded, _ = installed
    found = look(client, f"batches/{loaded}/quarantine")
    assert len(found.testid("quarantine-row")) == 4
    assert SCRIPT in found.text
    assert FORMULA in found.text
    assert "=1+1" in found.text, "a cell that could not be read is shown as it came"
    assert ("mark", {"title": "could not be read"}) in found.tags
    one = look(client, f"batches/{loaded}/quarantine?reason=high_bounds_the_bar")
    assert len(one.testid("quarantine-row")) == 1
    assert one.testid("csv-link")[0]["href"].endswith("quarantine.csv?reason=high_bounds_the_bar")
    mine = client.get(f"batches/{loaded}/quarantine", params={"ticker": SCRIPT})
    assert len(Elements(mine.text).testid("quarantine-row")) == 1
    assert SCRIPT not in mine.text
    none = look(client, f"batches/{loaded}/quarantine?ticker=NOBODY")
    assert "No quarantined row fits" in none.text


def test_the_quarantine_counts_its_rows_by_reason_and_each_count_filters(client, installed):
    settings, loaded, _ = installed
    store = settings.artefact_root / "batches" / loaded
    report = json.loads((store / "validation.json").read_text())

    def counted(query=""):
        page = client.get(f"batches/{loaded}/quarantine{query}").text
        part = page.partition('data-testid="reason-counts"')[2].partition("</nav>")[0]
        shown = re.findall(r'<a href="([^"]+)"([^>]*)><code>(\w+)</code></a> ([\d,]+)', part)
        return {name: (int(n), html.unescape(href), more) for href, more, name, n in shown}

    every = counted()
    told = {one["rule"]: one["rows"] for one in report["quarantined_by_rule"]}
    assert {name: rows for name, (rows, *_) in every.items()} == told
    assert [rows for rows, *_ in every.values()] == sorted(told.values(), reverse=True)
    for name, (rows, href, more) in every.items():
        assert "title=" in more, f"what {name} means, in words"
        found = look(client, href.removeprefix("/transfergate/"))
        assert len(found.testid("quarantine-row")) == rows
        assert [a["href"] for tag, a in found.tags if "aria-current" in a and tag == "a"
                and "reason=" in a["href"]] == [href], name  # fmt: skip
    (own,) = [one for one in report["quarantined_by_ticker"] if one["ticker"] == SCRIPT]
    mine = counted(f"?{urlencode({'ticker': SCRIPT})}")
    assert {name: rows for name, (rows, *_) in mine.items()} == own["rules"]
    assert counted("?ticker=NOBODY") == {}


def test_a_large_quarantine_comes_in_pages_from_the_server(client, installed):
    _, _, refused = installed
    first = look(client, f"batches/{refused}/quarantine")
    assert len(first.testid("quarantine-row")) == 100
    assert "1 to 100 of 120 rows" in first.text
    assert not first.testid("prev-page")
    second = look(client, first.testid("next-page")[0]["href"].removeprefix("/transfergate/"))
    assert len(second.testid("quarantine-row")) == 20
    assert not second.testid("next-page")
    assert "101 to 120 of 120 rows" in second.text
    beyond = look(client, f"batches/{refused}/quarantine?page=9")
    assert "fewer pages" in beyond.text
    assert beyond.testid("prev-page")


def test_the_csv_holds_every_row_and_runs_nothing(client, installed):
    settings, loaded, refused = installed
    answer = client.get(f"batches/{loaded}/quarantine.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert f'filename="quarantine-{loaded}.csv"' in answer.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(lines) == 4
    assert {line["ticker"] for line in lines} >= {"'" + FORMULA, SCRIPT}
    cells = [cell for line in lines for cell in line.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert {float(line["open"]) for line in lines} == {10.0}
    assert len(client.get(f"batches/{refused}/quarantine.csv").text.splitlines()) == 121
    assert settings.warehouse_path.exists(), "and yet nobody had to open it"


@pytest.mark.parametrize(
    "path",
    [
        "batches/0000000000000000",
        "batches/nonsense",
        "batches/..%2f..%2fchampions",
        "batches/0123456789abcdef%00",
        "batches/%3Cscript%3E/quarantine",
        "batches/0000000000000000/quarantine",
        "batches/0000000000000000/quarantine.csv",
        "data_docs/..%2fwarehouse.duckdb",
        "data_docs/%2e%2e/%2e%2e/warehouse.duckdb",
        "data_docs/none.html",
    ],
)
def test_what_is_no_batch_or_no_page_is_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "<script>" not in answer.text


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "ticker=" + "x" * 201])
def test_a_nonsense_filter_is_refused(client, installed, query):
    assert client.get(f"batches/{installed[1]}/quarantine?{query}").status_code == 422


def test_pages_do_not_open_the_warehouse(client, installed):
    import duckdb

    settings, loaded, _ = installed
    with duckdb.connect(str(settings.warehouse_path)):  # nobody else can open it now
        for path in ("batches", f"batches/{loaded}", f"batches/{loaded}/quarantine"):
            assert client.get(path).status_code == 200
    source = Path(__file__).parents[3] / "include/transfergate/orchestration/ui"
    assert not [f for f in source.glob("*.py") if "import duckdb" in f.read_text()]


def test_data_docs_load_nothing_from_elsewhere_and_may_stand_in_a_frame(client, installed):
    _, loaded, _ = installed
    found = look(client, f"batches/{loaded}")
    for name in ("gx-link", "docs-link"):
        answer = client.get(found.testid(name)[0]["href"].removeprefix("/transfergate/"))
        assert "x-frame-options" not in answer.headers
        assert SCRIPT not in answer.text, "a vendor's text would run with the reader's rights"
        assert html.escape(SCRIPT) in answer.text
        loads = re.findall(r"<(?:script|link|img)[^>]*\s(?:src|href)=\"([^\"]+)\"", answer.text)
        assert loads
        assert not [address for address in loads if address.startswith(("http:", "https:", "//"))]
        page = Path(f"data_docs/{str(answer.url).split('/data_docs/')[1]}").parent
        for address in loads:
            path = "/".join(Path(page, address.split("?")[0]).parts)
            assert client.get(path).status_code == 200, f"{name} lacks {address}"


def test_pages_read_an_object_store_too(installed, put_object, tmp_path, monkeypatch):
    from transfergate.orchestration.ui import data, quality

    settings, loaded, _ = installed
    root = settings.artefact_root
    put_object("shown")
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        put_object(f"shown/{file.relative_to(root)}", file.read_bytes())
    there = settings.model_copy(update={"artefacts": "s3://shown", "home": tmp_path})
    monkeypatch.setattr(data.settings, "load", lambda: there)
    assert loaded in quality.batches()
    assert 'data-testid="gx-link"' in quality.batch(loaded)
    assert quality.quarantine(loaded).count('data-testid="quarantine-row"') == 4
    page = Path(quality.data_docs_file(f"batches/{loaded}.html").path)
    assert page.read_bytes() == (root / f"data_docs/batches/{loaded}.html").read_bytes()
    for path in ("../batches", f"../batches/{loaded}/batch.json", "none.html", "/etc/passwd", ""):
        with pytest.raises(HTTPException):
            quality.data_docs_file(path)


def allowed(policy: str) -> dict[str, list[str]]:
    return {part.split()[0]: part.split()[1:] for part in policy.split(";")}


def test_old_pages_of_data_docs_run_nothing_that_a_vendor_wrote(installed, client):
    """Made before values were escaped: they stay as they are until judged anew."""
    settings, *_ = installed
    page = settings.artefact_root / "data_docs" / "gx" / "old.html"
    page.write_text(f"<p>{SCRIPT}<script src=//evil.example/x.js></script><b onclick=alert(1)>")
    answer = client.get("data_docs/gx/old.html")
    assert answer.status_code == 200
    policy = allowed(answer.headers["content-security-policy"])
    assert policy["default-src"] == ["'none'"]
    scripts = policy["script-src"]
    assert "'unsafe-inline'" not in scripts
    assert "'unsafe-eval'" not in scripts
    for source in scripts:  # whole addresses of files that are shipped, hashes; no host at large
        assert source.startswith("'") or source.startswith("testserver/transfergate/data_docs/")
        assert source.startswith("'") or source.endswith(".js")
    hashes = {base64.b64encode(sha256(text.encode()).digest()).decode()
              for text in ("alert(1)", SCRIPT, "")}  # fmt: skip
    assert not any(known in source for known in hashes for source in scripts)
    assert policy["base-uri"] == policy["form-action"] == ["'none'"]


def test_what_the_shipped_pages_run_is_allowed(installed, client):
    _, batch_id, _ = installed
    paths = [f"data_docs/batches/{batch_id}.html", f"data_docs/batches/{batch_id}/quarantine.html",
             f"data_docs/gx/validations/daily_bars/{batch_id}/last/bars.html",
             "data_docs/gx/expectations/daily_bars.html", "data_docs/index.html"]  # fmt: skip
    for path in paths:
        answer = client.get(path)
        policy = allowed(answer.headers["content-security-policy"])
        found = Elements(answer.text)
        for tag, attributes in found.tags:
            if tag == "script" and (source := attributes.get("src")):
                whole = answer.url.join(source)
                assert f"{whole.host}{whole.path}" in policy["script-src"], (path, source)
                assert client.get(str(whole)).status_code == 200
            if tag == "link" and attributes.get("rel") == "stylesheet":
                assert answer.url.join(attributes["href"]).host == "testserver"
                assert "'self'" in policy["style-src"]
        inline = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
        inline += [a["onclick"] for _, a in found.tags if a.get("onclick")]
        for text in inline:
            known = base64.b64encode(sha256(text.encode()).digest()).decode()
            assert f"'sha256-{known}'" in policy["script-src"], (path, text)


@pytest.mark.parametrize("host", ["evil.example; script-src *", "a b", "'self'", "*", ""])
def test_a_host_that_is_none_gets_into_no_policy(host):
    policy = allowed(docs_policy.docs_headers(host)["Content-Security-Policy"])
    assert [source for source in policy["script-src"] if not source.startswith("'sha256-")] == [
        "'unsafe-hashes'"
    ]
