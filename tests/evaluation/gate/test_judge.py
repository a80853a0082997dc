"""Every verdict, every guard and every refusal, each reached by a record made for it."""

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from transfergate.errors import GateInputError
from transfergate.evaluation.gate import Audit, judge, unjudged
from transfergate.evaluation.gate.guards import not_below
from transfergate.settings import GateParams

PARAMS = GateParams(evidence="ticker")
FIELDS = {
    "verdict", "reasons", "delta_sharpe", "se_time", "se_seed", "se", "p_promote", "p_reject",
    "posterior_better", "posterior_worse", "mde80", "correlation", "n_sessions", "n_folds",
    "n_seeds", "sharpe", "guards",
}  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture
def better(arms_world, rng):
    return arms_world(rng, edge=3.0)


@pytest.fixture
def worse(arms_world, rng):
    return arms_world(rng, edge=-3.0)


def test_clear_benefit_is_promoted(judge_one, better):
    report = judge_one(better)
    assert report["verdict"] == "PROMOTE"
    assert report.keys() >= FIELDS
    assert report["p_promote"] < 0.01
    assert report["posterior_better"] is None
    assert (report["n_sessions"], report["n_folds"], report["n_seeds"]) == (504, 8, 5)
    assert f"{report['delta_sharpe']:+.2f}" in report["reasons"][0]
    assert report["audits"] == "not run"


def test_clear_harm_is_rejected(judge_one, worse):
    report = judge_one(worse)
    assert report["verdict"] == "REJECT_NEGATIVE_TRANSFER"
    assert "harm" in " ".join(report["reasons"])


def test_no_difference_is_inconclusive_and_says_what_could_be_found(judge_one, arms_world, rng):
    report = judge_one(arms_world(rng, edge=0.1))
    assert report["verdict"] == "INCONCLUSIVE"
    assert f"{report['mde80']:.2f}" in " ".join(report["reasons"])


@pytest.mark.parametrize("n_sessions", [196, 251])
def test_a_short_record_is_inconclusive_with_the_sessions_missing(
    judge_one, arms_world, rng, n_sessions
):
    report = judge_one(arms_world(rng, edge=5.0, n_sessions=n_sessions))
    assert report["verdict"] == "INCONCLUSIVE"
    assert report["missing_sessions"] == 252 - n_sessions
    assert f"{252 - n_sessions} are missing" in report["reasons"][0]


def test_exactly_enough_sessions_are_judged(judge_one, arms_world, rng):
    assert judge_one(arms_world(rng, edge=5.0, n_sessions=252))["verdict"] == "PROMOTE"


def test_no_record_at_all_has_a_report_too():
    report = unjudged("INCONCLUSIVE", ["no fold fits"], PARAMS, missing_sessions=507)
    assert report.keys() >= FIELDS
    assert (report["n_sessions"], report["missing_sessions"]) == (0, 507)


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_too_few_seeds_are_inconclusive(judge_one, arms_world, rng, n_seeds):
    report = judge_one(arms_world(rng, edge=5.0, n_seeds=n_seeds))
    assert report["verdict"] == "INCONCLUSIVE"
    assert "seeds" in report["reasons"][0]


def test_identical_arms_are_inconclusive(judge_one, better):
    report = judge_one({"finetuned": better["finetuned"], "scratch": better["finetuned"][::-1]})
    assert report["verdict"] == "INCONCLUSIVE"
    assert report["p_promote"] is None
    point = judge_one(
        {"finetuned": better["finetuned"], "scratch": 2 * better["finetuned"]},
        params={"evidence": "point", "delta_min": 0.0},
    )
    assert point["verdict"] == "INCONCLUSIVE"


def test_both_flat_is_inconclusive(judge_one):
    report = judge_one({"finetuned": np.zeros((5, 300)), "scratch": np.zeros((5, 300))})
    assert report["verdict"] == "INCONCLUSIVE"
    assert "flat" in report["reasons"][0]
    assert report["sharpe"] == {"finetuned": 0.0, "scratch": 0.0}


def test_one_flat_arm_is_judged_with_sharpe_zero(judge_one, better):
    report = judge_one({"finetuned": better["finetuned"], "scratch": np.zeros((5, 504))})
    assert report["verdict"] == "PROMOTE"
    assert report["delta_sharpe"] == pytest.approx(report["sharpe"]["finetuned"])
    assert report["correlation"] is None
    losing = judge_one({"finetuned": -better["finetuned"], "scratch": np.zeros((5, 504))})
    assert losing["verdict"] == "REJECT_NEGATIVE_TRANSFER"


def test_a_constant_return_is_invalid(judge_one, better):
    report = judge_one({"finetuned": np.full((5, 504), 1e-4), "scratch": better["scratch"]})
    assert report["verdict"] == "INVALID"


@pytest.mark.parametrize("evidence", ["ticker", "point"])
def test_failed_audit_is_invalid_with_its_figures(judge_one, better, evidence):
    audits = {
        "TGT": [
            Audit("leakage", True),
            Audit("budget_parity", False, {"updates": {"finetuned": 1200, "scratch": 120}}),
        ]
    }
    report = judge_one(better, audits=audits, params={"evidence": evidence})
    assert report["verdict"] == "INVALID"
    assert "1200" in report["reasons"][0]
    assert report["audits"]["leakage"]["passed"]


def test_point_evidence_promotes_any_advantage(judge_one, arms_world):
    rng = np.random.default_rng(30)
    verdicts = [
        judge_one(arms_world(rng, base=2.0), params={"evidence": "point", "delta_min": 0.0})[
            "verdict"
        ]
        for _ in range(60)
    ]
    assert 15 < verdicts.count("PROMOTE") < 45
    assert verdicts.count("PROMOTE") + verdicts.count("REJECT_NEGATIVE_TRANSFER") == 60


# guards ---------------------------------------------------------------------------------------


def test_flat_guard(judge_one, arms_world, rng):
    report = judge_one(arms_world(rng, base=-5.0, edge=3.0))
    assert report["verdict"] == "REJECT_GUARDRAIL"
    assert not report["guards"]["flat"]["passed"]
    assert "holding nothing" in report["reasons"][2]


def test_ruin_is_judged_named_and_never_promoted(judge_one, better):
    better["finetuned"][2, 100] = -1.0
    better["finetuned"] += 0.02 * (np.arange(504) != 100)
    report = judge_one(better)
    assert report["guards"]["flat"]["value"] > 0
    assert report["guards"]["flat"]["passed"] is False
    assert report["verdict"] == "REJECT_GUARDRAIL"
    assert report["ruined"] == {"finetuned": "2010-04-14"}
    assert any("RUIN" in reason and "2010-04-14" in reason for reason in report["reasons"])


def test_a_ruined_control_is_said_but_breaks_no_guard(judge_one, better):
    better["scratch"][0, 100] = -1.0
    report = judge_one(better)
    assert report["guards"]["flat"]["passed"] is True
    assert report["ruined"] == {"scratch": "2010-04-14"}
    assert any("RUIN" in reason for reason in report["reasons"])


@pytest.mark.parametrize("name", ["champion", "zero_shot"])
def test_reference_guard(judge_one, better, rng, name):
    mean = better["finetuned"].mean(0)
    above = judge_one(better | {name: mean + 0.001 + rng.normal(0, 1e-3, 504)})
    assert above["verdict"] == "REJECT_GUARDRAIL"
    assert not above["guards"][name]["passed"]
    assert above["guards"][name]["limit"] == -0.10
    below = judge_one(better | {name: mean + 1e-6})
    assert below["verdict"] == "PROMOTE"


@pytest.mark.parametrize("name", ["champion", "zero_shot"])
def test_a_reference_ahead_by_a_tenth_is_allowed_and_not_a_hair_more(judge_one, better, rng, name):
    own = judge_one(better)["sharpe"]["finetuned"]
    noise = rng.normal(size=504)
    noise = (noise - noise.mean()) / noise.std()

    def report(ahead):
        return judge_one(better | {name: 0.01 * (noise + (own + ahead) / np.sqrt(252))})

    at, beyond = report(0.10 - 1e-9), report(0.10 + 1e-9)
    assert at["guards"][name]["value"] == pytest.approx(-0.10)
    assert (at["guards"][name]["passed"], at["verdict"]) == (True, "PROMOTE")
    assert beyond["guards"][name]["passed"] is False
    assert beyond["verdict"] == "REJECT_GUARDRAIL"
    assert not_below(-0.10).passed
    assert not not_below(np.nextafter(-0.10, -1.0)).passed


def test_buy_and_hold_guard_allows_what_chance_explains(judge_one, better, rng):
    own = judge_one(better)["sharpe"]["finetuned"]
    noise = rng.normal(size=504)
    noise = (noise - noise.mean()) / noise.std()
    close = judge_one(better | {"buy_hold": 0.01 * (noise + (own + 0.5) / np.sqrt(252))})
    assert close["guards"]["buy_hold"]["value"] == pytest.approx(-0.5)
    assert close["verdict"] == "PROMOTE"
    far = judge_one(better | {"buy_hold": 0.01 * (noise + (own + 3.0) / np.sqrt(252))})
    assert far["verdict"] == "REJECT_GUARDRAIL"
    assert not far["guards"]["buy_hold"]["passed"]


def test_a_bull_market_in_which_every_arm_is_long_is_no_promotion(judge_one, rng):
    market = rng.normal(0.003, 0.01, 504)
    arms = {
        "finetuned": 0.9 * market + rng.normal(0, 0.002, (5, 504)) - 0.001,
        "scratch": 0.5 * market + rng.normal(0, 0.002, (5, 504)) - 0.0011,
        "buy_hold": market,
    }
    report = judge_one(arms)
    assert report["delta_sharpe"] > 0
    assert report["verdict"] == "REJECT_GUARDRAIL"


@pytest.mark.parametrize("n_seeds", [3, 5, 7])
def test_policies_that_buy_and_hold_are_not_stopped_by_rounding(judge_one, rng, n_seeds):
    for _ in range(10):
        market = 0.01 * (rng.normal(size=504) + 0.2)
        scratch = 0.01 * (rng.normal(size=(n_seeds, 504)) - 0.3)
        finetuned = np.tile(market, (n_seeds, 1))
        report = judge_one({"finetuned": finetuned, "scratch": scratch, "buy_hold": market})
        assert report["guards"]["buy_hold"]["passed"]
        assert report["verdict"] == "PROMOTE"


def test_absent_references_leave_their_guards_null(judge_one, better):
    guards = judge_one(better)["guards"]
    assert guards["flat"]["passed"] is True
    assert guards["champion"] is guards["zero_shot"] is guards["buy_hold"] is None


def test_a_champion_seen_on_fewer_than_63_sessions_is_no_guard(returns_table, better):
    def report(n):
        champion = returns_table({"champion": better["finetuned"].mean(0) + 0.01})
        last = champion.slice(504 - n)
        table = pa.concat_tables([returns_table(better), last])
        return judge(table, PARAMS)["tickers"]["TGT"]

    assert report(62)["guards"]["champion"] is None
    assert report(63)["guards"]["champion"]["passed"] is False


def test_guards_do_not_save_a_harmful_recipe(judge_one, worse):
    better_than_champion = worse | {"champion": worse["finetuned"].mean(0) - 0.01}
    assert judge_one(better_than_champion)["verdict"] == "REJECT_NEGATIVE_TRANSFER"


# flags ----------------------------------------------------------------------------------------


def test_a_crippled_control_is_flagged(judge_one, arms_world, rng):
    arms = arms_world(rng, base=-2.0, edge=4.0)
    assert any("WEAK CONTROL" in reason for reason in judge_one(arms)["reasons"])
    strong = arms_world(rng, base=1.0, edge=4.0)
    assert not any("WEAK CONTROL" in reason for reason in judge_one(strong)["reasons"])
    ridge = strong | {"ridge": strong["scratch"].mean(0) + 0.003}
    report = judge_one(ridge)
    assert report["control"]["ridge"]["weak"]
    assert any("ridge" in reason for reason in report["reasons"] if "WEAK" in reason)


def test_seeds_that_repeat_each_other_are_flagged(judge_one, arms_world, rng):
    def flagged(arms):
        return [reason for reason in judge_one(arms)["reasons"] if "REPEATED SEEDS" in reason]

    arms = arms_world(rng, base=1.0, edge=1.0)
    finetuned, scratch = arms["finetuned"].copy(), arms["scratch"].copy()
    assert not flagged(arms)
    finetuned[2] = finetuned[0]
    assert not flagged(arms | {"finetuned": finetuned})
    scratch[2] = scratch[0]
    assert "seeds 2 " in flagged(arms | {"finetuned": finetuned, "scratch": scratch})[0]
    finetuned[[0, 2]] = scratch[[0, 2]] = 0.0
    assert not flagged(arms | {"finetuned": finetuned, "scratch": scratch})


@pytest.mark.parametrize(("n", "flagged"), [(1, True), (3, True), (4, False), (None, False)])
def test_few_foundations_make_the_verdict_conditional(judge_one, better, n, flagged):
    foundations = None if n is None else {"TGT": n}
    reasons = judge_one(better, foundations=foundations)["reasons"]
    assert any("CONDITIONAL ON FOUNDATION" in reason for reason in reasons) is flagged


# unusable input -------------------------------------------------------------------------------


def replace(table, column, values):
    return table.set_column(table.column_names.index(column), column, [values])


def without(table, arm, seed=None, day=None):
    keep = [
        not (
            row["arm"] == arm
            and (seed is None or row["seed"] == seed)
            and (day is None or row["session_date"] == day)
        )
        for row in table.select(["arm", "seed", "session_date"]).to_pylist()
    ]
    return table.filter(pa.array(keep))


DEFECTS = {
    "missing arm": (lambda t: without(t, "scratch"), ["TGT", "scratch", "missing"]),
    "a day less": (
        lambda t: without(t, "scratch", day=date(2010, 2, 3)),
        ["TGT scratch", "2010-02-03"],
    ),
    "a day less in one seed": (
        lambda t: without(t, "finetuned", 2, date(2010, 2, 3)),
        ["TGT finetuned", "2010-02-03"],
    ),
    "reference with a day less": (
        lambda t: without(t, "buy_hold", day=date(2010, 2, 3)),
        ["TGT buy_hold", "2010-02-03"],
    ),
    "champion with a gap": (
        lambda t: without(t, "champion", day=date(2010, 2, 3)),
        ["TGT champion", "2010-02-03"],
    ),
    "nan": (
        lambda t: replace(
            t, "net_return", pa.array([float("nan"), *t["net_return"].to_pylist()[1:]])
        ),
        ["TGT finetuned", "2010-01-04", "finite"],
    ),
    "null": (
        lambda t: replace(t, "net_return", pa.array([None, *t["net_return"].to_pylist()[1:]])),
        ["TGT finetuned", "2010-01-04"],
    ),
    "below -1": (
        lambda t: replace(t, "net_return", pa.array([-1.001, *t["net_return"].to_pylist()[1:]])),
        ["TGT finetuned", "2010-01-04", "-1.001", "everything"],
    ),
    "infinite": (
        lambda t: replace(
            t, "net_return", pa.array([float("inf"), *t["net_return"].to_pylist()[1:]])
        ),
        ["TGT finetuned", "2010-01-04"],
    ),
    "duplicate": (lambda t: pa.concat_tables([t, t.slice(3, 1)]), ["TGT finetuned", "2010-01-07"]),
    "unpaired seeds": (lambda t: without(t, "scratch", 4), ["TGT", "paired"]),
    "seed number left out": (lambda t: without(t, "finetuned", 1), ["TGT finetuned", "paired"]),
    "unknown arm": (
        lambda t: replace(t, "arm", pa.array(["best_of", *t["arm"].to_pylist()[1:]])),
        ["TGT best_of"],
    ),
    "other folds": (
        lambda t: replace(
            t, "fold", pa.array([7 if arm == "scratch" else 0 for arm in t["arm"].to_pylist()])
        ),
        ["TGT scratch", "folds"],
    ),
    "two reference seeds": (
        lambda t: replace(
            t,
            "seed",
            pa.array([1 if row["arm"] == "buy_hold" else row["seed"] for row in t.to_pylist()]),
        ),
        ["TGT buy_hold", "seeds"],
    ),
    "empty": (lambda t: t.slice(0, 0), ["no rows"]),
    "no column": (lambda t: t.drop_columns(["fold"]), ["fold"]),
    "text returns": (
        lambda t: replace(t, "net_return", pa.array(["x"] * t.num_rows)),
        ["net_return", "double"],
    ),
    "number dates": (
        lambda t: replace(t, "session_date", pa.array(range(t.num_rows))),
        ["session_date"],
    ),
    "no ticker": (
        lambda t: replace(t, "ticker", pa.array([None, *["TGT"] * (t.num_rows - 1)])),
        ["ticker", "row 1"],
    ),
    "padded ticker": (
        lambda t: replace(t, "ticker", pa.array([*["TGT"] * (t.num_rows - 1), "TGT "])),
        ["ticker", "'TGT '", "blanks"],
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_unusable_input_is_refused_and_named(returns_table, arms_world, rng, name):
    arms = arms_world(rng, n_sessions=60)
    arms |= {"buy_hold": arms["scratch"][0], "champion": arms["scratch"][1]}
    table = returns_table(arms, fold_sessions=20)
    judge(table, PARAMS)
    spoil, words = DEFECTS[name]
    with pytest.raises(GateInputError) as caught:
        judge(spoil(table), PARAMS)
    assert all(word in str(caught.value) for word in words)


def test_keep_going_judges_the_rest(returns_table, better):
    bad = returns_table({"finetuned": better["finetuned"]}, "BAD")
    table = pa.concat_tables([returns_table(better), bad])
    with pytest.raises(GateInputError, match="BAD"):
        judge(table, PARAMS)
    reports = judge(table, PARAMS, keep_going=True)["tickers"]
    assert reports["TGT"]["verdict"] == "PROMOTE"
    assert reports["BAD"]["verdict"] == "INVALID"
    assert "scratch" in reports["BAD"]["reasons"][0]


def test_a_champion_may_lack_whole_folds(returns_table, better):
    champion = returns_table({"champion": better["scratch"][0]})
    holed = champion.filter(pa.array([fold != 3 for fold in champion["fold"].to_pylist()]))
    report = judge(pa.concat_tables([returns_table(better), holed]), PARAMS)["tickers"]["TGT"]
    assert report["guards"]["champion"] is not None


@pytest.mark.parametrize(
    ("column", "convert"),
    [
        ("session_date", lambda c: c.cast(pa.string())),
        ("session_date", lambda c: c.cast(pa.timestamp("ns"))),
        ("seed", lambda c: c.cast(pa.float64())),
        ("ticker", lambda c: c.dictionary_encode()),
        ("fold", lambda c: c.cast(pa.int8())),
    ],
)
def test_other_types_of_the_same_values_are_read(returns_table, better, column, convert):
    table = returns_table(better | {"zero_shot": better["scratch"][0]})
    other = table.set_column(
        table.column_names.index(column), column, convert(table[column].combine_chunks())
    )
    assert judge(other, PARAMS) == judge(table, PARAMS)


def test_the_result_is_one_json_object_without_nan(returns_table, better):
    flat = {"finetuned": np.zeros((5, 300)), "scratch": np.zeros((5, 300))}
    tables = [returns_table(better, "A"), returns_table(flat, "B")]
    result = judge(pa.concat_tables(tables), PARAMS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["config"]["alpha_promote"] == 0.10
    assert result["pool"] == {"n_tickers": 0, "tickers": []}
