"""What each task asks of which step, and what its asset event says."""

from __future__ import annotations

import inspect
from collections import defaultdict
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from transfergate import settings, steps
from transfergate.orchestration.assets import BARS, FEATURES, FOUNDATION, PROMOTIONS

EMPTY = {
    "ingest_daily_bars": dict.fromkeys(("tickers", "start", "end", "data")) | {"source": "sample"},
    "build_features": {"source": None},
    "pretrain_foundation": dict.fromkeys(("snapshot_id", "sources", "targets")),
    "finetune_tickers": dict.fromkeys(("foundation_version", "targets")),
}


@pytest.fixture
def asked(monkeypatch):
    """Let a step record its arguments, checked against its real signature, and answer."""
    record = []

    def answer(name, result):
        signature = inspect.signature(getattr(steps, name))

        def step(*args, **kwargs):
            bound = signature.bind(*args, **kwargs).arguments
            assert bound.pop("settings") == settings.load()
            record.append(bound)
            return result

        monkeypatch.setattr(steps, name, step)
        return record

    return answer


@pytest.fixture
def body(dagbag):
    return lambda dag_id, task_id: dagbag.dags[dag_id].get_task(task_id).python_callable


class Pushed(dict):
    def xcom_push(self, key, value):
        self[key] = value


def outlet_events():
    return defaultdict(SimpleNamespace)


def woken_by(asset, **extra):
    event = SimpleNamespace(timestamp=datetime(2026, 1, 5, tzinfo=UTC), extra=extra)
    return {asset: [event]}


def test_plan_takes_a_scheduled_runs_session_from_its_logical_date(asked, body):
    resolved = {"ticker_batches": [["AAPL"], ["IBM"]], "source": "sample"}
    record, ti = asked("plan_ingest", resolved), Pushed()
    run = SimpleNamespace(logical_date=datetime(2026, 1, 6, 4, 0, tzinfo=UTC))
    plan = body("ingest_daily_bars", "plan")
    assert plan(params=EMPTY["ingest_daily_bars"], dag_run=run, ti=ti) == [["AAPL"], ["IBM"]]
    assert record[0]["end"] == "2026-01-05"
    assert ti["plan"] == resolved


@pytest.mark.parametrize(("source", "end"), [("sample", None), ("yahoo", "2026-01-05")])
def test_a_scheduled_run_asks_a_closed_record_for_all_of_it(asked, body, source, end):
    record = asked("plan_ingest", {"ticker_batches": []})
    moment = datetime(2026, 1, 6, 4, 0, tzinfo=UTC)
    run = SimpleNamespace(run_type="scheduled", logical_date=moment)
    params = EMPTY["ingest_daily_bars"] | {"source": source}
    body("ingest_daily_bars", "plan")(params=params, dag_run=run, ti=Pushed())
    assert record[0]["end"] == end


def test_load_announces_the_batch(asked, body):
    counts = {"batch_id": "b", "source": "sample", "received": 2, "loaded": 1, "quarantined": 1}
    record, events = asked("load_bars", counts), outlet_events()
    load = body("ingest_daily_bars", "load")
    for run_type, filled in (("manual", False), ("scheduled", False), ("backfill", True)):
        run = SimpleNamespace(run_type=run_type)
        assert load({"source": "sample"}, "b", dag_run=run, outlet_events=events) == counts
        assert record.pop() == {"plan": {"source": "sample"}, "batch_id": "b"}
        assert events[BARS].extra == {**counts, "backfill": filled}


def test_fetch_and_validate_pass_keys_only(asked, body):
    asked("fetch_bars", "landing/sample/1.parquet")
    record = asked("validate_bars", "b")
    assert body("ingest_daily_bars", "fetch")({}, ["AAPL"]) == "landing/sample/1.parquet"
    assert body("ingest_daily_bars", "validate")({}, iter(["k1", "k2"])) == "b"
    assert record[-1] == {"plan": {}, "landing": ["k1", "k2"]}


def test_build_announces_the_snapshot(asked, body):
    made = {"snapshot_id": "0123456789abcdef", "source": "sample", "created": True}
    record, events = asked("build_features", made), outlet_events()
    assert body("build_features", "build")("sample", outlet_events=events) == made
    assert record == [{"source": "sample"}]
    assert events[FEATURES].extra == {**made, "backfill": False}


@pytest.mark.parametrize(
    ("loads", "filled"), [([True, True], True), ([True, False], False), ([False], False)]
)
def test_features_are_those_of_a_backfill_where_nothing_else_woke_them(asked, body, loads, filled):
    asked("build_features", {"snapshot_id": "0123456789abcdef"})
    events = outlet_events()
    woken = {BARS: [event for load in loads for event in woken_by(BARS, backfill=load)[BARS]]}
    build = body("build_features", "build")
    build("sample", triggering_asset_events=woken, outlet_events=events)
    assert events[FEATURES].extra["backfill"] is filled


def test_a_backfill_alone_trains_nothing(asked, body):
    from airflow.sdk.exceptions import AirflowSkipException

    record = asked("pretrain_foundation", "f1")
    pretrain = body("pretrain_foundation", "pretrain")
    filled = woken_by(FEATURES, snapshot_id="0123456789abcdef", backfill=True)
    params = EMPTY["pretrain_foundation"]
    with pytest.raises(AirflowSkipException, match="nothing is trained for it"):
        pretrain(params=params, triggering_asset_events=filled)
    assert record == []
    regular = woken_by(FEATURES, snapshot_id="0123456789abcdef", backfill=False)
    both = {FEATURES: filled[FEATURES] + regular[FEATURES]}
    assert pretrain(params=params, triggering_asset_events=both) == "f1"


def test_changed_names_the_sources_that_were_loaded(body):
    events = woken_by(BARS, source="files")
    changed = body("build_features", "changed")
    assert changed(params=EMPTY["build_features"], triggering_asset_events=events) == ["files"]
    assert changed(params={"source": "sample"}, triggering_asset_events=events) == ["sample"]


def test_pretrain_starts_from_the_snapshot_that_woke_it(asked, body):
    record = asked("pretrain_foundation", "f1")
    pretrain = body("pretrain_foundation", "pretrain")
    events = woken_by(FEATURES, snapshot_id="0123456789abcdef", source="sample")
    params = EMPTY["pretrain_foundation"] | {"targets": ["GOOG"]}
    assert pretrain(params=params, triggering_asset_events=events) == "f1"
    assert record == [{"snapshot_id": "0123456789abcdef", "sources": None, "targets": ["GOOG"]}]


def test_register_announces_the_foundation(asked, body):
    registered = {"foundation_version": "f1", "snapshot_id": "s", "registered": True}
    asked("backtest_foundation", {})
    asked("register_foundation", registered)
    events = outlet_events()
    assert body("pretrain_foundation", "backtest")("f1") == "f1"
    assert body("pretrain_foundation", "register")("f1", outlet_events=events) == registered
    assert events[FOUNDATION].extra == registered


def test_finetuning_is_planned_for_the_foundation_that_woke_it(asked, body):
    record, ti = asked("plan_groups", [["FB", "GOOG"], ["IBM"]]), Pushed()
    plan = body("finetune_tickers", "plan")
    events = woken_by(FOUNDATION, foundation_version="f1")
    params = EMPTY["finetune_tickers"]
    assert plan(params=params, triggering_asset_events=events, ti=ti) == [["FB", "GOOG"], ["IBM"]]
    assert record == [{"foundation_version": "f1", "targets": None}]
    assert ti["version"] == "f1"


def test_judge_gets_every_tickers_result(asked, body):
    record = asked("judge", {"evaluation_id": "e1", "verdicts": {}, "report": ""})
    groups = [
        [{"ticker": "FB", "status": "failed"}, {"ticker": "GOOG", "status": "trained"}],
        [{"ticker": "IBM", "status": "trained"}],
    ]
    run = SimpleNamespace(dag_id="finetune_tickers", run_id="manual__1")
    assert body("finetune_tickers", "judge")("f1", iter(groups), dag_run=run) == "e1"
    assert [row["ticker"] for row in record[0]["results"]] == ["FB", "GOOG", "IBM"]
    assert record[0]["run"] == {"dag_id": "finetune_tickers", "run_id": "manual__1"}


def test_a_group_of_tickers_is_fine_tuned_by_one_task(asked, body):
    made = [{"ticker": "FB", "status": "trained"}, {"ticker": "IBM", "status": "failed"}]
    record = asked("finetune_group", made)
    assert body("finetune_tickers", "finetune")("f1", ["FB", "IBM"]) == made
    assert record == [{"foundation_version": "f1", "tickers": ["FB", "IBM"]}]


@pytest.mark.parametrize(
    ("approval", "moving", "following"),
    [
        ("auto", ["GOOG"], "promote"),
        ("human", ["GOOG"], "approve"),
        ("human", [], "promote"),
    ],
)
def test_a_person_is_asked_where_that_was_chosen_and_a_champion_would_move(
    asked, body, approval, moving, following
):
    request = {"tickers": moving, "subject": "Promote GOOG?", "body": "..."}
    record, ti = asked("approval_request", request), Pushed()
    who_decides = body("finetune_tickers", "who_decides")
    assert who_decides("e1", params={"approval": approval}, ti=ti) == following
    assert record == [{"evaluation_id": "e1", "pages": "/transfergate"}]
    assert ti["request"] == request


ANSWER = {"chosen_options": ["Approve"], "responded_by_user": {"id": "7", "name": "Ada"}}


@pytest.mark.parametrize(
    ("answer", "who"),
    [(None, "gate, in run manual__1"), (ANSWER, "Ada, after the gate, in run manual__1")],
)
def test_promote_names_who_approved_and_announces_the_outcome(asked, body, answer, who):
    outcome = {"promoted": ["GOOG"], "kept": {"FB": "INCONCLUSIVE"}}
    record, events = asked("promote_evaluated", outcome), outlet_events()
    run = SimpleNamespace(run_id="manual__1")
    ti = SimpleNamespace(xcom_pull=lambda task_ids: answer)
    promote = body("finetune_tickers", "promote")
    assert promote("e1", dag_run=run, ti=ti, outlet_events=events) == outcome
    assert record == [{"evaluation_id": "e1", "approved_by": who}]
    assert events[PROMOTIONS].extra == {"evaluation_id": "e1", **outcome}


def test_rolling_back_names_who_asked_and_why(asked, body):
    row = {"ticker": "FB", "action": "rollback", "version": None}
    record, events = asked("rollback", row), outlet_events()
    run = SimpleNamespace(run_id="manual__2", triggering_user_name="ada")
    params = {"ticker": "FB", "champion": "c1", "why": "slippage"}
    roll_back = body("roll_back_champion", "roll_back")
    assert roll_back(params=params, dag_run=run, outlet_events=events) == row
    assert record == [
        {"ticker": "FB", "who": "ada, in run manual__2", "why": "slippage", "champion": "c1"}
    ]
    assert events[PROMOTIONS].extra == {"rolled_back": row}
