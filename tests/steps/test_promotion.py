"""From the ledger to verdicts, champions and reports, on records with planted truth."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from transfergate.errors import RegistryError
from transfergate.evaluation.ledger import Ledger
from transfergate.registry.tracking import Tracking
from transfergate.settings import GateParams, MarketParams, Settings
from transfergate.steps import approvals, judging, promotion
from transfergate.storage import ArtefactStore, json_bytes

RECIPE = "r1"


class RecordedTracking:
    """Keeps what MLflow would be told."""

    versions: dict = {}  # noqa: RUF012 - emptied by the fixture
    aliases: dict = {}  # noqa: RUF012


@pytest.fixture(autouse=True)
def tracking(monkeypatch):
    seen = RecordedTracking()
    seen.versions, seen.aliases = {}, {}

    def register(self, name, version, key, tags, metrics, curves, notes=None):
        new = (name, version) not in seen.versions
        if new:
            seen.versions[name, version] = {
                "tags": dict(tags),
                "metrics": metrics,
                "curves": curves,
            }
        seen.versions[name, version]["tags"].update(notes or {})
        return new

    monkeypatch.setattr(Tracking, "register", register)
    monkeypatch.setattr(
        Tracking, "number", lambda self, name, v: "1" if (name, v) in seen.versions else None
    )
    monkeypatch.setattr(Tracking, "aliased", lambda self, name: seen.aliases.get(name))
    monkeypatch.setattr(
        Tracking, "set_alias", lambda self, name, version: seen.aliases.update({name: version})
    )
    return seen


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, gate=GateParams(evidence="ticker"))


@pytest.fixture
def store(settings):
    return ArtefactStore(settings.artefact_root)


def write_record(store, ticker, edge, *, n_folds=8, seed=1, champion=None):
    rng = np.random.default_rng(seed)
    ledger = Ledger(store)
    for fold in range(n_folds):
        common = rng.normal(0, 0.01, 63)
        start = np.datetime64("2010-01-04") + 100 * fold
        arms = {}
        for arm, n_seeds, mean in (
            ("finetuned", 5, edge),
            ("scratch", 5, 0.0),
            ("zero_shot", 1, edge / 2),
            ("buy_hold", 1, 0.0),
            ("random", 1, -0.5),
            ("ridge", 1, 0.0),
        ):
            noise = rng.normal(0, 0.004, 63) + rng.normal(0, 0.001, (n_seeds, 63))
            returns = (common + noise + 0.01 * (mean + 0.3) / np.sqrt(252)).ravel()
            arms[arm] = ledger_rows(start, n_seeds, returns)
        ledger.publish_fold(RECIPE, ticker, fold, arms)
        if champion:
            version, mean = champion
            returns = common + 0.01 * mean / np.sqrt(252) + rng.normal(0, 0.002, 63)
            ledger.append_champion(RECIPE, ticker, fold, version, ledger_rows(start, 1, returns))


def ledger_rows(start, n_seeds, returns):
    n = len(returns)
    dates = np.tile(start + np.arange(63), n_seeds)
    return pa.table(
        {
            "seed": pa.array(np.repeat(np.arange(n_seeds), 63), pa.int32()),
            "session_date": pa.array(dates, pa.date32()),
            "net_return": returns,
            "position": np.ones(n),
            "turnover": np.full(n, 0.1),
            "cost": np.zeros(n),
        }
    )


def trained(store, ticker, candidate="c1", last_session="2011-12-30", **changes):
    bundle = {
        "recipe": RECIPE,
        "snapshot_id": "s1",
        "last_session": last_session,
        "run": {"learning_curve": [0.1, 0.2]},
    }
    store.write_once(f"candidates/{ticker}/{candidate}/bundle.json", json_bytes(bundle))
    return {
        "ticker": ticker,
        "status": "trained",
        "reason": None,
        "recipe": RECIPE,
        "candidate": candidate,
        "foundation_version": "f1",
        "n_foundations": 8,
        "audits": [
            {"name": "budget_parity", "passed": True, "figures": {"totals": {}}},
            {"name": "leakage", "passed": True, "figures": {}},
        ],
        "missing_sessions": 0,
        "new_folds": 8,
        "already": False,
        **changes,
    }


def untrained(ticker, status, reason, missing=0):
    return {
        "ticker": ticker, "status": status, "reason": reason, "recipe": RECIPE, "candidate": None,
        "foundation_version": "f1", "n_foundations": 0, "audits": [], "missing_sessions": missing,
    }  # fmt: skip


@pytest.fixture
def results(store):
    write_record(store, "GOOD", 3.0)
    write_record(store, "HARM", -3.0, seed=2)
    return [
        trained(store, "HARM", "h1"),
        trained(store, "GOOD"),
        untrained("FB", "no_folds", "FB: 136 sessions with all features known", 507),
        untrained("NANS", "failed", "NANS: features are not finite on 2011-03-04"),
    ]


def tree(root):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_every_ticker_gets_its_verdict(settings, results):
    judged = judging.judge(settings, "f1", results)
    assert judged["verdicts"] == {
        "FB": "INCONCLUSIVE",
        "GOOD": "PROMOTE",
        "HARM": "REJECT_NEGATIVE_TRANSFER",
        "NANS": "INVALID",
    }
    reports = judging.summary(settings, judged["evaluation_id"])["tickers"]
    assert reports["FB"]["n_sessions"] == 0
    assert "507 sessions are missing" in reports["FB"]["reasons"][0]
    assert "2011-03-04" in reports["NANS"]["reasons"][0]
    assert reports["GOOD"]["audits"]["tradable_market"]["passed"]
    assert {row["by"] for row in reports["GOOD"]["regimes"]["slices"]} >= {"volatility", "year"}
    assert reports["GOOD"]["flat_seeds"]["scratch"]["fold_seeds"] > 0
    assert set(reports["GOOD"]["performance"]) >= {"finetuned", "scratch", "random", "buy_hold"}


def test_judging_again_changes_no_byte_and_says_so(settings, store, results):
    first = judging.judge(settings, "f1", results)
    before = tree(settings.artefact_root)
    again = judging.judge(settings, "f1", [r | {"already": True, "new_folds": 0} for r in results])
    assert (first["created"], again["created"]) == (True, False)
    assert again["evaluation_id"] == first["evaluation_id"]
    assert tree(settings.artefact_root) == before


def test_promotion_then_judging_again_is_the_same_evaluation(settings, results):
    first = judging.judge(settings, "f1", results)["evaluation_id"]
    outcome = promotion.promote_evaluated(settings, first, "ann")
    assert outcome["promoted"] == ["GOOD"]
    assert outcome["kept"]["HARM"] == "REJECT_NEGATIVE_TRANSFER"
    assert judging.judge(settings, "f1", results)["evaluation_id"] == first
    before = tree(settings.artefact_root)
    again = promotion.promote_evaluated(settings, first, "ann")
    assert again["promoted"] == []
    assert again["kept"]["GOOD"] == "already champion"
    assert tree(settings.artefact_root) == before


def test_a_promotion_that_was_rolled_back_is_not_repeated_by_a_rerun(settings, results):
    evaluation = judging.judge(settings, "f1", results)["evaluation_id"]
    promotion.promote_evaluated(settings, evaluation, "ann")
    row = promotion.rollback(settings, "GOOD", "bob", "live losses")
    assert row["version"] is None
    again = promotion.promote_evaluated(settings, evaluation, "ann")
    assert again["promoted"] == []
    assert "rolled back" in again["kept"]["GOOD"]
    assert promotion.status(settings)["tickers"]["GOOD"]["champion"] is None
    promotion.promote(settings, "GOOD", "c1", "bob", "after all")
    assert promotion.status(settings)["tickers"]["GOOD"]["champion"]["why"] == "after all"


def test_a_person_is_asked_about_what_would_move_and_nothing_moves_by_asking(settings, results):
    evaluation = judging.judge(settings, "f1", results)["evaluation_id"]
    before = tree(settings.artefact_root)
    request = approvals.approval_request(settings, evaluation)
    assert tree(settings.artefact_root) == before
    assert (request["tickers"], request["subject"]) == (["GOOD"], "Promote GOOD?")
    assert f"/transfergate/evaluations/{evaluation})" in request["body"]
    assert "1 PROMOTE, 1 REJECT_NEGATIVE_TRANSFER" in request["body"]
    assert "| GOOD | `c1` | none: flat | " in request["body"]
    assert "within 72 hours" in request["body"]
    assert promotion.promote_evaluated(settings, evaluation, "ann")["promoted"] == ["GOOD"]
    assert approvals.approval_request(settings, evaluation)["tickers"] == []


def test_rolling_back_a_champion_that_is_gone_changes_nothing(settings, results):
    evaluation = judging.judge(settings, "f1", results)["evaluation_id"]
    promotion.promote_evaluated(settings, evaluation, "ann")
    with pytest.raises(RegistryError, match=r"champion is c1, expected c0"):
        promotion.rollback(settings, "GOOD", "bob", "losses", champion="c0")
    assert promotion.rollback(settings, "GOOD", "bob", "losses", champion="c1")["version"] is None
    with pytest.raises(RegistryError, match="no champion to roll back"):
        promotion.rollback(settings, "GOOD", "bob", "losses", champion="c1")


def test_a_champion_that_changed_after_judging_is_not_overrun(settings, store, results):
    evaluation = judging.judge(settings, "f1", results)["evaluation_id"]
    trained(store, "GOOD", "other")
    promotion.promote(settings, "GOOD", "other", "bob", "by hand", force=True)
    outcome = promotion.promote_evaluated(settings, evaluation, "ann")
    assert outcome["promoted"] == []
    assert "judge again" in outcome["kept"]["GOOD"]


def test_a_candidate_faces_the_champion_of_its_time(settings, store):
    write_record(store, "GOOD", 3.0, champion=("old", 9.0))
    trained(store, "GOOD", "old")
    result = trained(store, "GOOD", "new")
    promotion.promote(settings, "GOOD", "old", "bob", "by hand", force=True)
    judged = judging.judge(settings, "f1", [result])
    assert judged["verdicts"] == {"GOOD": "REJECT_GUARDRAIL"}
    promotion.promote(settings, "GOOD", "new", "bob", "overruled", force=True)
    assert judging.judge(settings, "f1", [result])["evaluation_id"] == judged["evaluation_id"]


def test_a_champion_without_a_record_is_not_replaced_silently(settings, store):
    write_record(store, "GOOD", 3.0)
    trained(store, "GOOD", "old")
    promotion.promote(settings, "GOOD", "old", "bob", "by hand", force=True)
    judged = judging.judge(settings, "f1", [trained(store, "GOOD", "new")])
    assert judged["verdicts"] == {"GOOD": "PROMOTE"}
    outcome = promotion.promote_evaluated(settings, judged["evaluation_id"], "ann")
    assert outcome["promoted"] == []
    assert "no record" in outcome["kept"]["GOOD"]


@pytest.mark.parametrize(
    ("last_session", "promoted"), [("2011-12-29", []), ("2011-12-30", ["GOOD"])]
)
def test_a_candidate_of_older_data_does_not_replace_the_champion(
    settings, store, last_session, promoted
):
    write_record(store, "GOOD", 3.0, champion=("old", -1.0))
    trained(store, "GOOD", "old")
    promotion.promote(settings, "GOOD", "old", "bob", "by hand", force=True)
    result = trained(store, "GOOD", "new", last_session)
    judged = judging.judge(settings, "f1", [result])
    assert judged["verdicts"] == {"GOOD": "PROMOTE"}
    outcome = promotion.promote_evaluated(settings, judged["evaluation_id"], "ann")
    assert outcome["promoted"] == promoted
    if not promoted:
        assert "newer" in outcome["kept"]["GOOD"]


@pytest.mark.parametrize(
    ("market", "verdict"),
    [
        (MarketParams(), "PROMOTE"),
        (MarketParams(cost_bps=0.0), "INVALID"),
        (MarketParams(timing="same_close"), "INVALID"),
    ],
)
def test_markets_for_replication_only_are_not_judged(tmp_path, results, market, verdict):
    settings = Settings(home=tmp_path, market=market)
    assert judging.judge(settings, "f1", results)["verdicts"]["GOOD"] == verdict


def test_the_market_is_that_of_the_foundation(settings, store, results):
    document = {"market": MarketParams(cost_bps=0.0).model_dump(mode="json")}
    store.write_once("foundations/f1/foundation.json", json_bytes({"document": document}))
    assert judging.judge(settings, "f1", results)["verdicts"]["GOOD"] == "INVALID"


def test_a_failed_audit_is_invalid(settings, store, results):
    leaked = {"name": "leakage", "passed": False, "figures": {"problems": ["fold-3: 2011-01-03"]}}
    results[1]["audits"].append(leaked)
    judged = judging.judge(settings, "f1", results)
    assert judged["verdicts"]["GOOD"] == "INVALID"
    reason = judging.summary(settings)["tickers"]["GOOD"]["reasons"][0]
    assert "2011-01-03" in reason


def test_nan_in_one_tickers_record_does_not_stop_the_rest(settings, store, results):
    bad = ledger_rows(np.datetime64("2010-01-04"), 1, np.full(63, np.nan))
    Ledger(store).publish_fold(RECIPE, "NANS", 0, {"finetuned": bad})
    results[3] = trained(store, "NANS", "n1")
    verdicts = judging.judge(settings, "f1", results)["verdicts"]
    assert verdicts["NANS"] == "INVALID"
    assert verdicts["GOOD"] == "PROMOTE"


def test_nothing_trained_is_judged_too(settings, results):
    verdicts = judging.judge(settings, "f1", results[2:])["verdicts"]
    assert verdicts == {"FB": "INCONCLUSIVE", "NANS": "INVALID"}


def test_candidates_are_registered_with_lineage_and_verdict(settings, results, tracking):
    judged = judging.judge(settings, "f1", results)
    entry = tracking.versions["transfergate.GOOD", "c1"]
    assert entry["tags"]["snapshot_id"] == "s1"
    assert entry["tags"]["verdict"] == "PROMOTE"
    assert entry["tags"]["evaluation"] == judged["evaluation_id"]
    assert entry["metrics"]["delta_sharpe"] > 0
    assert entry["curves"] == {"validation_sharpe": [0.1, 0.2]}
    promotion.promote_evaluated(settings, judged["evaluation_id"], "ann")
    assert tracking.aliases == {"transfergate.GOOD": "c1"}


def test_summary_reads_well_in_100_columns(settings, results):
    judged = judging.judge(settings, "f1", results)
    promotion.promote_evaluated(settings, judged["evaluation_id"], "gate")
    text = judging.render_summary(judging.summary(settings, judged["evaluation_id"]))
    assert max(map(len, text.splitlines())) <= 100
    for word in ("fine-tuned", "from scratch", "zero-shot", "buy and hold", "random", "PROMOTE"):
        assert word in text
    assert "is the champion, promoted by gate" in text.replace("\n    ", " ")


def test_the_report_is_one_offline_page(settings, results):
    judged = judging.judge(settings, "f1", results)
    with open(judged["report"], encoding="utf-8") as file:
        page = file.read()
    assert page.count("<svg") == 8  # intervals of two tickers; equity, drawdown, position of each
    assert "prefers-color-scheme" in page
    assert "http" not in page
    content = page.split("</style>")[1].split("<script>")[0]
    assert "nan" not in content.replace("NANS", "").lower().replace("finan", "")


def test_an_unknown_evaluation_is_refused_with_the_known(settings, results):
    with pytest.raises(RegistryError, match="none"):
        judging.summary(settings)
    known = judging.judge(settings, "f1", results)["evaluation_id"]
    with pytest.raises(RegistryError, match=known):
        promotion.promote_evaluated(settings, "nope", "ann")
