"""Forward adjustment: factor 1 at inception, and nothing to come rewrites a bit of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from transfergate.errors import BarsRejected
from transfergate.settings import PROJECT_ROOT
from transfergate.sources.base import bars_table
from transfergate.storage.bars import ACTION_SCHEMA, BAR_SCHEMA, INSTRUMENT_SCHEMA, SYMBOL_SCHEMA
from transfergate.storage.landing import Reference
from transfergate.warehouse import load_batch, open_warehouse

REFUSED = pa.schema([("row_id", pa.int64()), *BAR_SCHEMA, ("reasons", pa.list_(pa.string()))])
DAYS = [date(2020, 1, d) for d in (6, 7, 8, 9, 10, 13, 14, 15)]


class World:
    """A warehouse in memory whose clock moves one hour with each load."""

    def __init__(self, conn: duckdb.DuckDBPyConnection) -> None:
        self.conn = conn
        self._number = count(1)

    def load(
        self, bars: pd.DataFrame | None = None, *actions: tuple[str, int, str, float | None],
        **reference: pa.Table,
    ) -> datetime:  # fmt: skip
        number = next(self._number)
        frame = pd.DataFrame({"ticker": []}) if bars is None else bars
        table = bars_table(frame)
        rows = [
            {"ticker": ticker, "effect_date": DAYS[day], "kind": kind, "value": value}
            for ticker, day, kind, value in actions
        ]
        given = Reference(pa.Table.from_pylist(rows, schema=ACTION_SCHEMA), **reference)
        counts = load_batch(
            self.conn, source="s", batch_id=f"b{number}", accepted=table,
            quarantine=REFUSED.empty_table(), received=table.num_rows,
            known_at=datetime(2020, 2, 1, tzinfo=UTC) + timedelta(hours=number), reference=given,
        )  # fmt: skip
        assert counts.new_actions <= len(actions)
        return counts.known_at

    def adjusted(self, moment: datetime | None = None, ticker: str = "A") -> pd.DataFrame:
        when = moment or datetime(2030, 1, 1, tzinfo=UTC)
        return self.conn.execute(
            "select * exclude (ticker) from bars_adjusted('s', $when) where ticker = $ticker "
            "order by session_date",
            {"when": when, "ticker": ticker},
        ).df()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.conn.execute(query).fetchall()


@pytest.fixture
def world():
    with open_warehouse(Path(":memory:"), PROJECT_ROOT / "sql", 1.0) as conn:
        yield World(conn)


def bars(*closes: float, ticker: str = "A", first: int = 0, adj: Any = None) -> pd.DataFrame:
    price = np.array(closes, dtype=float)
    days = DAYS[first : first + len(closes)]
    return pd.DataFrame(
        {
            "ticker": ticker, "session_date": pd.to_datetime(days), "open": price,
            "high": price * 1.01, "low": price * 0.99, "close": price, "volume": 100.0,
            "adj_close": adj if adj is not None else np.nan,
        }
    )  # fmt: skip


def factors(frame: pd.DataFrame) -> list[float]:
    return frame["factor"].tolist()


def test_without_actions_and_vendor_prices_are_as_received(world):
    world.load(bars(10, 11, 12))
    found = world.adjusted()
    assert found["close"].tolist() == found["raw_close"].tolist() == [10, 11, 12]
    assert set(found["adjusted_by"]) == {"none"}


def test_splits_and_dividends_multiply_forward_and_volume_stays(world):
    world.load(bars(100, 50, 48, 24), ("A", 1, "split", 2.0), ("A", 2, "dividend", 2.0),
               ("A", 3, "split", 2.0))  # fmt: skip
    found = world.adjusted()
    assert factors(found) == [1.0, 2.0, 2.0 * (50 / 48), 2.0 * (50 / 48) * 2]
    # Who reinvests the dividend has lost nothing: 100, then 2 shares of 50, …
    np.testing.assert_allclose(found["close"], 100.0, rtol=1e-15)
    assert found["volume"].tolist() == [100.0] * 4
    assert found["raw_close"].tolist() == [100, 50, 48, 24]
    for name in ("open", "high", "low"):
        np.testing.assert_allclose(found[name] / found["close"], found[name][0] / 100, rtol=1e-15)


def test_on_one_day_the_dividend_is_cash_per_share_held_before(world):
    world.load(bars(100, 45), ("A", 1, "split", 2.0), ("A", 1, "dividend", 10.0))
    assert factors(world.adjusted()) == [1.0, 2.0 * (100 / 90)]


def test_actions_between_two_bars_follow_each_other(world):
    # A hole on days 1 and 2: a split, then a dividend on the new basis.
    whole = bars(100, 50, 50, 45).drop(index=[1, 2])
    world.load(whole, ("A", 1, "split", 2.0), ("A", 2, "dividend", 5.0))
    assert factors(world.adjusted()) == [1.0, 2.0 * (50 / 45)]


def test_an_action_before_the_second_bar_or_after_the_last_does_nothing_yet(world):
    world.load(bars(10, 11), ("A", 0, "split", 2.0), ("A", 3, "split", 3.0))
    assert factors(world.adjusted()) == [1.0, 1.0]
    world.load(bars(12, 4, first=2))
    assert factors(world.adjusted()) == [1.0, 1.0, 1.0, 3.0]


def test_a_dividend_beyond_the_price_has_no_factor(world):
    world.load(bars(10, 11, 12), ("A", 1, "dividend", 10.0), ("A", 2, "dividend", 1.0))
    assert factors(world.adjusted()) == [1.0, 1.0, 11 / 10]


def test_actions_of_one_ticker_leave_others_to_their_vendor(world):
    world.load(
        pd.concat([bars(100, 50), bars(80, 40, ticker="B", adj=[20.0, 20.0])]),
        ("A", 1, "split", 2.0),
    )
    assert world.adjusted(ticker="B")["close"].tolist() == [80.0, 80.0]
    assert set(world.adjusted(ticker="B")["adjusted_by"]) == {"vendor"}
    assert set(world.adjusted()["adjusted_by"]) == {"actions"}


def test_the_vendors_factor_is_one_at_inception_and_holds_where_it_is_missing(world):
    world.load(bars(100, 50, 50, 25, adj=[np.nan, 10.0, np.nan, 10.0]))
    found = world.adjusted()
    assert factors(found) == [1.0, 1.0, 1.0, 2.0]
    assert set(found["adjusted_by"]) == {"vendor"}


def test_prices_of_zero_or_less_keep_a_factor(world):
    world.load(bars(10, -37, 0, 5, adj=[10.0, -37.0, 0.0, 5.0]))
    assert factors(world.adjusted()) == [1.0] * 4
    world.load(None, ("A", 2, "dividend", 1.0), ("A", 3, "dividend", 1.0))
    assert factors(world.adjusted()) == [1.0] * 4


def test_a_new_event_rewrites_no_earlier_row_bit_for_bit(world):
    rng = np.random.default_rng(5)
    known: list[tuple[datetime, pd.DataFrame]] = []
    world.load(bars(*rng.uniform(50, 60, 2)), ("A", 1, "dividend", 0.37))
    for day in range(2, 8):
        close = rng.uniform(50, 60)
        kind, value = [("dividend", rng.uniform(0.1, 3)), ("split", rng.uniform(1.1, 7))][day % 2]
        world.load(bars(close, first=day))
        moment = world.load(None, ("A", day, kind, value))
        found = world.adjusted()
        for _, before in known:
            pd.testing.assert_frame_equal(found.iloc[: len(before)], before, check_exact=True)
        assert factors(found)[-1] > factors(found)[-2]
        known.append((moment, found))
    for moment, then in known:
        pd.testing.assert_frame_equal(world.adjusted(moment), then, check_exact=True)


def test_a_correction_and_a_retraction_of_an_action_are_revisions(world):
    first = world.load(bars(100, 50, 25), ("A", 1, "split", 2.5))
    second = world.load(None, ("A", 1, "split", 2.0), ("A", 2, "split", 2.0))
    third = world.load(None, ("A", 1, "split", None))
    world.load(None, ("A", 1, "split", None), ("A", 0, "split", None))
    assert [factors(world.adjusted(when)) for when in (first, second, third, None)] == [
        [1.0, 2.5, 2.5], [1.0, 2.0, 4.0], [1.0, 1.0, 2.0], [1.0, 1.0, 2.0]
    ]  # fmt: skip
    # Identical content, and the retraction of what never was, add nothing.
    assert world.rows("select count(*) from corporate_actions") == [(4,)]
    assert world.rows("select effect_date, value from actions_as_of('s', now())") == [
        (DAYS[2], 2.0)
    ]
    assert world.rows("select count(*) from actions_as_of('other', now())") == [(0,)]


def test_instruments_and_symbols_have_revisions_and_moments_too(world):
    def given(sector: str, ticker: str | None) -> dict[str, pa.Table]:
        return {
            "instruments": pa.Table.from_pylist(
                [{"ticker": "A", "sector": sector, "cost_bps": 2.0}], schema=INSTRUMENT_SCHEMA
            ),
            "symbols": pa.Table.from_pylist(
                [{"symbol": "OLD", "ticker": ticker, "last_date": DAYS[3]},
                 {"symbol": "OLD", "ticker": "B", "first_date": DAYS[4]}], schema=SYMBOL_SCHEMA
            ),
        }  # fmt: skip

    first = world.load(bars(1), **given("Energy", "A"))
    world.load(None, **given("Energy", "A"))
    second = world.load(None, **given("Finance", None))
    assert world.rows("select count(*) from instruments") == [(2,)]
    assert world.rows("select count(*) from symbols") == [(3,)]
    for moment, sector, tickers in ((first, "Energy", ["A", "B"]), (second, "Finance", ["B"])):
        at = f"timestamptz '{moment.isoformat()}'"
        assert world.rows(f"select sector from instruments_as_of('s', {at})") == [(sector,)]
        found = world.rows(f"select ticker from symbols_as_of('s', {at}) order by all")
        assert [row[0] for row in found] == tickers


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (("A", 1, "merger", 2.0), "row A, 2020-01-07, merger, 2.0, expected .*split or dividend"),
        (("A", 1, "split", -2.0), "a value above 0"),
        (("A", 1, "split", float("nan")), "a value above 0"),
        (("A", 2, "split", 3.0), "2 different rows for A, 2020-01-08, split, expected one"),
    ],
)
def test_an_impossible_action_loads_nothing_at_all(world, action, message):
    with pytest.raises(BarsRejected, match=message):
        world.load(bars(1), ("A", 2, "split", 2.0), action)
    for table in ("bar_revisions", "corporate_actions", "batches"):
        assert world.rows(f"select count(*) from {table}") == [(0,)]


def test_a_batch_says_how_many_facts_were_new_also_when_it_comes_again(world):
    world.load(bars(1), ("A", 1, "split", 2.0), ("A", 1, "split", 2.0))
    again = load_batch(
        world.conn, source="s", batch_id="b1", accepted=BAR_SCHEMA.empty_table(),
        quarantine=REFUSED.empty_table(), received=0, known_at=datetime(2021, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert (again.already_loaded, again.new_actions, again.new_instruments) == (True, 1, 0)
    assert world.rows(
        "select epoch_us(last_known_at('s', now())) = epoch_us(known_at) from batches"
    ) == [(True,)]
