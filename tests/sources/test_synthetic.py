from __future__ import annotations

import numpy as np
import pytest

from transfergate.settings import SourceParams, SyntheticParams
from transfergate.sources import SyntheticSource, open_source


def net_sharpe(bars, ticker: str, positions) -> float:
    """Gross Sharpe of positions decided at a close, taken at the next open, held to the open
    after that.
    """
    opening, close = (
        bars.loc[bars["ticker"] == ticker, name].to_numpy() for name in ("open", "close")
    )
    decided = positions(np.log(close[1:] / close[:-1]))[:-1]
    held = np.concatenate([[0.0], decided[:-1]])
    overnight, intraday = opening[2:] / close[1:-1] - 1, close[2:] / opening[2:] - 1
    net = held * overnight + decided * intraday
    return float(net.mean() / net.std() * 252**0.5)


def fetched(**params):
    source = SyntheticSource(SyntheticParams(**params))
    return source.fetch(source.tickers(), None, None).to_pandas()


def test_planted_autocorrelation_can_be_earned_by_trading_at_the_next_open():
    bars = fetched(kind="ar", strength=0.30, daily_volatility=0.015, n_sessions=5000)
    for ticker in ("SRC01", "SRC02", "SHARED"):
        assert 3.0 < net_sharpe(bars, ticker, np.sign) < 4.5
    assert -4.5 < net_sharpe(bars, "OPPOSED", np.sign) < -3.0
    assert abs(net_sharpe(bars, "^SYN", np.sign)) < 1.0


def test_trend_is_earned_by_following_ten_sessions():
    bars = fetched(kind="trend", strength=0.30, n_sessions=3000)

    def follow(returns):
        return np.sign(np.convolve(returns, np.ones(10))[: len(returns)])

    assert net_sharpe(bars, "SHARED", follow) > 2.0
    assert net_sharpe(bars, "OPPOSED", follow) < -2.0


def test_regime_turns_the_sign_of_the_autocorrelation():
    bars = fetched(kind="regime", strength=0.30, n_sessions=5000)
    shared = bars[bars["ticker"] == "SHARED"]
    returns = np.diff(np.log(shared["close"].to_numpy()))
    turbulent = np.convolve(np.abs(returns), np.ones(20) / 20)[: len(returns)] > 0.016
    product = returns[1:] * returns[:-1]
    assert product[~turbulent[:-1]].mean() > 0 > product[turbulent[:-1]].mean()


def test_moves_on_high_volume_continue_and_no_fixed_sign_earns_as_much():
    bars = fetched(kind="volume", strength=0.70, n_sessions=5000)

    def with_volume(ticker):
        volume = bars.loc[bars["ticker"] == ticker, "volume"].to_numpy()[1:]
        surge = np.log(volume) - np.log(volume).mean()
        return lambda returns: np.sign(returns) * np.sign(surge + 0.1)

    for ticker in ("SRC01", "SHARED"):
        informed = net_sharpe(bars, ticker, with_volume(ticker))
        assert informed > 4.0
        assert informed > net_sharpe(bars, ticker, np.sign) + 2.0
    assert net_sharpe(bars, "OPPOSED", with_volume("OPPOSED")) < -4.0
    assert abs(net_sharpe(bars, "^SYN", with_volume("^SYN"))) < 1.0


@pytest.mark.parametrize("kind", ["ar", "regime", "trend", "volume"])
def test_bars_are_sane_and_sessions_are_real(kind):
    bars = fetched(kind=kind, n_sessions=300, n_sources=2)
    assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
    assert (bars["low"] > 0).all()
    assert (bars["volume"] > 0).all()
    assert bars.groupby("ticker").size().eq(300).all()
    assert str(bars["session_date"].max()) == "2020-12-31"
    assert "2020-07-03" not in set(bars["session_date"].astype(str))  # Independence Day observed


def test_a_subset_has_the_same_bars_and_another_seed_has_others():
    params = SyntheticParams(n_sessions=200)
    source = open_source(SourceParams(kind="synthetic", synthetic=params))
    whole = source.fetch(source.tickers(), None, None).to_pandas()
    part = source.fetch(["SHARED", "SRC03"], None, None).to_pandas()
    assert part.equals(whole[whole["ticker"].isin(["SHARED", "SRC03"])].reset_index(drop=True))
    other = SyntheticSource(SyntheticParams(n_sessions=200, seed=8)).fetch(["SHARED"], None, None)
    assert not np.allclose(other.to_pandas()["close"], part["close"][part["ticker"] == "SHARED"])


def test_more_sources_change_no_bar_of_those_there_were():
    few = SyntheticSource(SyntheticParams(n_sessions=150, n_sources=2))
    many = SyntheticSource(SyntheticParams(n_sessions=150, n_sources=9))
    assert few.fetch(["SRC02"], None, None).equals(many.fetch(["SRC02"], None, None))
