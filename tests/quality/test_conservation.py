"""Received = loaded + quarantined, and every bad row is in quarantine with a reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings

from transfergate.calendars import exchange_sessions
from transfergate.quality import BatchContext, split_rows, validate_frame
from transfergate.settings import PROJECT_ROOT, QualityParams
from transfergate.sources.base import bars_table
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import BAR_SCHEMA, PRICES
from transfergate.warehouse import derive_checks, load_batch, open_warehouse

SQL = PROJECT_ROOT / "sql"
SESSIONS = exchange_sessions("XNYS", date(2015, 1, 1), date(2020, 12, 31))
LENIENT = QualityParams(max_bad_row_frac=1.0, max_bad_ticker_frac=1.0)

DEFECTS: dict[str, Callable[[pd.Series], dict[str, object]]] = {
    "null open": lambda row: {"open": None},
    "null close": lambda row: {"close": None},
    "null ticker": lambda row: {"ticker": None},
    "null date": lambda row: {"session_date": pd.NaT},
    "weekend": lambda row: {"session_date": pd.Timestamp("2020-10-10")},
    "long ago": lambda row: {"session_date": pd.Timestamp("1066-10-14")},
    "negative low": lambda row: {"low": -row["low"]},
    "zero close": lambda row: {"close": 0.0},
    "infinite high": lambda row: {"high": np.inf},
    "high too low": lambda row: {"high": row["low"] * 0.99},
    "close above high": lambda row: {"close": row["high"] * 1.01},
    "negative volume": lambda row: {"volume": -5.0},
    "bad factor": lambda row: {"adj_close": -1.0},
    "bad name": lambda row: {"ticker": "A B"},
    # These break nothing.
    "null volume": lambda row: {"volume": None},
    "other currency": lambda row: {"currency": "EUR"},
    "big move": lambda row: {name: 3 * row[name] for name in PRICES},
}


def bad_rows(rows: list[dict[str, object]]) -> set[int]:
    """What must be quarantined, said once more and differently: row by row, in plain Python."""
    sessions = set(SESSIONS)
    bad, holders = set(), defaultdict(list)
    for number, row in enumerate(rows):
        prices = [row[name] for name in PRICES]
        fine = (
            isinstance(row["ticker"], str)
            and " " not in row["ticker"]
            and row["session_date"] in sessions
            and all(price is not None and 0 < price < np.inf for price in prices)
            and row["low"] <= min(prices)
            and row["high"] >= max(prices)
            and (row["volume"] is None or row["volume"] >= 0)
            and (row["adj_close"] is None or row["adj_close"] > 0)
        )
        if not fine:
            bad.add(number)
        holders[row["ticker"], row["session_date"]].append((number, tuple(row.values())))
    for same in holders.values():
        if len({values for _, values in same}) > 1:
            first = {values: number for number, values in reversed(same)}
            bad |= set(first.values())
        seen = set()
        for number, values in same:
            if values in seen:
                bad.add(number)
            seen.add(values)
    return bad


@st.composite
def mutations(draw):
    """Which rows get which defect, and which are copied, exactly or with another close."""
    row = st.integers(0, 719)
    return (
        draw(st.lists(st.tuples(row, st.sampled_from(sorted(DEFECTS))), max_size=40)),
        draw(st.lists(st.tuples(row, st.booleans()), max_size=15)),
        draw(st.randoms(use_true_random=False)),
    )


def mutate(clean: pd.DataFrame, plan) -> pd.DataFrame:
    defects, copies, random = plan
    frame = clean.copy()
    for number, name in defects:
        for column, value in DEFECTS[name](frame.loc[number]).items():
            frame.loc[number, column] = value
    repeated = [frame.loc[[number]].assign(**({} if exact else {"volume": 7.0}))
                for number, exact in copies]  # fmt: skip
    frame = pd.concat([frame, *repeated], ignore_index=True)
    order = list(range(len(frame)))
    random.shuffle(order)
    return frame.iloc[order].reset_index(drop=True)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=mutations())
def test_loaded_and_quarantined_rows_are_those_received(clean, plan):
    bars = bars_table(mutate(clean, plan))
    expected = bad_rows(bars.to_pylist())
    with TemporaryDirectory() as folder:
        store = ArtefactStore(Path(folder))
        frame = derive_checks(bars, SESSIONS, SQL)
        validation = validate_frame(frame, LENIENT, BatchContext("b", ()), store)
        assert validation.refusals == []
        assert set(validation.reasons) == expected
        assert all(validation.reasons.values())
        accepted, quarantine = split_rows(bars, validation)
        values = quarantine.select(["row_id", *BAR_SCHEMA.names]).to_pylist()
        original = bars.to_pylist()
        assert values == [{"row_id": number, **original[number]} for number in sorted(expected)]
        with open_warehouse(Path(folder) / "warehouse.duckdb", SQL, 1) as conn:
            counts = load_batch(
                conn, source="s", batch_id="b", accepted=accepted, quarantine=quarantine,
                received=bars.num_rows, known_at=datetime(2021, 1, 4, tzinfo=UTC),
            )  # fmt: skip
    assert counts.loaded + counts.quarantined == counts.received == bars.num_rows
    assert counts.quarantined == len(expected)
