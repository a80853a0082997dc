from __future__ import annotations

import io

import pandas as pd

from studies.panel_folders import nse_actions, nse_symbols

CANDIDATES = """\
symbol,date,nearest_simple_ratio
GAIL,2019-07-09,2:1
WIPRO,2010-06-15,5:3
ITC,2005-09-21,
KOTAKBANK,2001-07-02,5:2
"""
CHANGES = """\
symbol,symbol_at_time,first_date,last_date,rows
VEDL,SSLT,2013-10-04,2015-05-06,1
VEDL,SESAGOA,2000-01-03,2013-10-01,1
VEDL,VEDL,2015-05-08,2020-04-30,1
"""


def read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype=str)


def test_candidates_become_splits_but_for_the_gap_and_with_the_bonus_issues():
    actions = nse_actions(read(CANDIDATES)).set_index(["ticker", "effect_date"])["value"]
    assert actions["GAIL", "2019-07-09"] == 2
    assert actions["WIPRO", "2010-06-15"] == 5 / 3
    assert actions["ITC", "2005-09-21"] == 15
    assert actions["UPL", "2019-07-02"] == 1.5
    assert ("KOTAKBANK", "2001-07-02") not in actions


def test_a_symbol_lasts_until_the_day_before_the_next():
    assert nse_symbols(read(CHANGES)).to_numpy().tolist() == [
        ["SESAGOA", "VEDL", "", "2013-10-03"],
        ["SSLT", "VEDL", "2013-10-04", "2015-05-07"],
        ["VEDL", "VEDL", "2015-05-08", ""],
    ]
