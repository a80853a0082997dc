"""A batch that is judged by portions of tickers is judged as it is at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from transfergate.calendars import exchange_sessions
from transfergate.quality import (
    BatchContext,
    JudgedRows,
    findings_of,
    parse_expectations,
    report_of,
    validate_portions,
)
from transfergate.settings import PROJECT_ROOT, QualityParams
from transfergate.sources.base import bars_table
from transfergate.storage import ArtefactStore
from transfergate.warehouse import derive_checks

# Of the batch, of one row after another, and of a set of values.
DECLARED = """
[[expectations]]
expectation = "ExpectColumnMeanToBeBetween"
rule = "mean_close"
column = "close"
max_value = 1

[[expectations]]
expectation = "ExpectColumnValuesToBeUnique"
rule = "close_appears_once"
column = "close"
severity = "warning"

[[expectations]]
expectation = "ExpectColumnValuesToBeBetween"
rule = "close_above"
column = "close"
min_value = 90
mostly = 0.5
severity = "warning"

[[expectations]]
expectation = "ExpectColumnDistinctValuesToContainSet"
rule = "two_currencies"
column = "currency"
value_set = ["USD", "EUR"]
severity = "warning"
"""


@pytest.fixture(scope="module")
def described(clean) -> pd.DataFrame:
    sessions = exchange_sessions("XNYS", clean["session_date"].min().date(),
                                 clean["session_date"].max().date())  # fmt: skip
    frame = clean.copy()
    frame.loc[[7, 130, 131, 400], "volume"] = -1.0
    frame.loc[240:359, "low"] = -1.0
    frame.loc[60:119, ["open", "high", "low", "close", "adj_close"]] *= 3
    frame.loc[500, "close"] = frame.loc[20, "close"]
    frame.loc[610, "ticker"] = None
    frame = pd.concat([frame, frame.iloc[[300, 5]]]).drop(index=range(470, 480))
    return derive_checks(bars_table(frame), sessions, PROJECT_ROOT / "sql")


def said(portions, described, tmp_path, declared=DECLARED, params=None):
    context = BatchContext(
        *("b", ("SRC01", "GONE"), described["session_date"].max().date()),
        previous_rows=5000,
        declared=parse_expectations(declared, "x.toml") if declared else (),
    )
    params = QualityParams(**(params or {"max_bad_row_frac": 0.02}))
    store = ArtefactStore(tmp_path)
    rows = JudgedRows.of(described)
    validation, rows = validate_portions(portions, rows, params, context, store)
    page = tmp_path / "data_docs/gx/validations/daily_bars/b/last/bars.html"
    return (
        report_of(validation, rows),
        validation.reasons,
        findings_of(validation, rows).to_pylist(),
        page.read_text(),
    )


def in_three(described):
    codes = described["ticker"].astype("category").cat.codes
    return [described[np.clip(codes, 0, None) % 3 == part] for part in range(3)]


@pytest.mark.parametrize("refused", [True, False])
def test_portions_say_what_the_whole_says(described, tmp_path, refused):
    declared = DECLARED if refused else DECLARED.partition("\n\n")[2]
    whole = said([described], described, tmp_path / "a", declared)
    parts = said(in_three(described), described, tmp_path / "b", declared)
    assert bool(whole[0]["refusals"]) == refused
    assert parts[:3] == whole[:3]
    # Great Expectations' own page holds the merged counts, not those of a portion.
    assert f"{len(described):,}"[:3] in parts[3]
    assert parts[3].count("<tr") == whole[3].count("<tr")


def test_a_rule_across_tickers_sees_all_of_them(described, tmp_path):
    report, _, findings, _ = said(in_three(described), described, tmp_path)
    rows = {item["row_id"] for item in findings if item["rule"] == "close_appears_once"}
    twins = described.index[described["close"].duplicated(keep=False)]
    assert rows == set(twins)
    assert {"mean_close"} == {text.partition(":")[0] for text in report["refusals"]}
