"""Feature values against independent computations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib

FeaturesOf = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]
MakeBars = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def bars(make_bars: MakeBars) -> pd.DataFrame:
    bars = make_bars(("AAA", "BBB", "^IDX"), n_sessions=500, seed=4)
    # Vendors do deliver a close beyond the high, and a high below the low.
    bars.loc[[100, 700], "high"] = bars.loc[[100, 700], "close"] * 0.999
    bars.loc[[200, 800], "high"] = bars.loc[[200, 800], "low"] * 0.99
    return bars


@pytest.fixture(scope="module")
def computed(bars: pd.DataFrame, features_of: FeaturesOf) -> tuple[pd.DataFrame, pd.DataFrame]:
    return features_of(bars, index="^IDX")


def _of(frame: pd.DataFrame, ticker: str) -> pd.DataFrame:
    by_ticker = frame[frame["ticker"] == ticker] if "ticker" in frame else frame.loc[ticker]
    return by_ticker.reset_index(drop=True)


def _close(found: pd.Series[Any], expected: pd.Series[Any], tolerance: float = 1e-9) -> None:
    """Same warm-up, and equal to a fraction of the expected column's standard deviation."""
    expected = pd.Series(np.asarray(expected, dtype=float))
    assert found.isna().tolist() == expected.isna().tolist()
    assert expected.notna().sum() > 100
    assert (found - expected).abs().max() <= tolerance * expected.std()


@pytest.mark.parametrize("ticker", ["AAA", "BBB"])
def test_rsi_macd_and_atr_agree_with_talib(
    bars: pd.DataFrame, computed: tuple[pd.DataFrame, pd.DataFrame], ticker: str
) -> None:
    high, low, close = (_of(bars, ticker)[name].to_numpy() for name in ("high", "low", "close"))
    raw = _of(computed[0], ticker)
    _close(raw["rsi_14"], talib.RSI(close, 14))
    _close(raw["atr_14"], talib.ATR(high, low, close, 14) / close)
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    _close(raw["macd_line"], line / close)
    _close(raw["macd_signal"], signal / close)
    _close(raw["macd_histogram"], histogram / close)


def test_window_features_agree_with_pandas(
    bars: pd.DataFrame, computed: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    raw, one = _of(computed[0], "AAA"), _of(bars, "AAA")
    close = one["close"]
    returns, market = close.pct_change(), _of(bars, "^IDX")["close"].pct_change()
    traded = np.log(one["volume"] * close)
    _close(raw["return_1"], returns)
    _close(raw["realised_volatility_20"], returns.rolling(20).std() * np.sqrt(252))
    for n in (5, 10, 20):
        _close(raw[f"momentum_{n}"], close.pct_change(n))
    mean = {n: close.rolling(n).mean() for n in (10, 20, 50)}
    _close(raw["moving_average_10_20"], mean[10] / mean[20] - 1)
    _close(raw["moving_average_20_50"], mean[20] / mean[50] - 1)
    _close(raw["index_correlation_60"], returns.rolling(60).corr(market))
    beta = returns.rolling(60).cov(market) / market.rolling(60).var()
    _close(raw["index_beta_60"], beta)
    _close(raw["volume_surprise_20"], traded - traded.rolling(20).mean().shift(1))


def test_z_scores_agree_with_a_trailing_window(
    computed: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    raw, scored = (_of(frame, "AAA") for frame in computed)
    assert list(raw) == list(scored)
    for name in raw:
        window = raw[name].rolling(60, min_periods=60)
        _close(scored[name], ((raw[name] - window.mean()) / window.std()).clip(-5, 5), 1e-6)


def test_every_feature_is_warm_after_119_sessions(
    computed: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    scored = _of(computed[1], "BBB")
    assert scored.notna().all(axis=1).idxmax() == 119
    assert scored.iloc[119:].notna().all(axis=None)


def test_an_outlier_is_clipped_and_a_wide_window_is_needed_to_see_it(
    make_bars: MakeBars, features_of: FeaturesOf
) -> None:
    bars = make_bars(("AAA",), n_sessions=150)
    bars.loc[149, ["open", "high", "low", "close", "adj_close"]] *= 3.0
    _, scored = features_of(bars, ["return_1"], z_window=100)
    assert scored["return_1"].iloc[-1] == 5.0


def test_a_constant_price_scores_zero_not_null(
    make_bars: MakeBars, features_of: FeaturesOf
) -> None:
    bars = make_bars(("AAA", "BBB"), n_sessions=200)
    halted = bars["ticker"] == "AAA"
    bars.loc[halted, ["open", "high", "low", "close", "adj_close"]] = 42.0
    raw, scored = features_of(bars)
    assert (_of(raw, "AAA")["rsi_14"].dropna() == 50).all()
    still = _of(scored, "AAA").drop(columns="volume_surprise_20").iloc[119:]
    assert (still == 0).all(axis=None)


def test_missing_volume_is_no_surprise(make_bars: MakeBars, features_of: FeaturesOf) -> None:
    bars = make_bars(("AAA", "BBB"), n_sessions=100)
    bars.loc[bars["ticker"] == "AAA", "volume"] = np.nan
    bars.loc[130, "volume"] = 0.0
    raw, _ = features_of(bars, ["volume_surprise_20"])
    silent, gap = (_of(raw, ticker)["volume_surprise_20"] for ticker in ("AAA", "BBB"))
    assert silent[:20].isna().all()
    assert (silent[20:] == 0).all()
    assert (gap[30:51] == 0).all()
    assert (gap[51:] != 0).all()


def test_a_split_is_invisible(make_bars: MakeBars, features_of: FeaturesOf) -> None:
    bars = make_bars(("AAA",), n_sessions=150)
    split = bars.copy()
    prices = ["open", "high", "low", "close"]
    split.loc[:79, prices] *= 2.0
    split.loc[:79, "volume"] /= 2.0
    expected, _ = features_of(bars)
    found, _ = features_of(split)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-9, atol=1e-10)


def test_without_an_index_the_market_is_the_mean_of_the_day(
    make_bars: MakeBars, features_of: FeaturesOf
) -> None:
    bars = make_bars(("AAA", "BBB"), n_sessions=100)
    raw, _ = features_of(bars, ["index_relation_60"])
    closes = bars.pivot(index="session_date", columns="ticker", values="close")
    returns = closes.pct_change()
    expected = returns["AAA"].rolling(60).corr(returns.mean(axis=1))
    found = _of(raw, "AAA")["index_correlation_60"]
    np.testing.assert_allclose(found[60:], expected[60:], atol=1e-9)
