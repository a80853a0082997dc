"""The shipped features in pandas and in polars, as their users would write them.

Both take a Parquet file of bars (``ticker, session_date, open, high, low, close, volume``, sorted)
and write one Parquet file of z-scores. Recursive averages are plain exponential ones, seeded with
the first value: they differ from TA-Lib's seeds until these have faded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

Z_WINDOW, Z_CLIP = 60, 5.0
COLUMNS = (
    *("return_1", "rsi_14", "macd_line", "macd_signal", "macd_histogram", "atr_14"),
    *("realised_volatility_20", "momentum_5", "momentum_10", "momentum_20"),
    *("moving_average_10_20", "moving_average_20_50", "index_correlation_60", "index_beta_60"),
    "volume_surprise_20",
)


def pandas_features(bars_file: Path, out: Path) -> None:
    """Group by ticker, then rolling windows: single-threaded."""
    import numpy as np
    import pandas as pd

    bars = pd.read_parquet(bars_file)
    by = bars["ticker"]

    def grouped(values: Any) -> Any:
        return values.groupby(by, sort=False)

    def flat(rolled: Any) -> Any:
        return rolled.droplevel(0)  # bars are sorted by ticker: rows keep their order

    def rolling(values: Any, n: int) -> Any:
        return grouped(values).rolling(n)

    def smoothed(values: Any, **how: Any) -> Any:
        return flat(grouped(values).ewm(adjust=False, **how).mean())

    close = bars["close"]
    previous = grouped(close).shift()
    ret = close / previous - 1
    market = ret.groupby(bars["session_date"]).transform("mean")
    change = close - previous
    gain = smoothed(change.clip(lower=0), alpha=1 / 14)
    loss = smoothed(-change.clip(upper=0), alpha=1 / 14)
    true_range = pd.concat(
        [
            bars["high"] - bars["low"],
            (bars["high"] - previous).abs(),
            (bars["low"] - previous).abs(),
        ],
        axis=1,
    ).max(axis=1)
    line = smoothed(close, span=12) - smoothed(close, span=26)
    signal = smoothed(line, span=9)
    means = {n: flat(rolling(close, n).mean()) for n in (10, 20, 50)}
    # Moments by hand: groupby.rolling.cov with a second series is many times slower.
    mean_r, mean_m = flat(rolling(ret, 60).mean()), flat(rolling(market, 60).mean())
    covariance = flat(rolling(ret * market, 60).mean()) - mean_r * mean_m
    variance_r = flat(rolling(ret**2, 60).mean()) - mean_r**2
    variance_m = flat(rolling(market**2, 60).mean()) - mean_m**2
    traded = np.log(bars["volume"] * close)
    raw = {
        "return_1": ret,
        "rsi_14": 100 * gain / (gain + loss),
        "macd_line": line / close,
        "macd_signal": signal / close,
        "macd_histogram": (line - signal) / close,
        "atr_14": smoothed(true_range, alpha=1 / 14) / close,
        "realised_volatility_20": flat(rolling(ret, 20).std()) * 252**0.5,
        **{f"momentum_{n}": close / grouped(close).shift(n) - 1 for n in (5, 10, 20)},
        "moving_average_10_20": means[10] / means[20] - 1,
        "moving_average_20_50": means[20] / means[50] - 1,
        "index_correlation_60": covariance / np.sqrt(variance_r * variance_m),
        "index_beta_60": covariance / variance_m,
        "volume_surprise_20": traded - grouped(flat(rolling(traded, 20).mean())).shift(),
    }
    result = bars[["ticker", "session_date", "open", "close"]].copy()
    for name in COLUMNS:
        values = raw.pop(name)
        window = rolling(values, Z_WINDOW)
        z = (values - flat(window.mean())) / flat(window.std())
        result[name] = z.clip(-Z_CLIP, Z_CLIP).astype("float32")
    result.to_parquet(out, compression="zstd", index=False)


def polars_features(bars_file: Path, out: Path) -> None:
    """Expressions over tickers, in parallel."""
    import polars as pl

    close, ticker = pl.col("close"), "ticker"

    def within(expression: Any) -> Any:
        return expression.over(ticker)

    def smoothed(expression: Any, **how: Any) -> Any:
        return within(expression.ewm_mean(adjust=False, ignore_nulls=True, **how))

    def mean(name: str, n: int) -> Any:
        return within(pl.col(name).rolling_mean(n))

    previous = within(close.shift())
    change = close - pl.col("previous")
    ranges = (
        pl.col("high") - pl.col("low"),
        *((pl.col(side) - pl.col("previous")).abs() for side in ("high", "low")),
    )
    ret, market, line = pl.col("return_1"), pl.col("market"), pl.col("line")
    gain, loss = pl.col("gain"), pl.col("loss")
    frame = (
        pl.scan_parquet(bars_file)
        .with_columns(previous=previous, traded=(pl.col("volume") * close).log())
        .with_columns(
            return_1=close / pl.col("previous") - 1,
            gain=smoothed(change.clip(lower_bound=0), alpha=1 / 14),
            loss=smoothed((-change).clip(lower_bound=0), alpha=1 / 14),
            true_range=smoothed(pl.max_horizontal(*ranges), alpha=1 / 14),
            line=smoothed(close, span=12) - smoothed(close, span=26),
        )
        .with_columns(market=ret.mean().over("session_date"), signal=smoothed(line, span=9))
        .with_columns(product=ret * market, square=ret**2, market_square=market**2)
        .with_columns(
            covariance=mean("product", 60) - mean("return_1", 60) * mean("market", 60),
            variance=mean("square", 60) - mean("return_1", 60) ** 2,
            market_variance=mean("market_square", 60) - mean("market", 60) ** 2,
        )
        .select(
            ticker,
            "session_date",
            "open",
            "close",
            "return_1",
            rsi_14=100 * gain / (gain + loss),
            macd_line=line / close,
            macd_signal=pl.col("signal") / close,
            macd_histogram=(line - pl.col("signal")) / close,
            atr_14=pl.col("true_range") / close,
            realised_volatility_20=within(ret.rolling_std(20)) * 252**0.5,
            **{f"momentum_{n}": close / within(close.shift(n)) - 1 for n in (5, 10, 20)},
            moving_average_10_20=mean("close", 10) / mean("close", 20) - 1,
            moving_average_20_50=mean("close", 20) / mean("close", 50) - 1,
            index_correlation_60=pl.col("covariance")
            / (pl.col("variance") * pl.col("market_variance")).sqrt(),
            index_beta_60=pl.col("covariance") / pl.col("market_variance"),
            volume_surprise_20=pl.col("traded") - within(pl.col("traded").rolling_mean(20).shift()),
        )
    )
    scores = [
        ((pl.col(name) - mean(name, Z_WINDOW)) / within(pl.col(name).rolling_std(Z_WINDOW)))
        .clip(-Z_CLIP, Z_CLIP)
        .cast(pl.Float32)
        .alias(name)
        for name in COLUMNS
    ]
    frame.with_columns(scores).collect().write_parquet(out, compression="zstd")
