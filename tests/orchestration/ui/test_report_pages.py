"""The promotion report over HTTP, on an evaluation of hostile names, and on one of 500 tickers."""

from __future__ import annotations

import gzip
import html
import json
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from transfergate.evaluation.gate import finite, unjudged
from transfergate.orchestration.ui import report, report_ticker
from transfergate.registry import Registry
from transfergate.reporting import ArmSeries
from transfergate.reporting.series import description
from transfergate.settings import GateParams, Settings
from transfergate.steps import keeping
from transfergate.storage import ArtefactStore, content_hash, json_bytes

EVIL = "</script><script>alert(1)</script>&\"'"
DAYS = np.busday_offset("2020-01-01", np.arange(300), roll="forward")
FOLD = np.arange(300) // 63


def arms_of(seed: int) -> dict[str, ArmSeries]:
    rng = np.random.default_rng(seed)

    def arm(k: int) -> ArmSeries:
        held = np.sign(rng.normal(size=(k, 300)))
        return ArmSeries(DAYS, FOLD, rng.normal(0, 0.01, (k, 300)), held, np.ones(300))

    return {"finetuned": arm(3), "scratch": arm(3), "buy_hold": arm(1)}


def judged(ticker: str, seed: int, arms: dict[str, ArmSeries]) -> dict[str, object]:
    """A report as the gate writes it, with figures of its own."""
    verdict = ("PROMOTE", "REJECT_NEGATIVE_TRANSFER", "INCONCLUSIVE")[seed % 3]
    delta = round(0.9 - 0.003 * seed, 3)
    return unjudged(verdict, [f"Because of {EVIL}"], GateParams()) | finite(description(arms)) | {
        "delta_sharpe": delta, "se": 0.3, "se_time": 0.25, "se_seed": 0.1, "mde80": 0.8,
        "p_promote": 0.01, "p_reject": 0.9, "n_sessions": 300, "n_folds": 5, "n_seeds": 3,
        "first_session": str(DAYS[0]), "last_session": str(DAYS[-1]), "correlation": 0.5,
        "posterior_better": 0.9, "posterior_worse": 0.0, "delta_shrunken": delta / 2,
        "se_shrunken": 0.2, "candidate": content_hash(ticker), "recipe": None, "incumbent": None,
    }  # fmt: skip


def keep(home, tickers: list[str]) -> str:
    """Publish an evaluation of these tickers, the last without any record; returns its id."""
    store = ArtefactStore(Settings(home=home).artefact_root)
    every = [arms_of(seed) for seed in range(min(len(tickers), 4))]
    series = {ticker: every[i % len(every)] for i, ticker in enumerate(tickers[:-1])}
    reports = {ticker: judged(ticker, i, series[ticker]) for i, ticker in enumerate(series)}
    nothing = {"candidate": None, "recipe": None, "incumbent": None}
    reports[tickers[-1]] = unjudged("INVALID", [f"Failed: {EVIL}"], GateParams()) | nothing
    evaluation = {
        "config": GateParams().model_dump(mode="json"),
        "pool": {"n_tickers": 0, "tickers": []},
        "tickers": reports,
        "foundation_version": EVIL,
        "foundation": {},
    }
    evaluation["evaluation_id"] = content_hash(json_bytes(evaluation))
    keeping.keep_evaluation(store, evaluation, series)
    registry = Registry(store, f"sqlite:///{home}/mlflow.db")
    run = {"dag_id": "finetune_tickers", "run_id": "manual__<2026>"}
    keeping.keep_origin(registry, evaluation | {"tickers": {}}, run)
    return str(evaluation["evaluation_id"])


class Page(HTMLParser):
    """Checks that tags nest, and gathers elements and the text that a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def having(self, name: str, value: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.found if attrs.get(name) == value]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def few(home) -> str:
    return keep(home, ["AAA", EVIL, "CCC", "ZZZ"])


@pytest.fixture
def client(home, monkeypatch):
    """The report's routes for somebody who may read everything."""
    monkeypatch.setenv("TRANSFERGATE_HOME", str(home))
    app = FastAPI()
    app.include_router(report.router)
    for dependency in report.router.dependencies:
        app.dependency_overrides[dependency.dependency] = lambda: None
    return TestClient(app)


def embedded(text: str, name: str) -> dict[str, object]:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def test_no_name_or_error_becomes_markup(client, few):
    answers = [client.get(f"/evaluations/{few}", params={"ticker": name}) for name in ("AAA", EVIL)]
    answers += [client.get(f"/evaluations/{few}/tickers/{n}") for n in range(4)]
    answers.append(client.get("/evaluations"))
    for answer in answers:
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "</script>&" not in answer.text
        Page(answer.text)
    assert html.escape(EVIL) in answers[0].text
    rows = embedded(answers[0].text, "forest-data")["rows"]
    assert EVIL in [row["ticker"] for row in rows]


def test_nothing_is_loaded_from_elsewhere(client, few):
    page = Page(client.get(f"/evaluations/{few}").text)
    loaded = [a.get("src") or a.get("href") for tag, a in page.found if tag in ("script", "link")]
    assert len([address for address in loaded if address]) >= 6
    for address in filter(None, loaded):
        assert address.startswith("/transfergate/static/")
    assert "http://" not in page.text
    assert "https://" not in page.text


def test_the_report_shows_counts_intervals_and_the_ticker_with_the_highest_difference(client, few):
    text = client.get(f"/evaluations/{few}").text
    page = Page(text)
    for name in ("verdict-counts", "forest-plot", "tickers-table", "ticker-report"):
        assert len(page.having("data-testid", name)) == 1, name
    for name in ("equity", "drawdown", "position", "regimes"):
        (chart,) = page.having("data-testid", f"{name}-chart")
        assert chart["role"] == "img"
        assert len(chart["aria-label"]) > 40
        assert html.unescape(chart["aria-label"]) in html.unescape(text)
    assert text.index('data-testid="forest-plot"') < text.index("Rule: evidence"), "not before it"
    data = embedded(text, "forest-data")
    assert [row["ticker"] for row in data["rows"]] == ["AAA", EVIL, "CCC"]
    assert data["rows"][0]["raw"] == [0.9, 0.4065, 1.3935]
    assert data["rows"][0]["shrunken"] == [0.45, 0.121, 0.779]
    assert "manual__<2026>" in page.text
    assert page.having("target", "_top")[0]["href"].endswith("/runs/manual__%3C2026%3E")


def test_a_ticker_without_a_record_says_so(client, few):
    page = Page(client.get(f"/evaluations/{few}", params={"ticker": "ZZZ"}).text)
    assert "no session of this ticker was scored" in page.text
    assert page.having("data-testid", "equity-chart") == []


def test_the_numbers_of_the_charts_are_those_that_were_kept(client, few):
    answer = client.get(f"/evaluations/{few}/charts/1")
    assert answer.headers["content-type"] == "application/json"
    data = answer.json()
    assert sorted(data["arms"]) == ["buy_hold", "finetuned", "scratch"]
    assert len(data["sessions"]) == len(data["arms"]["scratch"]["equity"]) == 300


@pytest.mark.parametrize(
    "path",
    [
        "none",
        "..",
        "%2e%2e",
        "..%2f..%2fmlflow.db",
        "0123456789abcdef",
        "latest",
        "{id}/tickers/4",
        "{id}/tickers/-1",
        "{id}/charts/99999",
        "{id}/../../mlflow.db",
        "{id}?ticker=NONE",
        "{id}%00",
        "{id}/verdicts.json",
    ],
)
def test_what_is_not_there_is_refused(client, few, path):
    assert client.get(f"/evaluations/{path.format(id=few)}").status_code == 404


def test_a_number_that_is_none_is_refused(client, few):
    assert client.get(f"/evaluations/{few}/tickers/..%2f1").status_code in (404, 422)
    assert client.get(f"/evaluations/{few}/charts/x").status_code == 422


def test_who_may_not_read_learns_nothing_of_a_request(client, few):
    def refuse():
        raise HTTPException(401)

    for dependency in report.router.dependencies:
        client.app.dependency_overrides[dependency.dependency] = refuse
    for route in report.router.routes:
        path = route.path.replace("{evaluation_id}", few)
        for number in ("0", "none"):
            assert client.get(path.replace("{number}", number)).status_code == 401


def test_the_report_as_one_file_may_load_nothing(client, few):
    answer = client.get(f"/evaluations/{few}/report.html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script>alert" not in answer.text


def test_an_evaluation_whose_charts_were_not_kept_points_to_its_file(client, home):
    name = keep(home, ["OLD", "OLDER"])
    folder = Settings(home=home).artefact_root / "evaluations" / name
    for file in (folder / "charts").iterdir():
        file.unlink()
    (folder / "origin.json").unlink()
    page = Page(client.get(f"/evaluations/{name}").text)
    assert "were not kept with this evaluation" in page.text
    assert "time unknown" in Page(client.get("/evaluations").text).text


def test_the_list_says_when_what_and_by_which_run(client, few):
    text = client.get("/evaluations").text
    page = Page(text)
    assert len(page.having("data-testid", "evaluation-row")) >= 1
    assert f'href="/transfergate/evaluations/{few}"' in text
    assert "1 promote" in page.text
    assert EVIL in page.text


def test_500_tickers_are_one_light_page(client, home):
    name = keep(home, [f"T{i:03d}" for i in range(500)])
    client.get(f"/evaluations/{name}")  # reads the verdicts, which stay in memory
    start = time.perf_counter()
    answer = client.get(f"/evaluations/{name}")
    seconds = time.perf_counter() - start
    page = Page(answer.text)
    assert len(page.having("data-testid", "ticker-row")) == 500
    assert len(page.having("data-testid", "ticker-report")) == 1
    assert len(answer.content) < 900_000
    assert seconds < 2.0  # about 0.1 s on a quiet machine
    charts = Settings(home=home).artefact_root / "evaluations" / name / "charts"
    sizes = [file.stat().st_size for file in charts.iterdir()]
    assert (len(sizes), max(sizes) < 30_000) == (500, True)
    first = json.loads(gzip.decompress((charts / "00000.json.gz").read_bytes()))
    assert first["folds"][0]["name"] == "fold 0"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://anna:hush@mlflow:5000/", 'href="http://mlflow:5000/#/experiments/7/runs/r1"'),
        ("postgresql://anna:hush@db/mlflow?password=hush", "--backend-store-uri postgresql://db/m"),
        ("sqlite:////home/x/mlflow.db", "--backend-store-uri sqlite:////home/x/mlflow.db"),
        ("javascript:alert(1)//", "<span title="),
    ],
)
def test_who_reads_a_report_learns_no_password_of_mlflow(address, shown):
    found = report_ticker._mlflow({"run_id": "r1", "experiment_id": "7"}, address)
    assert shown in found
    assert "hush" not in found
    assert "anna" not in found
