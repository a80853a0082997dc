"""Speed of the gate, with a peer: ``python -m benchmarks.gate --json``.

One core. The peer answers the same question, whether a ticker's Sharpe difference exceeds the
margin, by a studentised circular block bootstrap of the same statistic (the extension that Ledoit
and Wolf recommend) with the indices of ``arch.bootstrap.CircularBlockBootstrap``. Speed without
agreement means nothing: both p-values are compared on the same tickers.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402  threads are set before numpy loads
import pyarrow as pa  # noqa: E402
from arch.bootstrap import CircularBlockBootstrap  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from transfergate.evaluation.gate import judge  # noqa: E402
from transfergate.evaluation.gate.statistic import p_promote, sharpe_difference  # noqa: E402
from transfergate.settings import GateParams  # noqa: E402

TICKERS, SESSIONS, SEEDS, FOLD_SESSIONS = 500, 504, 5, 63
BLOCK_SESSIONS, RESAMPLES, PEER_TICKERS = 10, 999, 20
REPETITIONS = 3
FloatArray = NDArray[np.float64]


def world(n_tickers: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Returns with fat tails, a common factor and half a Sharpe of true difference, (N, K, T)."""
    shape = (n_tickers, 1, SESSIONS)
    market = rng.standard_t(5, (1, 1, SESSIONS))
    arms = {}
    own = rng.standard_t(5, shape)
    for arm, sharpe in (("finetuned", 1.0), ("scratch", 0.5)):
        mean = 0.4 * market + 0.7 * own + 0.5 * rng.standard_t(5, shape)
        luck = 0.2 * rng.standard_normal((n_tickers, SEEDS, SESSIONS))
        arms[arm] = 0.008 * (mean + luck) + 0.01 * sharpe / np.sqrt(252)
    return arms


def table(arms: dict[str, FloatArray]) -> pa.Table:
    """The long form in the order in which a record is written: ticker, arm, seed, session."""
    parts = []
    dates = np.datetime64("2015-01-02") + np.arange(SESSIONS)
    for i in range(len(arms["finetuned"])):
        for arm, returns in arms.items():
            parts.append(
                pa.table(
                    {
                        "ticker": pa.array([f"T{i:03d}"] * (SEEDS * SESSIONS)),
                        "session_date": pa.array(np.tile(dates, SEEDS), pa.date32()),
                        "fold": np.tile(np.arange(SESSIONS) // FOLD_SESSIONS, SEEDS),
                        "arm": pa.array([arm] * (SEEDS * SESSIONS)),
                        "seed": np.repeat(np.arange(SEEDS), SESSIONS),
                        "net_return": returns[i].ravel(),
                    }
                )
            )
    return pa.concat_tables(parts)


def gate_seconds(records: pa.Table, evidence: str) -> float:
    """Median CPU seconds of judging all tickers."""
    params, seconds = GateParams(evidence=evidence), []
    for _ in range(REPETITIONS):
        begin = time.process_time()
        judge(records, params)
        seconds.append(time.process_time() - begin)
    return float(np.median(seconds))


def bootstrap_p(x: FloatArray, y: FloatArray, delta_min: float, seed: int) -> float:
    """P-value of ``delta > delta_min``, studentised, one-sided, by circular blocks.

    Source: Ledoit & Wolf (2008), section 3.2.2, with their standard error of a resample: the
    variance of the block means of its influence series.
    """
    found = sharpe_difference(x, y)
    observed = (found.delta - delta_min) / found.se_time
    exceeding = 0
    bootstrap = CircularBlockBootstrap(BLOCK_SESSIONS, x, y, seed=np.random.default_rng(seed))
    for (a, b), _ in bootstrap.bootstrap(RESAMPLES):
        delta, se = resampled(a, b)
        exceeding += (delta - found.delta) / se >= observed
    return (exceeding + 1) / (RESAMPLES + 1)


def resampled(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Annualised Sharpe difference of a resample, and its standard error by block means."""
    both = np.stack((x, y))
    centred = both - both.mean(1, keepdims=True)
    scale = np.sqrt(np.square(centred).mean(1, keepdims=True))
    sharpe = both.mean(1, keepdims=True) / scale
    z = centred / scale
    influence = z - 0.5 * sharpe * (z * z - 1.0)
    psi = influence[0] - influence[1]
    blocks = psi[: len(psi) // BLOCK_SESSIONS * BLOCK_SESSIONS].reshape(-1, BLOCK_SESSIONS)
    variance = np.square(blocks.sum(1)).mean() / BLOCK_SESSIONS
    delta = np.sqrt(252) * float(sharpe[0, 0] - sharpe[1, 0])
    return delta, float(np.sqrt(252 * variance / len(psi)))


def peer(arms: dict[str, FloatArray], delta_min: float) -> tuple[float, FloatArray]:
    """CPU seconds of the bootstrap per ticker, and its p-values."""
    x, y = (arms[arm][:PEER_TICKERS].mean(1) for arm in ("finetuned", "scratch"))
    runs, values = [], []
    for repetition in range(REPETITIONS):
        begin = time.process_time()
        values.append([bootstrap_p(a, b, delta_min, 7) for a, b in zip(x, y, strict=True)])
        runs.append((time.process_time() - begin) / PEER_TICKERS)
        if repetition and values[repetition] != values[0]:
            raise RuntimeError("the bootstrap does not repeat itself under one seed")
    return float(np.median(runs)), np.array(values[0])


def disagreement(arms: dict[str, FloatArray], delta_min: float, theirs: FloatArray) -> float:
    """Mean absolute difference of the p-values; ours from the time standard error, as theirs."""
    ours = []
    for i in range(PEER_TICKERS):
        found = sharpe_difference(arms["finetuned"][i].mean(0), arms["scratch"][i].mean(0))
        ours.append(p_promote(found.delta, found.se_time, delta_min))
    return float(np.abs(np.array(ours) - theirs).mean())


def main() -> None:
    """Print one JSON object: figure -> our value, the peer's, ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    options = parser.parse_args()
    rng, delta_min = np.random.default_rng(20), GateParams().delta_min
    arms = world(TICKERS, rng)
    records = table(arms)
    shuffled = records.take(pa.array(rng.permutation(records.num_rows)))
    name = f"arch: studentised circular block bootstrap, {RESAMPLES} resamples"
    seconds, p_values = peer(arms, delta_min)
    figures: dict[str, Any] = {}
    for figure, rows, evidence in (
        ("ms_per_ticker", records, "ticker"),
        ("ms_per_ticker_pooled", records, "pooled"),
        ("ms_per_ticker_rows_in_any_order", shuffled, "ticker"),
    ):
        ours = gate_seconds(rows, evidence) / TICKERS
        figures[figure] = {
            "ours": 1e3 * ours,
            "peer": 1e3 * seconds,
            "peer_name": name,
            "ratio": seconds / ours,
        }
    figures["mean_difference_of_p_values"] = {
        "ours": disagreement(arms, delta_min, p_values),
        "peer": None,
        "peer_name": f"{name}, on {PEER_TICKERS} tickers",
        "ratio": None,
    }
    if not options.json:
        for figure, row in figures.items():
            print(figure, row)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
