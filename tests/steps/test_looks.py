"""Looks, refreshes and honest answers, from the ledger to the registry."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from transfergate.calendars import exchange_sessions
from transfergate.errors import RegistryError
from transfergate.evaluation.ledger import Ledger
from transfergate.registry.tracking import Tracking
from transfergate.settings import GateParams, LookParams, RefreshParams, Settings
from transfergate.steps import judging, promotion, refresh, serving
from transfergate.storage import ArtefactStore, json_bytes

SESSIONS = np.array(
    exchange_sessions("XNYS", date(2010, 1, 4), date(2013, 12, 31)), dtype="datetime64[D]"
)
INPUTS = {"source": "s", "feature_sql_hash": "q", "z_window": 60, "z_clip": 5.0, "features": ["a"]}


@pytest.fixture(autouse=True)
def no_mlflow(monkeypatch):
    monkeypatch.setattr(Tracking, "register", lambda *_: True)
    monkeypatch.setattr(Tracking, "number", lambda *_: "1")
    monkeypatch.setattr(Tracking, "aliased", lambda *_: None)
    monkeypatch.setattr(Tracking, "set_alias", lambda *_: None)


class Market:
    """Records that grow fold by fold, with a planted edge of the fine-tuned arm."""

    def __init__(self, root, **groups):
        self.settings = Settings(home=root, gate=GateParams(evidence="ticker"), **groups)
        self.store = ArtefactStore(self.settings.artefact_root)

    def grow(self, ticker, folds, *, recipe="r1", edge=3.0, champion=None):
        ledger = Ledger(self.store)
        for fold in folds:
            rng = np.random.default_rng([fold, len(ticker)])
            common = rng.normal(0, 0.01, 63)
            days = SESSIONS[63 * fold : 63 * (fold + 1)]

            def rows(n_seeds, mean, rng=rng, common=common, days=days):
                noise = rng.normal(0, 0.004, 63) + rng.normal(0, 0.001, (n_seeds, 63))
                returns = (common + noise + 0.01 * (mean + 0.3) / np.sqrt(252)).ravel()
                n = len(returns)
                return pa.table(
                    {
                        "seed": np.repeat(np.arange(n_seeds), 63),
                        "session_date": pa.array(np.tile(days, n_seeds), pa.date32()),
                        "net_return": returns,
                        "position": np.ones(n),
                        "turnover": np.full(n, 0.1),
                        "cost": np.zeros(n),
                    }
                )

            arms = {"finetuned": rows(5, edge), "scratch": rows(5, 0.0), "zero_shot": rows(1, 0.0)}
            ledger.publish_fold(recipe, ticker, fold, arms)
            if champion:
                ledger.append_champion(recipe, ticker, fold, champion, rows(1, 0.0))

    def result(self, ticker, candidate="c1", recipe="r1", last_session="2012-01-03", **inputs):
        bundle = {
            "ticker": ticker, "recipe": recipe, "version": candidate, "snapshot_id": "s1",
            "last_session": last_session, "run": {"learning_curve": []}, **{**INPUTS, **inputs},
        }  # fmt: skip
        self.store.replace(f"candidates/{ticker}/{candidate}/bundle.json", json_bytes(bundle))
        return {
            "ticker": ticker, "status": "trained", "reason": None, "recipe": recipe,
            "candidate": candidate, "foundation_version": "f1", "n_foundations": 8,
            "audits": [], "missing_sessions": 0, "new_folds": 8, "already": False,
        }  # fmt: skip

    def judge(self, *results):
        judged = judging.judge(self.settings, "f1", results)
        return judged, judging.summary(self.settings, judged["evaluation_id"])["tickers"]

    def promote(self, judged):
        return promotion.promote_evaluated(self.settings, judged["evaluation_id"], "ann")


@pytest.fixture
def market(tmp_path):
    return Market(tmp_path, looks=LookParams(per_year=4))


def test_judging_again_is_no_look_and_the_same_evaluation(market):
    market.grow("GOOD", range(8))
    first, reports = market.judge(market.result("GOOD"))
    assert reports["GOOD"]["looks"]["number"] == 1
    assert reports["GOOD"]["looks"]["level"] == pytest.approx(0.054)
    assert "Look 1" in reports["GOOD"]["reasons"][-1]
    again, reports = market.judge(market.result("GOOD"))
    assert (again["evaluation_id"], again["created"]) == (first["evaluation_id"], False)
    assert reports["GOOD"]["looks"]["number"] == 1


def test_other_settings_of_the_gate_do_not_change_a_verdict_that_stands(market, tmp_path):
    market.grow("GOOD", range(8))
    first, _ = market.judge(market.result("GOOD"))
    strict = Settings(
        home=tmp_path,
        looks=LookParams(per_year=4),
        gate=GateParams(delta_min=9.0, evidence="point"),
    )
    again = judging.judge(strict, "f1", [market.result("GOOD")])
    assert again["evaluation_id"] == first["evaluation_id"]
    assert again["verdicts"] == {"GOOD": "PROMOTE"}


def test_a_retrain_without_new_evidence_repeats_the_verdict_and_is_not_promoted(market):
    market.grow("GOOD", range(8))
    judged, _ = market.judge(market.result("GOOD"))
    assert market.promote(judged)["promoted"] == ["GOOD"]
    judged, reports = market.judge(market.result("GOOD", "c2", last_session="2012-02-03"))
    block = reports["GOOD"]["looks"]
    assert (block["state"], block["number"], block["candidate"]) == ("repeated", 1, "c1")
    assert block["next_admissible_date"] == str(SESSIONS[9 * 63 - 1])
    assert "No new look was taken" in reports["GOOD"]["reasons"][-1]
    outcome = market.promote(judged)
    assert (outcome["promoted"], outcome["refreshed"]) == ([], [])
    assert "refresh.enabled is off" in outcome["kept"]["GOOD"]
    again, _ = market.judge(market.result("GOOD", "c2", last_session="2012-02-03"))
    assert again["evaluation_id"] == judged["evaluation_id"]


def test_new_evidence_is_a_new_look(market):
    market.grow("GOOD", range(8))
    market.judge(market.result("GOOD"))
    market.grow("GOOD", [8])
    judged, reports = market.judge(market.result("GOOD", "c2"))
    block = reports["GOOD"]["looks"]
    assert (block["state"], block["number"], block["new_sessions"]) == ("look", 2, 63)
    assert block["alpha_spent"] == pytest.approx(0.1)
    assert reports["GOOD"]["n_sessions"] == 9 * 63
    again, _ = market.judge(market.result("GOOD", "c2"))
    assert again["evaluation_id"] == judged["evaluation_id"]


def test_when_the_year_is_spent_the_verdict_stands(tmp_path):
    market = Market(tmp_path)  # one look a year
    market.grow("GOOD", range(8))
    market.judge(market.result("GOOD"))
    market.grow("GOOD", [8], edge=-9.0)
    _, reports = market.judge(market.result("GOOD", "c2"))
    assert reports["GOOD"]["verdict"] == "PROMOTE"
    assert reports["GOOD"]["n_sessions"] == 8 * 63
    assert "the year's alpha is spent" in reports["GOOD"]["reasons"][-1]
    assert reports["GOOD"]["looks"]["next_admissible_sessions"] == 189


def test_another_recipe_on_used_sessions_spends_a_look_and_then_is_refused(tmp_path):
    market = Market(tmp_path, looks=LookParams(per_year=2))
    verdicts = []
    for number in (1, 2, 3):
        recipe = f"r{number}"
        market.grow("GOOD", range(8), recipe=recipe)
        judged, reports = market.judge(market.result("GOOD", f"c{number}", recipe))
        verdicts.append((reports["GOOD"]["verdict"], reports["GOOD"]["looks"]["state"]))
    assert verdicts == [("PROMOTE", "look"), ("PROMOTE", "look"), ("INCONCLUSIVE", "refused")]
    assert reports["GOOD"]["delta_sharpe"] > 0
    assert "No alpha is left" in reports["GOOD"]["reasons"][0]
    assert market.promote(judged)["kept"] == {"GOOD": "INCONCLUSIVE"}


def test_a_record_that_is_too_short_spends_nothing(market):
    market.grow("GOOD", range(2))
    _, reports = market.judge(market.result("GOOD"))
    assert reports["GOOD"]["looks"]["state"] == "no look"
    assert reports["GOOD"]["looks"]["number"] == 0
    market.grow("GOOD", range(2, 8))
    _, reports = market.judge(market.result("GOOD", "c2"))
    assert reports["GOOD"]["looks"]["number"] == 1


def test_a_subset_leaves_the_latest_verdicts_of_the_others(market):
    market.grow("GOOD", range(8))
    market.grow("HARMED", range(8), edge=-3.0)
    market.judge(market.result("GOOD"), market.result("HARMED"))
    market.grow("GOOD", [8])
    market.judge(market.result("GOOD", "c2"))
    tickers = promotion.status(market.settings)["tickers"]
    assert tickers["HARMED"]["verdict"] == "REJECT_NEGATIVE_TRANSFER"
    assert (tickers["GOOD"]["looks"]["number"], tickers["HARMED"]["looks"]["number"]) == (2, 1)


def test_a_ticker_that_joins_does_not_move_a_verdict_that_stands(market):
    market.grow("GOOD", range(8))
    market.judge(market.result("GOOD"))
    market.grow("HARMED", range(8), edge=-3.0)
    _, reports = market.judge(market.result("GOOD"), market.result("HARMED"))
    assert reports["GOOD"]["looks"]["number"] == reports["HARMED"]["looks"]["number"] == 1
    assert reports["GOOD"]["verdict"] == "PROMOTE"


@pytest.mark.parametrize(
    ("folds", "inputs", "said"),
    [
        ([], {"z_window": 252}, "other inputs (z_window)"),
        ([], {}, "only 0 are scored"),
        ([7], {}, None),
    ],
)
def test_a_guard_that_was_not_evaluated_says_why(market, folds, inputs, said):
    market.grow("GOOD", [fold for fold in range(8) if fold not in folds])
    market.grow("GOOD", folds, champion="old")
    market.result("GOOD", "old", **inputs)
    promotion.promote(market.settings, "GOOD", "old", "bob", "by hand", force=True)
    _, reports = market.judge(market.result("GOOD"))
    spoken = [reason for reason in reports["GOOD"]["reasons"] if "was not compared" in reason]
    assert (reports["GOOD"]["guards"]["champion"] is None) == (said is not None)
    assert [said in reason for reason in spoken] == ([True] if said else [])


def test_promotion_by_hand_says_the_verdict_and_asks_for_force(market):
    market.grow("HARMED", range(8), edge=-3.0)
    market.judge(market.result("HARMED"))
    market.result("HARMED", "c9")
    for version, said in (("c1", "REJECT_NEGATIVE_TRANSFER"), ("c9", "never judged")):
        with pytest.raises(RegistryError, match=said):
            promotion.promote(market.settings, "HARMED", version, "bob", "I like it")
    assert promotion.status(market.settings)["tickers"]["HARMED"]["champion"] is None
    row = promotion.promote(market.settings, "HARMED", "c1", "bob", "I like it", force=True)
    assert (row["forced"], row["why"]) == (True, "I like it")


def test_a_candidate_that_the_gate_approved_needs_no_force(market):
    market.grow("GOOD", range(8))
    market.judge(market.result("GOOD"))
    assert promotion.promote(market.settings, "GOOD", "c1", "bob", "now")["forced"] is False
    market.judge(market.result("GOOD", "c2"))
    with pytest.raises(RegistryError, match="never judged"):  # the verdict on c1 is not c2's
        promotion.promote(market.settings, "GOOD", "c2", "bob", "now")


def test_a_decision_on_an_unknown_ticker_is_refused(market):
    market.grow("GOOD", range(8))
    market.judge(market.result("GOOD"))
    assert serving.decide(market.settings, "GOOD")["target_position"] == 0.0
    with pytest.raises(RegistryError, match=r"unknown.*GOOD"):
        serving.decide(market.settings, "GOOOD")


@pytest.fixture
def refreshing(tmp_path, monkeypatch):
    """An approved champion c1, refreshing switched on, and a retrain whose behaviour is sane."""
    market = Market(tmp_path, looks=LookParams(per_year=4), refresh=RefreshParams(enabled=True))
    market.grow("GOOD", range(8))
    judged, _ = market.judge(market.result("GOOD"))
    market.promote(judged)
    monkeypatch.setattr(refresh, "_vetoes", lambda *_: [])
    return market


def retrain(market, candidate="c2", last_session="2012-03-01", **inputs):
    judged, _ = market.judge(market.result("GOOD", candidate, last_session=last_session, **inputs))
    return judged, market.promote(judged)


def test_a_refresh_is_counted_apart_and_rolled_back_like_a_promotion(refreshing):
    judged, outcome = retrain(refreshing)
    assert (outcome["promoted"], outcome["refreshed"]) == ([], ["GOOD"])
    found = promotion.status(refreshing.settings)["tickers"]["GOOD"]
    assert (found["promotions"], found["refreshes"]) == (1, 1)
    assert found["champion"]["version"] == "c2"
    assert found["champion"]["action"] == "refresh"
    assert refreshing.promote(judged)["kept"] == {"GOOD": "already champion"}
    row = promotion.rollback(refreshing.settings, "GOOD", "bob", "drawdown")
    assert row["version"] == "c1"
    assert "rolled back" in refreshing.promote(judged)["kept"]["GOOD"]
    retrain(refreshing, "c3", "2012-04-02")
    assert promotion.rollback(refreshing.settings, "GOOD", "bob", "again")["version"] == "c1"
    assert promotion.rollback(refreshing.settings, "GOOD", "bob", "again")["version"] is None


def test_an_approval_has_a_time_to_live(refreshing):
    approved_up_to = SESSIONS[8 * 63 - 1]
    last_day = approved_up_to + np.timedelta64(370, "D")
    _, outcome = retrain(refreshing, "c2", str(last_day + np.timedelta64(1, "D")))
    assert "371 days old" in outcome["kept"]["GOOD"]
    assert retrain(refreshing, "c3", str(last_day))[1]["refreshed"] == ["GOOD"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"last_session": "2012-01-03"}, "no less"),
        ({}, "vetoed: it is mad"),
    ],
)
def test_what_stops_a_refresh(refreshing, monkeypatch, change, said):
    monkeypatch.setattr(refresh, "_vetoes", lambda *_: ["it is mad"])
    assert said in retrain(refreshing, **change)[1]["kept"]["GOOD"]
    assert promotion.status(refreshing.settings)["tickers"]["GOOD"]["champion"]["version"] == "c1"


def test_a_recipe_that_was_not_approved_refreshes_nothing(tmp_path):
    market = Market(tmp_path, refresh=RefreshParams(enabled=True))
    market.grow("HARMED", range(8), edge=-3.0)
    market.judge(market.result("HARMED"))
    judged, _ = market.judge(market.result("HARMED", "c2"))
    assert "not approved" in market.promote(judged)["kept"]["HARMED"]


def test_without_a_champion_there_is_nothing_to_refresh(refreshing):
    promotion.rollback(refreshing.settings, "GOOD", "bob", "withdrawn")
    assert "nothing to refresh" in retrain(refreshing)[1]["kept"]["GOOD"]


def test_a_candidate_that_a_later_look_overtook_is_not_promoted(market):
    market.grow("GOOD", range(8))
    waiting, _ = market.judge(market.result("GOOD"))
    market.grow("GOOD", range(8, 14), edge=-60.0)
    later, _ = market.judge(market.result("GOOD", "c2"))
    assert later["verdicts"] == {"GOOD": "REJECT_NEGATIVE_TRANSFER"}
    outcome = market.promote(waiting)
    assert outcome["promoted"] == []
    assert "look 2 at its recipe" in outcome["kept"]["GOOD"]
    with pytest.raises(RegistryError, match="PROMOTE, and look 2 at its recipe said REJECT"):
        promotion.promote(market.settings, "GOOD", "c1", "bob", "late")
    row = promotion.promote(market.settings, "GOOD", "c1", "bob", "late", force=True)
    assert row["forced"] is True


LEAK = {"name": "leakage", "passed": False, "figures": {"latest": "2013-01-02"}}


def test_an_audit_that_fails_now_ends_a_verdict_that_stood(market):
    market.grow("GOOD", range(8))
    market.judge(market.result("GOOD"))
    judged, reports = market.judge({**market.result("GOOD"), "audits": [LEAK]})
    assert judged["verdicts"] == {"GOOD": "INVALID"}
    assert "leakage" in reports["GOOD"]["reasons"][0]
    assert reports["GOOD"]["audits"]["leakage"]["figures"] == LEAK["figures"]
    assert market.promote(judged)["kept"] == {"GOOD": "INVALID"}


def test_a_retrain_whose_audit_failed_refreshes_nothing(refreshing):
    run = {**refreshing.result("GOOD", "c2", last_session="2012-03-01"), "audits": [LEAK]}
    judged, _ = refreshing.judge(run)
    outcome = refreshing.promote(judged)
    assert (outcome["refreshed"], outcome["kept"]) == ([], {"GOOD": "INVALID"})


def test_a_look_by_the_bare_rule_counts_with_one_half(tmp_path):
    market = Market(tmp_path)
    market.settings = Settings(home=tmp_path, gate=GateParams(evidence="point", delta_min=0.0))
    market.grow("GOOD", range(8))
    _, reports = market.judge(market.result("GOOD"))
    assert reports["GOOD"]["looks"]["level"] == 0.5
    assert reports["GOOD"]["looks"]["alpha_spent"] == 0.5
    assert "at level 0.5" in reports["GOOD"]["reasons"][-1]
