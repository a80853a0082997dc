from __future__ import annotations

import pytest

from transfergate.errors import SettingsError
from transfergate.quality import parse_expectations
from transfergate.settings import KnownFlaw

ENTRY = """
[[expectations]]
expectation = "ExpectColumnValuesToBeBetween"
rule = "close_below_limit"
column = "close"
max_value = {limit}
{more}
"""


def declared(limit: float, more: str = ""):
    return parse_expectations(ENTRY.format(limit=limit, more=more), "x.toml")


def test_one_entry_is_one_more_rule_whose_breakers_are_quarantined(clean, judge):
    limit = clean["close"].nlargest(3).iloc[-1]
    validation = judge(clean, declared=declared(limit))
    assert set(validation.reasons) == set(clean["close"].nlargest(2).index)
    assert set(map(tuple, validation.reasons.values())) == {("close_below_limit",)}


def test_a_declared_rule_may_only_warn_and_only_of_some_tickers(clean, judge):
    warned = judge(clean, declared=declared(0.01, 'severity = "warning"'))
    assert warned.reasons == {}
    (outcome,) = [o for o in warned.outcomes if o.rule == "close_below_limit"]
    assert len(outcome.row_ids) == len(clean)
    lenient = {"max_bad_row_frac": 1.0}
    some = judge(clean, lenient, declared=declared(0.01, 'tickers = ["SRC02"]'))
    assert set(some.reasons) == set(clean.index[clean["ticker"] == "SRC02"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Between", "Betwen", "has no 'ExpectColumnValuesToBeBetwen' .did you mean 'ExpectCol"),
        ('"close"', '"clse"', "no column 'clse' .did you mean 'close'.*there are row_id, ticker"),
        (
            "max_value",
            "max_valu",
            "no argument 'max_valu' .did you mean 'max_value'.*it has column",
        ),
        ("max_value = 9", "", "cannot both be None; it takes column, max_value"),
        ("close_below_limit", "no_copy", "judged by a rule of that name already"),
    ],
)
def test_what_does_not_exist_is_named_beside_what_does(clean, judge, old, new, message):
    text = ENTRY.format(limit=9, more="").replace(old, new)
    with pytest.raises(SettingsError, match=f"x.toml, entry 1.*{message}"):
        judge(clean, declared=parse_expectations(text, "x.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expectations = 3", "expected entries"),
        ("[[expectations]\n", "not valid TOML"),
        ("[[expectations]]\nrule = 'a'", "entry 1: expected expectation = "),
        (ENTRY.format(limit=1, more="severity = 'grave'"), "'grave' is none of critical, warning"),
        (ENTRY.format(limit=1, more="") * 2, "'close_below_limit' stands there twice"),
        (ENTRY.format(limit=1, more="").replace("close_b", "Close B"), "must be lower case"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_expectations(text, "x.toml")


FLAW = {"rule": "high_bounds_the_bar", "tickers": ["SRC02"], "note": "two feeds"}


def with_high_too_low(clean, tickers):
    frame = clean.copy()
    rows = frame.index[frame["ticker"].isin(tickers)]
    frame.loc[rows, "low"] *= 0.5
    frame.loc[rows, "high"] = frame.loc[rows, "low"] * 1.01
    return frame, set(rows)


def test_a_known_flaw_is_loaded_as_received_and_counted(clean, judge):
    frame, rows = with_high_too_low(clean, ["SRC02"])
    validation = judge(frame, {"known_flaws": [{**FLAW, "keep": "as received"}]})
    assert (validation.refusals, validation.reasons) == ([], {})
    ((flaw, count),) = validation.known
    assert (flaw.note, count) == ("two feeds", len(rows))
    other, rows = with_high_too_low(clean, ["SRC03"])
    assert set(judge(other, {"known_flaws": [{**FLAW, "keep": "as received"}]}).reasons) == rows


def test_a_known_flaw_in_quarantine_counts_against_no_limit(clean, judge):
    frame, rows = with_high_too_low(clean, ["SRC01", "SRC02", "SRC03"])
    assert "bad_tickers" in judge(frame).refusals[0]
    flaw = {**FLAW, "tickers": [], "keep": "quarantine"}
    validation = judge(frame, {"known_flaws": [flaw]})
    assert validation.refusals == []
    assert (set(validation.reasons), validation.tickers_over_limit) == (rows, {})


def test_a_flaw_that_the_table_cannot_hold_is_not_kept():
    with pytest.raises(ValueError, match=r"do not fit the warehouse.*keep = 'quarantine'"):
        KnownFlaw(rule="close_present", keep="as received")
    assert KnownFlaw(rule="close_present", keep="quarantine").tickers == ()


def test_prices_below_zero_are_fine_where_they_are_declared(clean, judge):
    frame = clean.copy()
    row = frame.index[frame["ticker"] == "SRC02"][50]
    frame.loc[row, ["low", "close", "adj_close"]] = [-40.3, -37.6, -37.6]
    assert set(judge(frame).reasons) == {row}
    assert judge(frame, negative_prices=("SRC02",)).reasons == {}
    frame.loc[row, "low"] = -30.0
    found = judge(frame, negative_prices=("SRC02",)).reasons
    assert found == {row: ["low_bounds_the_bar"]}
    frame.loc[row, "low"] = -float("inf")
    assert "low_finite" in judge(frame, negative_prices=("SRC02",)).reasons[row]


def test_a_cell_that_could_not_be_read_is_named(clean, judge_described):
    def add(frame):
        frame.loc[3, "close"] = None
        frame["unreadable"] = None
        frame.loc[3, "unreadable"] = '{"close": "12,x4", "volume": "many"}'
        return frame

    assert judge_described(clean, add).reasons == {3: ["unreadable_close", "unreadable_volume"]}


def test_a_jump_waits_for_review_only_where_nothing_adjusts_the_price(clean, judge):
    frame = clean.copy()
    rows = frame.index[frame["ticker"].isin(["SRC01", "SRC02", "SRC03"])]
    late = [row for i, row in enumerate(rows) if i % 120 >= 60]
    frame.loc[late, ["open", "high", "low", "close", "adj_close"]] /= 2.0
    assert judge(frame).reasons == {}
    assert judge(frame, prices="raw", acted=frozenset(["SRC01"])).reasons != {}
    bare = frame.assign(adj_close=None)
    # Half the tickers, and no limit is touched: a person decides.
    validation = judge(bare)
    assert set(validation.reasons) == set(late)
    assert (validation.refusals, validation.tickers_over_limit) == ([], {})
    assert {ticker for ticker in bare.loc[list(judge(bare, acted=frozenset(["SRC01"])).reasons),
            "ticker"]} == {"SRC02", "SRC03"}  # fmt: skip
    assert judge(bare, prices="adjusted").reasons == {}
