"""Overview, champions and lineage as pages: what a person looks for is there, and escaped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from fastapi import HTTPException

from tests.made_records import chain
from transfergate.orchestration.ui import attention, champions, lineage, overview, runs
from transfergate.orchestration.ui.chain_state import DagState, RunState, Waiting
from transfergate.orchestration.ui.data import current
from transfergate.registry.history import ChampionHistory
from transfergate.steps.standing import source_standings, ticker_standings

NOW = datetime(2024, 4, 9, 12, tzinfo=UTC)
EVIL = "<img src=x onerror=alert(1)>"
BOTH = {"ingest_daily_bars", "finetune_tickers"}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    monkeypatch.setenv("TRANSFERGATE_SOURCES", '{"daily": {"kind": "files", "root": "/nowhere"}}')
    return chain(tmp_path / "artefacts")


def titles(concerns):
    return [item.title for item in concerns]


def test_the_list_of_champions_says_who_serves_and_what_was_moved(made):
    shown = champions.champions()
    assert shown.count('data-testid="champion-row"') == 2
    assert shown.count('data-testid="move-row"') == 2
    assert "/dags/finetune_tickers/runs/asset__2024-04-02T00%3A00%3A00%2B00%3A00_x" in shown


def test_a_champion_shows_its_evidence_and_the_way_back(made):
    shown = champions.champion("AAA")
    assert "/transfergate/evaluations/e1?ticker=AAA" in shown
    assert 'data-testid="rollback-link"' in shown
    assert "/transfergate/lineage/champion/AAA" in shown
    assert shown.index("Sharpe 2.00 against 0.50.") < shown.index("by hand")  # newest first


def test_a_champion_made_by_hand_says_why_and_that_there_is_no_report(made):
    ChampionHistory(made.store).promote(
        "BBB", "b1", who="anna", when=NOW, why="a trial", forced=True
    )
    told = champions.champion("BBB").partition('data-testid="champion"')[2].partition("</dl>")[0]
    assert "<dt>Why</dt><dd>a trial</dd>" in told
    assert "<dt>Evidence</dt><dd>none</dd>" in told


def test_a_long_reason_has_a_row_of_its_own(made):
    why = "Sharpe 5.40 fine-tuned against 3.10 from scratch: a difference of +2.30."
    ChampionHistory(made.store).promote("BBB", "b1", who="anna", when=NOW, why=why, forced=True)
    shown = champions.champion("BBB")
    assert f'<div class="whole"><dt>Why</dt><dd>{why}</dd></div></dl>' in shown


def test_only_a_person_starts_a_rollback():
    def after(dag_id):
        return overview._dag_row(DagState(dag_id, known=True))[3]

    assert after("roll_back_champion") == "by hand"
    assert after("build_features") == "on new data, or by hand"


def test_a_ticker_without_champion_offers_no_rollback(made):
    assert 'data-testid="rollback-link"' not in champions.champion("BBB")
    assert "no champion to roll back" in champions.rollback("BBB")


def test_the_rollback_names_what_goes_and_what_comes(made):
    shown = champions.rollback("AAA")
    assert 'data-champion="a2"' in shown
    assert 'data-api="/api/v2/dags/roll_back_champion"' in shown
    assert "<code>a1</code>, champion since" in shown
    ChampionHistory(made.store).rollback("AAA", who="x", when=NOW, why="y")
    assert "nothing is held until a new promotion" in champions.rollback("AAA")


@pytest.mark.parametrize("ticker", ["CCC", "../evaluations", "..", EVIL, "AAA/000001.json", "a\0b"])
@pytest.mark.parametrize("show", [champions.champion, champions.rollback, lineage.of_champion])
def test_a_ticker_that_is_not_there_is_not_found(made, show, ticker):
    with pytest.raises(HTTPException) as refused:
        show(ticker)
    assert refused.value.status_code == 404


@pytest.mark.parametrize("batch", ["none", "../batches/b1", ".."])
def test_a_batch_that_is_not_there_is_not_found(made, batch):
    with pytest.raises(HTTPException) as refused:
        lineage.of_batch(batch, BOTH)
    assert refused.value.status_code == 404


def test_text_from_histories_reports_and_records_is_escaped(made):
    history = ChampionHistory(made.store)
    history.promote("AAA", "a1", who=EVIL, when=NOW, why=EVIL, forced=True)
    made.evaluation("e2", "f1", {"AAA": {"reasons": [EVIL], "last_session": EVIL}})
    made.batch("b1", "2024-03-28T20:00:00+00:00", first_session=EVIL, source="daily")
    for shown in (
        champions.champions(),
        champions.champion("AAA"),
        lineage.of_champion("AAA"),
        lineage.of_batch("b1", BOTH),
    ):
        assert EVIL not in shown


def test_lineage_leads_from_the_files_to_the_champion_by_links(made):
    shown = lineage.of_champion("AAA")
    order = [
        "file-of-b1",
        "Batch loaded",
        "Feature snapshot",
        "Foundation",
        "Candidate",
        "Champion",
    ]
    places = [shown.index(word, shown.index("<ol class=")) for word in order]
    assert places == sorted(places)
    for way in ("batches/b1", "data_docs/batches/b1.html", "lineage/batch/b1", "evaluations/e1"):
        assert f'href="/transfergate/{way}' in shown


def test_a_batch_leads_on_to_its_champions(made):
    shown = lineage.of_batch("b1", BOTH)
    assert 'href="/transfergate/lineage/champion/AAA"' in shown
    assert shown.count('data-testid="move-row"') == 2  # a2 serves, a1 did


def test_who_may_read_batches_alone_sees_no_verdict_or_champion_behind_one(made):
    shown = lineage.of_batch("b1", {"ingest_daily_bars"})
    assert "<code>5a</code>" in shown
    assert "the right to read finetune_tickers" in shown
    for told in ("AAA", "BBB", "negative transfer", "Sharpe", "anna", "move-row"):
        assert told not in shown


def test_who_may_read_pre_training_alone_sees_no_candidates_of_a_foundation(made):
    shown = runs._foundation("f1", {"pretrain_foundation"})
    assert "<code>f1</code>" in shown
    assert "Candidates" not in shown
    assert "Candidates" in runs._foundation("f1", BOTH)


def standing(made):
    settings, records = current()
    sources = source_standings(records, settings, date(2024, 4, 9))
    return sources, ticker_standings(records, settings, sources)


def test_the_overview_shows_each_ticker_once_with_its_verdict(made):
    _, tickers = standing(made)
    shown = overview.ticker_table(tickers)
    assert shown.count('data-testid="ticker-row"') == 2
    assert "negative transfer" in shown
    assert "in 63 sessions" in shown


def test_the_next_look_sorts_by_urgency(made):
    _, (one, _) = standing(made)

    def key(**looks):
        told = replace(one.judgement, **looks)
        cell = overview._next_look(replace(one, judgement=told))
        return cell.key

    keys = [
        key(next_look_sessions=0, next_look_date=None),
        key(next_look_sessions=63, next_look_date="2024-06-03"),
        key(next_look_sessions=70, next_look_date="2024-06-13"),
        key(next_look_sessions=9, next_look_date=None),
        key(next_look_sessions=63, next_look_date=None),
        key(next_look_sessions=None, missing_sessions=12),
        key(next_look_sessions=None, missing_sessions=120),
    ]
    assert keys == sorted(keys)
    assert all(keys), "an empty key sorts by the words that are shown"


def test_features_and_models_newer_than_what_they_were_made_of_are_said_to_be(made):
    made.batch("b1", "2024-02-28T20:00:00+00:00", last_session="2024-02-20")
    made.batch("b2", "2024-02-28T20:00:00+00:00", last_session="2024-02-20")
    made.candidate("AAA", "a2", "5a", "f1", last_session="2024-05-02")
    sources, tickers = standing(made)
    assert "Features of daily are newer than its bars" in titles(
        attention.source_concerns(sources.values())
    )
    assert "Model newer than its features: 1 ticker" in titles(attention.ticker_concerns(tickers))
    assert "newer than the features" in overview.ticker_table(tickers)
    assert "features newer than bars" in overview.source_table(list(sources.values()))


def test_five_hundred_tickers_stand_on_the_page_whole(made):
    _, tickers = standing(made)
    many = [replace(tickers[0], ticker=f"T{number:03d}") for number in range(500)]
    assert overview.ticker_table(many).count('data-testid="ticker-row"') == 500


def test_late_bars_and_lagging_features_stand_first(made):
    sources, _ = standing(made)
    assert titles(attention.source_concerns(sources.values())) == [
        "Bars of daily are late",
        "Features of daily lag behind its bars",
        "Features of other lag behind its bars",
    ]


def test_tickers_to_look_at_are_named(made):
    _, tickers = standing(made)
    assert titles(attention.ticker_concerns(tickers)) == [
        "Negative transfer: 1 ticker",
        "Weak control: 1 ticker",
    ]


DAG = DagState("build_features", known=True)
LONG_AGO = NOW - timedelta(hours=3)


@pytest.mark.parametrize(
    ("dag", "title"),
    [
        (DagState("build_features"), "build_features is missing"),
        (replace(DAG, broken=True), "build_features is missing"),
        (replace(DAG, paused=True), "1 DAG is paused"),
        (
            replace(DAG, last=RunState("r1", "failed", LONG_AGO)),
            "The last run of build_features failed",
        ),
        (replace(DAG, next_run=LONG_AGO), "build_features is late"),
        (replace(DAG, queued_since=LONG_AGO), "build_features is waiting: no run took it up"),
    ],
)
def test_trouble_in_the_chain_is_named(dag, title):
    assert titles(attention.chain_concerns([dag], [], NOW)) == [title]


def test_a_healthy_chain_is_not_worth_a_word():
    fine = replace(
        DAG,
        last=RunState("r1", "success", LONG_AGO),
        next_run=NOW + timedelta(hours=1),
        queued_since=NOW - timedelta(minutes=1),
    )
    assert attention.chain_concerns([fine], [], NOW) == []
    assert "Nothing needs attention" in attention.render([])


def test_what_waits_for_a_person_stands_before_what_failed():
    failed = replace(DAG, last=RunState("r1", "failed", LONG_AGO))
    asked = Waiting("finetune_tickers", "r 2", "approve", EVIL, LONG_AGO)
    shown = attention.render(attention.chain_concerns([failed], [asked], NOW))
    assert EVIL not in shown
    assert "/dags/finetune_tickers/runs/r%202/required_actions" in shown
    assert shown.index("approve or refuse") < shown.index("build_features failed")
