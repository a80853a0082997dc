"""A batch is compared with what the warehouse holds, with actions, and with what waits there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from transfergate.calendars import exchange_sessions
from transfergate.settings import PROJECT_ROOT
from transfergate.sources.base import bars_table
from transfergate.storage.bars import ACTION_SCHEMA, BAR_SCHEMA
from transfergate.storage.landing import Reference
from transfergate.warehouse import History, derive_checks, load_batch, open_warehouse, read_history

SQL = PROJECT_ROOT / "sql"
SESSIONS = exchange_sessions("XNYS", date(2015, 1, 1), date(2015, 12, 31))
REFUSED = pa.schema([("row_id", pa.int64()), *BAR_SCHEMA, ("reasons", pa.list_(pa.string()))])
PRICES = ["open", "high", "low", "close"]


@pytest.fixture
def warehouse():
    with open_warehouse(Path(":memory:"), SQL, 1.0) as conn:
        yield conn


def walk(n: int = 90, *, split_at: int | None = None, ratio: float = 2.0, ticker: str = "A"):
    """A quiet walk; from ``split_at`` on at a price divided by ``ratio``."""
    rng = np.random.default_rng(3)
    close = 80 * np.exp(np.cumsum(rng.normal(0, 0.004, n)))
    frame = pd.DataFrame({"ticker": ticker, "session_date": pd.to_datetime(list(SESSIONS[:n]))})
    for name in PRICES:
        frame[name] = close
    if split_at is not None:
        frame.loc[split_at:, PRICES] /= ratio
    return frame


def actions(*rows: tuple[int, str, float | None], ticker: str = "A") -> Reference:
    return Reference(
        pa.Table.from_pylist(
            [
                {"ticker": ticker, "effect_date": SESSIONS[at], "kind": kind, "value": value}
                for at, kind, value in rows
            ],
            schema=ACTION_SCHEMA,
        )
    )


def load(
    conn: duckdb.DuckDBPyConnection, frame: pd.DataFrame, held: pd.DataFrame | None = None,
    reference: Reference | None = None,
) -> None:  # fmt: skip
    ((number,),) = conn.execute("select count(*) from batches").fetchall()
    rows = [] if held is None else bars_table(held).to_pylist()
    refused = [{**row, "row_id": i, "reasons": ["suspected_split"]} for i, row in enumerate(rows)]
    load_batch(
        conn, source="s", batch_id=f"b{number}", accepted=bars_table(frame),
        quarantine=pa.Table.from_pylist(refused, schema=REFUSED),
        received=len(frame) + len(refused), reference=reference,
        known_at=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number),
    )  # fmt: skip


def check(
    frame: pd.DataFrame, conn: duckdb.DuckDBPyConnection | None = None,
    reference: Reference | None = None,
) -> pd.DataFrame:  # fmt: skip
    table, given = bars_table(frame), reference or Reference()
    history = read_history(conn, "s", table, given) if conn else History(actions=given.actions)
    return derive_checks(table, SESSIONS, SQL, history).set_index(frame.index)


def flagged(found: pd.DataFrame, column: str) -> list[int]:
    return found.index[found[column].fillna(False).astype(bool)].tolist()


def test_the_first_bar_is_compared_with_the_last_that_was_loaded(warehouse):
    bars = walk()
    load(warehouse, bars.iloc[:60])
    found = check(bars.iloc[62:70], warehouse)
    assert found.loc[62, "missing_sessions"] == 2
    expected = bars["close"][62] / bars["close"][59] - 1
    assert found.loc[62, "adjusted_return"] == pytest.approx(expected, rel=1e-12)
    assert check(bars.iloc[62:70]).loc[62, ["adjusted_return"]].isna().all()


def test_a_correction_within_history_is_compared_with_the_bars_around_it(warehouse):
    bars = walk()
    load(warehouse, bars)
    one = bars.iloc[[40]].assign(close=bars["close"][40] * 1.01)
    found = check(one, warehouse).loc[40]
    assert found["missing_sessions"] == 0
    assert found["adjusted_return"] == pytest.approx(
        1.01 * bars["close"][40] / bars["close"][39] - 1
    )


def test_sources_and_tickers_do_not_mix_in_history(warehouse):
    load(warehouse, walk().iloc[:60])
    assert check(walk(ticker="B").iloc[62:], warehouse).loc[62, ["adjusted_return"]].isna().all()
    other = read_history(warehouse, "other", bars_table(walk()), Reference())
    assert other.bars.num_rows == 0
    assert other.days == ()


@pytest.mark.parametrize("ratio", [2.0, 0.2, 1.5, 10.0])
def test_a_persisting_jump_near_a_usual_ratio_is_suspected_from_there_on(ratio):
    found = check(walk(split_at=70, ratio=ratio))
    assert flagged(found, "suspected_split") == list(range(70, 90))
    assert found["split_ratio"].dropna().to_dict() == {70: pytest.approx(ratio)}
    assert not found["spike"].any()


@pytest.mark.parametrize("ratio", [1.15, 1.75, 2.4])
def test_a_jump_that_is_small_or_near_no_ratio_is_not_suspected(ratio):
    found = check(walk(split_at=70, ratio=ratio))
    assert flagged(found, "suspected_split") == []


def test_a_jump_within_the_noise_of_its_ticker_is_not_suspected():
    bars = walk()
    rng = np.random.default_rng(1)
    wild = np.exp(np.cumsum(rng.normal(0, 0.12, len(bars))))
    for name in PRICES:
        bars[name] = 80 * wild
    bars.loc[70:, PRICES] /= 2
    assert flagged(check(bars), "suspected_split") == []


def test_a_jump_that_reverses_at_once_is_a_spike_and_no_split():
    bars = walk()
    bars.loc[70, PRICES] /= 2
    found = check(bars)
    assert flagged(found, "spike") == [70]
    assert flagged(found, "suspected_split") == []


def test_a_bad_open_alone_is_neither(warehouse):
    bars = walk()
    bars.loc[70, "open"] /= 2
    found = check(bars)
    assert flagged(found, "spike") == flagged(found, "suspected_split") == []


@pytest.mark.parametrize("off", [-3, 0, 3])
def test_a_split_on_file_within_three_sessions_explains_the_jump(off):
    found = check(walk(split_at=70), reference=actions((70 + off, "split", 2.0)))
    assert flagged(found, "suspected_split") == []
    assert (abs(found["adjusted_return"][70]) < 0.05) == (off == 0)


@pytest.mark.parametrize(
    "given", [(66, "split", 2.0), (74, "split", 2.0), (70, "dividend", 0.5), (70, "split", None)]
)
def test_a_far_away_split_a_small_dividend_or_a_retraction_explains_nothing(warehouse, given):
    load(warehouse, walk().iloc[:20], reference=actions((70, "split", 2.0)))
    found = check(walk(split_at=70), warehouse, actions((70, "split", None), given))
    assert 70 in flagged(found, "suspected_split")


def test_the_vendors_adjusted_close_explains_it_too():
    bars = walk(split_at=70).assign(adj_close=walk()["close"] / 2)
    found = check(bars)
    assert flagged(found, "suspected_split") == []
    assert found["adjusted_return"].abs().max() < 0.05


def test_a_jump_at_the_border_of_two_batches_is_suspected(warehouse):
    bars = walk(split_at=60)
    load(warehouse, bars.iloc[:60])
    found = check(bars.iloc[60:65], warehouse)
    assert flagged(found, "suspected_split") == [60, 61, 62, 63, 64]
    assert found["split_ratio"][60] == 2.0


def test_what_follows_a_jump_in_quarantine_waits_with_it(warehouse):
    bars = walk(split_at=60)
    # Afterwards the price drifts: against the last loaded bar no ratio is near any more.
    bars.loc[62:, PRICES] *= 1.15
    load(warehouse, bars.iloc[:60], held=bars.iloc[60:62])
    found = check(bars.iloc[62:65], warehouse)
    assert flagged(found, "suspected_split") == [62, 63, 64]
    assert found["split_ratio"].isna().all()
    explained = check(bars.iloc[60:65], warehouse, actions((60, "split", 2.0)))
    assert flagged(explained, "suspected_split") == []


def test_a_held_jump_that_reverses_holds_nothing_back(warehouse):
    bars = walk()
    bars.loc[60, PRICES] /= 2
    load(warehouse, bars.iloc[:60], held=bars.iloc[[60]])
    found = check(bars.iloc[61:65], warehouse)
    assert flagged(found, "suspected_split") == []


def test_a_jump_that_was_loaded_is_not_suspected_again(warehouse):
    bars = walk(split_at=60)
    load(warehouse, bars.iloc[:60], held=bars.iloc[60:62])
    load(warehouse, bars.iloc[60:62])
    assert flagged(check(bars.iloc[62:65], warehouse), "suspected_split") == []
    assert flagged(check(bars.iloc[:65], warehouse), "suspected_split") == []
    # Loaded at other prices, it is another jump.
    corrected = bars.iloc[:65].copy()
    corrected.loc[60:, PRICES] *= 1.003
    assert flagged(check(corrected, warehouse), "suspected_split") == [60, 61, 62, 63, 64]


def test_bars_that_a_delivery_lacks_are_counted_at_the_next(warehouse):
    bars = walk()
    load(warehouse, bars.iloc[10:60])
    found = check(bars.iloc[[*range(5, 20), *range(23, 50)]], warehouse)
    assert found["vanished"][found["vanished"] > 0].to_dict() == {23: 3}
    # The bars are still on file: no session is missing.
    assert found["missing_sessions"].max() == 0


def test_a_row_that_cannot_be_used_does_not_count_as_vanished(warehouse):
    bars = walk()
    load(warehouse, bars)
    broken = bars.iloc[:60].copy()
    broken.loc[30, "close"] = np.nan
    assert check(broken, warehouse)["vanished"].max() == 0


def test_further_columns_pass_through():
    bars = bars_table(walk()).append_column("line", pa.array(range(90), pa.int64()))
    found = derive_checks(bars, SESSIONS, SQL)
    assert found["line"].tolist() == list(range(90))
