"""Adding a feature is adding a file and one line of settings; a wrong file is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfergate.errors import SnapshotError

FeaturesOf = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
MakeBars = Callable[..., pd.DataFrame]

INTRADAY_RANGE = """
-- High less low as a fraction of the close.
-- Known after that session's close.
select
    ticker,
    session_date,
    (high - low) / close as intraday_range
from int_bars
"""


def test_a_file_and_a_name_add_a_feature(
    make_bars: MakeBars, features_of: FeaturesOf, own_sql: Path
) -> None:
    (own_sql / "marts/features/intraday_range.sql").write_text(INTRADAY_RANGE)
    bars = make_bars(("AAA",), n_sessions=90)
    raw, scored = features_of(bars, ["return_1", "intraday_range"], sql_dir=own_sql)
    assert list(scored) == ["return_1", "intraday_range"]
    expected = ((bars["high"] - bars["low"]) / bars["close"]).to_numpy()
    np.testing.assert_allclose(raw["intraday_range"], expected, rtol=1e-12)
    assert scored["intraday_range"].notna().sum() == 90 - 59


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select ticker, session_date from int_bars", "at least one feature"),
        ("select ticker, close as price from int_bars", "expected the columns ticker"),
        ("select ticker, session_date, 1 as return_1 from int_bars", "taken by return_1"),
        ("select ticker, session_date, 1 as open from int_bars", "taken by the prices"),
        ("select ticker, session_date, no_such as x from int_bars", r"does not run.*no_such"),
    ],
)
def test_a_feature_file_that_breaks_the_contract_is_refused(
    make_bars: MakeBars, features_of: FeaturesOf, own_sql: Path, text: str, message: str
) -> None:
    (own_sql / "marts/features/broken.sql").write_text(text)
    with pytest.raises(SnapshotError, match=rf"broken(?s:.*){message}"):
        features_of(make_bars(n_sessions=30), ["return_1", "broken"], sql_dir=own_sql)


@pytest.mark.parametrize("name", ["no_such", "../../../etc/passwd", "a; drop table x"])
def test_an_unknown_feature_is_refused_with_those_there_are(
    make_bars: MakeBars, features_of: FeaturesOf, name: str
) -> None:
    with pytest.raises(SnapshotError, match=r"features\.names.*rsi_14"):
        features_of(make_bars(n_sessions=30), [name])
