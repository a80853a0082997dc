from __future__ import annotations

from datetime import date

import pandas as pd

from transfergate.calendars import exchange_sessions
from transfergate.quality import BatchContext, JudgedRows, report_of, split_rows, validate_frame
from transfergate.settings import PROJECT_ROOT, QualityParams
from transfergate.sources import SampleSource
from transfergate.sources.base import bars_table
from transfergate.storage import ArtefactStore
from transfergate.warehouse import derive_checks


def broken(validation, severity):
    return {o.rule for o in validation.outcomes if not o.passed and o.severity == severity}


def changed(frame, row, **values):
    frame = frame.copy()
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame


def test_clean_bars_pass_every_rule(clean, judge):
    validation = judge(clean)
    assert validation.refusals == []
    assert validation.reasons == {}
    assert broken(validation, "critical") == broken(validation, "warning") == set()
    assert len(validation.outcomes) >= 30


DEFECTS = [
    ({"open": None}, ["open_present"]),
    ({"session_date": pd.NaT}, ["session_date_present", "exchange_session"]),
    ({"session_date": pd.Timestamp("2020-12-26")}, ["exchange_session"]),
    ({"session_date": pd.Timestamp("2099-01-02")}, ["exchange_session"]),
    ({"close": 0.0}, ["close_positive", "low_bounds_the_bar"]),
    ({"open": -3.0}, ["open_positive", "low_bounds_the_bar"]),
    ({"high": float("inf")}, ["high_positive"]),
    ({"high": 1e-3}, ["high_bounds_the_bar", "low_bounds_the_bar"]),
    ({"volume": -1.0}, ["volume_not_negative"]),
    ({"adj_close": 0.0}, ["adj_close_positive"]),
    ({"ticker": "../../etc"}, ["ticker_name"]),
    ({"ticker": None}, ["ticker_present"]),
]


def test_a_bad_row_is_quarantined_with_the_rules_it_broke(clean, judge):
    frame = clean
    for row, (values, _) in enumerate(DEFECTS):
        frame = changed(frame, 50 * row + 2, **values)
    validation = judge(frame, {"max_bad_row_frac": 0.5})
    assert validation.refusals == []
    assert {row: sorted(why) for row, why in validation.reasons.items()} == {
        50 * row + 2: sorted(rules) for row, (_, rules) in enumerate(DEFECTS)
    }


def test_volume_currency_and_adjusted_close_may_be_missing(clean, judge):
    validation = judge(clean.assign(volume=None, adj_close=None, currency=None))
    assert (validation.refusals, validation.reasons) == ([], {})


def test_of_identical_rows_the_first_stays_and_of_conflicting_ones_none(clean, judge):
    frame = pd.concat([clean, clean.iloc[[5]], changed(clean.iloc[[300]], 300, close=95.0)])
    frame["low"], frame["high"] = frame["low"] * 0.5, frame["high"] * 2
    validation = judge(frame.reset_index(drop=True))
    n = len(clean)
    assert validation.reasons == {
        n: ["no_copy"], 300: ["unique_session"], n + 1: ["unique_session"]
    }  # fmt: skip


def test_a_ticker_with_too_many_bad_rows_goes_whole_and_the_others_load(clean, judge):
    frame = clean.copy()
    rows = frame.index[frame["ticker"] == "SRC02"]
    frame.loc[rows[:2], "volume"] = -1.0
    assert set(judge(frame, {"max_bad_row_frac": 0.01}).reasons) == set(rows[:2])
    frame.loc[rows[:3], "volume"] = -1.0
    validation = judge(frame, {"max_bad_row_frac": 0.01})
    assert set(validation.reasons) == set(rows)
    assert validation.reasons[rows[0]] == [
        "volume_not_negative",
        "ticker_over_limit: 3 of 120 rows broke a rule, limit 1.00%",
    ]
    assert validation.reasons[rows[-1]] == validation.reasons[rows[0]][1:]
    assert validation.refusals == []


def test_a_batch_with_too_many_bad_tickers_is_refused(clean, judge):
    frame = clean.copy()
    for ticker in ("SRC01", "SRC02"):
        frame.loc[frame.index[frame["ticker"] == ticker][:5], "low"] = -1.0
    assert judge(frame, {"max_bad_ticker_frac": 0.4}).refusals == []
    (refusal,) = judge(frame).refusals
    assert "at most 20% of 6 tickers" in refusal
    assert "SRC01, SRC02" in refusal
    assert refusal.endswith("; rows that broke each rule: low_positive 10")


def test_a_session_with_too_many_bad_rows_is_refused(clean, judge):
    session = clean[clean["session_date"] == clean["session_date"].max()].reset_index(drop=True)
    one = changed(session, 0, volume=-1.0)
    assert judge(one).refusals == []
    assert set(judge(one).reasons) == {0}
    (refusal,) = judge(changed(one, 1, volume=-1.0)).refusals
    assert refusal.startswith("bad_rows: expected at most 20% of 6 rows")


def test_a_stale_batch_is_refused(clean, judge):
    assert judge(clean, oldest_acceptable=date(2020, 12, 31)).refusals == []
    (refusal,) = judge(clean, oldest_acceptable=date(2021, 1, 4)).refusals
    assert refusal.startswith("fresh: expected the last session is 2021-01-04 or later")
    assert refusal.endswith("found 2020-12-31 00:00:00")


def test_a_bar_from_the_future_does_not_make_a_batch_fresh(clean, judge):
    frame = changed(clean, 42, session_date=pd.Timestamp("2021-12-31"))
    assert judge(frame, oldest_acceptable=date(2021, 1, 4)).refusals != []


def test_an_empty_batch_is_refused(clean, judge):
    (refusal,) = judge(clean.iloc[:0]).refusals
    assert refusal == "not_empty: expected the batch has rows, found 0"


def test_wrong_columns_and_types_refuse_the_batch(clean, tmp_path):
    wrong = bars_table(clean).drop_columns(["close"]).to_pandas(date_as_object=False)
    wrong["open"] = wrong["open"].astype(str)
    context = BatchContext("b1", ("SRC01",))
    store = ArtefactStore(tmp_path)
    validation = validate_frame(wrong, QualityParams(), context, store)
    assert {text.split(":")[0] for text in validation.refusals} == {
        "schema", "type_open", "type_close"
    }  # fmt: skip
    assert report_of(validation, JudgedRows.of(wrong))["received"] == len(clean)


def test_suspicions_warn_and_load(clean, judge):
    frame = clean.copy()
    prices = ["open", "high", "low", "close", "adj_close"]
    frame.loc[60:119, prices] /= 2.0
    frame = frame.drop(index=range(125, 140))
    validation = judge(frame, previous_rows=5000, tickers=("SRC01", "GONE"))
    assert (validation.refusals, validation.reasons) == ([], {})
    assert broken(validation, "critical") == set()
    assert broken(validation, "warning") == {
        "return_outlier", "hidden_split", "ticker_coverage", "row_count"
    }  # fmt: skip
    gaps = judge(frame, {"max_missing_session_frac": 0.0})
    assert "gap" in broken(gaps, "warning")


def test_the_sample_loads_whole_and_only_warns_of_what_is_true(tmp_path):
    source = SampleSource()
    sessions = exchange_sessions("XNYS", date(1999, 1, 1), date(2018, 12, 31))
    bars = source.fetch(source.tickers(), None, None)
    frame = derive_checks(bars, sessions, PROJECT_ROOT / "sql")
    context = BatchContext("b1", source.tickers())
    validation = validate_frame(frame, QualityParams(), context, ArtefactStore(tmp_path))
    assert (validation.refusals, validation.reasons) == ([], {})
    warned = {o.rule: o.row_ids for o in validation.outcomes if not o.passed}
    assert set(warned) == {"return_outlier", "hidden_split", "ticker_stops_early"}
    (apple,) = warned["return_outlier"]
    assert str(frame.loc[apple, "session_date"].date()) == "2000-09-29"
    accepted, quarantine = split_rows(bars, validation)
    assert (accepted.num_rows, quarantine.num_rows) == (bars.num_rows, 0)
