import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from transfergate.evaluation.gate import unjudged
from transfergate.reporting import evaluation_page
from transfergate.reporting.words import VERDICT_WORDS
from transfergate.settings import GateParams

EVIL = "<script>alert(1)</script>&\"'"
VOID = {"meta", "input", "br", "link"}


class Page(HTMLParser):
    """Checks that tags nest, and gathers what a reader of the page could come by."""

    def __init__(self, page):
        super().__init__()
        self.open, self.found, self.ids, self.links, self.texts = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.found.append((tag, attrs))
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if tag == "a" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture
def two(judged):
    return judged({EVIL: 3.0, "BBB": -3.0}, evidence="ticker")


def test_a_name_from_data_stays_text_wherever_it_stands(two):
    page = evaluation_page(*two)
    assert EVIL not in page
    assert "<script>alert" not in page
    parsed = Page(page)
    assert len(parsed.all("script")) == 1
    assert EVIL in parsed.text
    assert any(EVIL in attrs.get("aria-label", "") for attrs in parsed.all("svg"))


def test_every_text_from_data_is_escaped(two):
    evaluation, series = two
    report = evaluation["tickers"]["BBB"]
    for key in ("candidate", "incumbent", "recipe"):
        report[key] = f"<b>{key}</b>"
    report["reasons"].append("<i>reason</i>")
    report["looks"] = {"<u>look</u>": "<u>1</u>"}
    report["audits"] = {
        "<em>audit</em>": {"passed": False, "figures": {}},
        "budget_parity": {
            "passed": True,
            "figures": {"totals": {"<s>x</s>": {"finetuned": "<s>1</s>", "scratch": 1}}},
        },
    }
    report["regimes"]["market"] = "<q>m</q>"
    report["regimes"]["slices"][0]["label"] = "<q>l</q>"
    evaluation["foundation_version"] = evaluation["evaluation_id"] = "<h5>id</h5>"
    page = evaluation_page(evaluation, series)
    assert not re.search(r"<(b|i|u|em|s|q|h5)>[a-z0-9]", page.replace("<b>0", "").split("Needs")[1])
    assert "<h5>" not in page
    for text in ("<b>candidate</b>", "<i>reason</i>", "<u>look</u>", "<s>1</s>", "<q>l</q>"):
        assert html.escape(text) in page


def test_nothing_is_loaded_from_elsewhere(two):
    page = evaluation_page(*two)
    parsed = Page(page)
    assert all(link.startswith("#") for link in parsed.links)
    assert not any("src" in attrs or tag == "link" for tag, attrs in parsed.found)
    assert "http" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_every_link_leads_to_one_place(judged):
    parsed = Page(evaluation_page(*judged({f"T{i}": i / 3 for i in range(10)})))
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)
    sections = [attrs["data-section"] for attrs in parsed.all("tr") if "data-section" in attrs]
    assert sorted(sections) == sorted(
        {attrs["id"] for attrs in parsed.all("details") if "id" in attrs}
    )


def test_the_same_input_gives_the_same_bytes(two):
    evaluation, series = two
    again = json.loads(json.dumps(evaluation))
    assert evaluation_page(evaluation, series) == evaluation_page(again, series)


def test_figures_have_words_and_tables_have_headers(two):
    parsed = Page(evaluation_page(*two))
    for attrs in parsed.all("svg"):
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"]) > 20
    assert all(attrs.get("scope") in ("col", "row") for attrs in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert parsed.all("html")[0]["lang"] == "en"


def test_a_page_says_what_a_reader_needs(two):
    evaluation, series = two
    text = Page(evaluation_page(evaluation, series)).text
    report = evaluation["tickers"]["BBB"]
    assert VERDICT_WORDS[report["verdict"]] in text
    for reason in report["reasons"]:
        assert reason in text
    assert f"finds a true difference of {report['mde80']:.2f} four times in five" in text
    for words in (
        "Needs attention",
        "Equity",
        "Drawdown",
        "Sortino",
        "Guards of a promotion",
        "against the foundation without fine-tuning",
        "Strength of the control",
        "a ridge-linear policy",
        "Audits of budgets and leakage were not run",
        "stayed flat",
        "rising market",
        "not a test",
        "2015",
    ):
        assert words in text, words


def test_budgets_and_looks_and_the_cost_of_the_foundation_are_shown(two):
    evaluation, series = two
    evaluation["foundation_version"] = "f1"
    evaluation["foundation"] = {"env_steps": 3000, "updates": 7, "n_sources": 6}
    totals = {"env_steps": {"finetuned": 403200, "scratch": 403199}}
    evaluation["tickers"]["BBB"] |= {
        "audits": {"budget_parity": {"passed": False, "figures": {"totals": totals}}},
        "looks": {"number": 2, "alpha_spent": 0.175, "next_session": "2026-01-05"},
    }
    text = re.sub(r"\s+", " ", Page(evaluation_page(evaluation, series)).text)
    assert "403,200" in text
    assert "403,199" in text
    assert "budget parity failed" in text
    assert "error rate spent so far 0.175" in text
    assert "look: next session 2026-01-05" in text, "one that has no words yet"
    assert "3,000 environment steps and 7 updates (1,500 steps for each" in text


def test_pictures_stand_before_numbers_and_the_rule_after_both(two):
    evaluation, series = two
    evaluation["tickers"]["BBB"]["looks"] = {"state": "repeated", "number": 1, "per_year": 2}
    for arm in series["BBB"]["arms"].values():
        arm["position"] = [0.5 for _ in arm["equity"]]
    page = evaluation_page(evaluation, series)
    own = page.partition('id="t1"')[2]
    places = [own.index(text) for text in ("Equity", "Position", "<dt>standard error", "Sortino")]
    assert places == sorted(places)
    assert page.index("Sortino") < page.index("Rule: evidence")
    position = own.partition("Position after each open")[2].partition("</figure>")[0]
    assert re.findall(r'class="curve (\w+)"', position) == ["finetuned", "scratch"]
    facts = own.partition('class="facts"')[2].partition("</dl>")[0]
    named = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", facts)[-3:]
    assert named == [
        ("looks so far", "1"),
        ("this look", "not counted: the last verdict stands"),
        ("looks planned a year", "2"),
    ]


def test_intervals_are_drawn_raw_and_shrunken_in_a_pool(judged):
    evaluation, series = judged({f"T{i}": i / 3 for i in range(10)})
    assert evaluation["pool"]["n_tickers"] == 10
    page = evaluation_page(evaluation, series)
    assert page.count('class="shrunken"') == 10
    assert "shrunken by what all tickers say together" in Page(page).text
    order = re.findall(r'data-section="t(\d+)"', page)
    deltas = [report["delta_sharpe"] for report in evaluation["tickers"].values()]
    assert order == [str(i) for i in np.argsort(deltas)[::-1]]


def test_tickers_without_a_record_have_a_row_and_a_section(two):
    evaluation, _ = two
    evaluation["tickers"] = {
        "SHORT": unjudged("INCONCLUSIVE", ["Too short."], GateParams(), 40),
        "BAD": unjudged("INVALID", ["Broken."], GateParams()),
    }
    text = Page(evaluation_page(evaluation, {})).text
    assert "Too short." in text
    assert "Broken." in text
    assert "Equity" not in text


def test_many_tickers_stay_folded_and_small(judged):
    evaluation, series = judged({f"T{i}": 0.5 for i in range(8)})
    names = [f"N{i:03d}" for i in range(100)]
    reports, curves = list(evaluation["tickers"].values()), list(series.values())
    evaluation["tickers"] = {name: reports[i % 8] for i, name in enumerate(names)}
    page = evaluation_page(evaluation, {name: curves[i % 8] for i, name in enumerate(names)})
    parsed = Page(page)
    assert not any("open" in attrs for attrs in parsed.all("details"))
    assert len(page) < 100 * 20_000


def test_importance_is_a_bar_for_each_feature_and_absent_where_it_was_not_recorded(two):
    evaluation, series = two
    assert "without each feature" not in evaluation_page(evaluation, series)
    errors = {"se": 0.1, "se_time": 0.1, "se_seed": 0.0, "se_repeat": 0.0, "se_return": 0.0}
    rows = [
        {"name": name, "drop_sharpe": drop, "drop_return": 0.01, "changed": 0.25, **errors}
        for name, drop in (("momentum_60", 0.8), ("<b>volume</b>", -0.05))
    ]
    ticker = next(iter(evaluation["tickers"]))
    evaluation["tickers"][ticker]["importance"] = {
        "folds": 8,
        "flat_folds": 2,
        "repeats": 10,
        "block_sessions": 10,
        "features": rows,
    }
    page = evaluation_page(evaluation, series)
    assert page.count('class="bar"') == 2
    assert page.index("momentum_60") < page.index("&lt;b&gt;volume")
    assert "+0.80, 90 % interval +0.64 to +0.96" in page
    assert "In 2 of the folds nothing was held" in page
    assert "<b>volume" not in page
