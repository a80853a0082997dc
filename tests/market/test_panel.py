from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transfergate.errors import MarketError
from transfergate.market import build_panel
from transfergate.market.dynamics import cost_rates, outcomes
from transfergate.settings import MarketParams

SESSIONS = [date(2020, 1, 1) + timedelta(days=i) for i in range(30)]


def table(
    dates: list[date], opens: list[float | None], closes: list[float | None], **features: list
) -> pa.Table:
    columns = {
        "session_date": pa.array(dates, pa.date32()),
        "open": pa.array(opens, pa.float64()),
        "close": pa.array(closes, pa.float64()),
    }
    columns |= {name: pa.array(values, pa.float32()) for name, values in features.items()}
    return pa.table(columns)


def random_table(rng: np.random.Generator, dates: list[date]) -> pa.Table:
    closes = 100.0 * np.exp(np.cumsum(0.02 * rng.standard_normal(len(dates))))
    opens = closes * np.exp(0.01 * rng.standard_normal(len(dates)))
    z = rng.standard_normal(len(dates))
    return table(dates, opens.tolist(), closes.tolist(), z=z.tolist())


def test_returns_are_split_at_the_open():
    bars = table(SESSIONS[:3], [10.0, 11.0, 12.0], [10.5, 12.0, 9.0], z=[0.0, 1.0, 2.0])
    panel = build_panel({"A": bars}, SESSIONS[:3], ["z"])
    torch.testing.assert_close(
        panel.overnight, torch.tensor([[0.0, 11 / 10.5 - 1, 0.0]], dtype=torch.float64)
    )
    torch.testing.assert_close(
        panel.intraday, torch.tensor([[0.0, 12 / 11 - 1, 9 / 12 - 1]], dtype=torch.float64)
    )
    assert panel.tradable.tolist() == [[False, True, True]]
    assert panel.ready.tolist() == [[True, True, True]]


def test_a_gap_is_not_tradable_and_the_next_overnight_return_spans_it():
    dates = [SESSIONS[0], SESSIONS[1], SESSIONS[4]]
    bars = table(dates, [10.0, 10.0, 15.0], [10.0, 12.0, 18.0], z=[0.0, 0.0, 0.0])
    panel = build_panel({"A": bars}, SESSIONS[:5], ["z"])
    assert panel.tradable.tolist() == [[False, True, False, False, True]]
    assert panel.overnight[0, 2:4].tolist() == [0.0, 0.0]
    assert panel.overnight[0, 4].item() == pytest.approx(15 / 12 - 1)
    assert panel.ready.tolist() == [[True, True, False, False, True]]


def test_a_bar_without_open_is_held_through_but_not_traded():
    bars = table(SESSIONS[:2], [10.0, None], [10.0, 11.0], z=[0.0, 0.0])
    panel = build_panel({"A": bars}, SESSIONS[:2], ["z"])
    assert not panel.tradable[0, 1]
    assert (panel.overnight[0, 1].item(), panel.intraday[0, 1].item()) == (pytest.approx(0.1), 0.0)


def test_missing_features_are_zero_and_not_ready():
    bars = table(SESSIONS[:3], [1.0] * 3, [1.0] * 3, a=[None, float("nan"), 2.0], b=[1.0, 1.0, 1.0])
    panel = build_panel({"A": bars}, SESSIONS[:3], ["a", "b"])
    assert panel.ready.tolist() == [[False, False, True]]
    assert panel.features[0].tolist() == [[0.0, 1.0], [0.0, 1.0], [2.0, 1.0]]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(2, 28))
def test_later_bars_change_nothing_before_the_cut(seed: int, cut: int):
    rng = np.random.default_rng(seed)
    dates = [d for d in SESSIONS if rng.random() < 0.8]
    bars = random_table(rng, dates)
    other = random_table(rng, dates)
    before = [d < SESSIONS[cut] for d in dates]
    mixed = pa.concat_tables(
        [bars.filter(pa.array(before)), other.filter(pa.array([not b for b in before]))]
    )
    first = build_panel({"A": bars}, SESSIONS, ["z"])
    second = build_panel({"A": mixed}, SESSIONS, ["z"])
    for name in ("features", "overnight", "intraday", "tradable", "ready"):
        assert torch.equal(getattr(first, name)[:, :cut], getattr(second, name)[:, :cut]), name


@pytest.mark.parametrize(
    ("bars", "message"),
    [
        (table(SESSIONS[:2], [1.0, 1.0], [1.0, 0.0], z=[0.0, 0.0]), "2020-01-02: close is 0"),
        (table(SESSIONS[1::-1], [1.0, 1.0], [1.0, 1.0], z=[0.0, 0.0]), "increase strictly"),
        (table(SESSIONS[:2], [1.0, 1.0], [1.0, 1.0]), "'z'"),
    ],
)
def test_unusable_bars_are_refused_by_name(bars: pa.Table, message: str):
    with pytest.raises(MarketError, match=message):
        build_panel({"A": bars}, SESSIONS[:2], ["z"])


def test_unknown_ticker_is_refused():
    bars = random_table(np.random.default_rng(0), SESSIONS)
    panel = build_panel({"A": bars, "B": bars}, SESSIONS, ["z"])
    assert panel.row("B") == 1
    with pytest.raises(MarketError, match="'C' is not in the panel"):
        panel.row("C")


def test_a_ticker_may_have_a_cost_of_its_own():
    bars = random_table(np.random.default_rng(0), SESSIONS)
    market = MarketParams(cost_bps=5.0)
    panel = build_panel({"A": bars, "B": bars}, SESSIONS, ["z"], {"B": 20.0, "C": 1.0})
    rates = cost_rates(panel, market)
    assert torch.equal(
        rates, torch.tensor([[5e-4], [2e-3]], dtype=torch.float64).expand(2, len(SESSIONS))
    )
    met = outcomes(panel, market).cost_rate
    assert torch.equal(met[:, :-1], rates[:, 1:])
    without = build_panel({"A": bars, "B": bars}, SESSIONS, ["z"], {"C": 1.0})
    assert without.cost_rate is None
    assert bool((cost_rates(without, market) == 5e-4).all())
