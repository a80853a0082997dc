"""What each algorithm learns with each encoder, beside the optimum of the market it was planted in.

Every (algorithm, encoder) trains on eight tickers of a planted market and is scored on eight others
over all their sessions, net of costs; so is the best policy, which knows the truth. Budgets are
equal: updates, paths, sessions, features, noise on the inputs; seeds are paired.

    python -m studies.planted_learning --markdown

Runs on one core. A share near 1 says that nothing worth having is missed; a memoryless network on
the hidden regime cannot reach it, whatever trains it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, get_args

import numpy as np
import torch

from transfergate.learning import StackPlan, TrainingSlice, init_weights, score_greedy, train_stack
from transfergate.learning.runtime import use_threads
from transfergate.market import planted_panel
from transfergate.market.optimum import optimum_sharpe
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation
from transfergate.settings.algorithms import Algorithm

MARKETS = ("ar", "regime", "momentum")
ENCODERS = get_args(NetworkParams.model_fields["encoder"].annotation)
N_SESSIONS, FIRST, N_FEATURES, PANEL_SEED = 1500, 50, 4, 20
TRAIN_ROWS, TEST_ROWS = tuple(range(8)), tuple(range(8, 16))
MARKET = MarketParams()


def sizes(algorithm: Algorithm, updates: int) -> OptimiserParams:
    """One budget of environment steps for all; PPO passes twice over each batch, as PPO does."""
    return OptimiserParams(
        algorithm=algorithm,
        epochs=2 if algorithm in ("ppo", "exact_ppo") else 1,
        n_updates=updates,
        n_paths=8,
        path_sessions=96,
        burn_in_sessions=32,
        tail_sessions=16,
    )


def learned(
    panel: Panel, algorithm: Algorithm, encoder: str, seeds: tuple[int, ...], options: Any
) -> dict[str, Any]:
    """Out-of-sample Sharpe ratio of each seed, mean over the test tickers, and seconds spent."""
    network = NetworkParams(
        encoder=encoder,  # type: ignore[arg-type]
        encoder_units=options.units,
        head_units=options.units,
    )
    optimiser = sizes(algorithm, options.updates)
    n = len(seeds)
    plan = StackPlan(
        slices=(TrainingSlice(TRAIN_ROWS, FIRST, N_SESSIONS),) * n,
        seeds=seeds,
        learning_rates=(optimiser.learning_rate,) * n,
        regularisations=(Regularisation(input_noise=0.3),) * n,
        frozen_groups=(frozenset(),) * n,
    )
    start = init_weights(network, N_FEATURES, len(MARKET.positions), seeds)
    began = time.perf_counter()
    weights = train_stack(panel, start, network, MARKET, optimiser, plan).weights
    seconds = time.perf_counter() - began
    ratios, traded = [], []
    for row in TEST_ROWS:
        scored = score_greedy(panel, weights, network, MARKET, [row] * n, FIRST, N_SESSIONS, FIRST)
        net = scored.net_return
        deviation = net.std(1, correction=0)
        ratio = net.mean(1) / deviation.clamp_min(1e-12) * 252**0.5
        ratios.append(torch.where(deviation > 1e-12, ratio, 0.0))
        traded.append(scored.turnover.sum(1))
    sharpe = torch.stack(ratios).mean(0)
    return {
        "sharpe": [round(float(value), 4) for value in sharpe],
        "flat_seeds": int((torch.stack(traded).sum(0) == 0).sum()),
        "train_seconds": round(seconds, 2),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All cells of the table."""
    seeds = tuple(range(1, options.seeds + 1))
    result: dict[str, Any] = {
        "settings": {
            "updates": options.updates,
            "env_steps_per_model": options.updates * 8 * 96,
            "units": options.units,
            "seeds": len(seeds),
            "cost_bps": MARKET.cost_bps,
            "torch": torch.__version__,
        },
        "markets": {},
    }
    for kind in options.markets:
        panel = planted_panel(
            len(TRAIN_ROWS + TEST_ROWS),
            N_SESSIONS,
            kind=kind,
            n_features=N_FEATURES,
            seed=PANEL_SEED,
        )
        best = optimum_sharpe(panel, MARKET, kind, rows=TEST_ROWS, first=FIRST)
        cells = []
        for encoder in options.encoders:
            for algorithm in options.algorithms:
                cell = learned(panel, algorithm, encoder, seeds, options)
                share = float(np.mean(cell["sharpe"])) / best.sharpe
                spread = float(np.std(cell["sharpe"]))
                row = {"encoder": encoder, "algorithm": algorithm, **cell}
                cells.append({**row, "share": round(share, 3), "spread": round(spread, 3)})
                print(json.dumps({"market": kind, **cells[-1]}), file=sys.stderr, flush=True)
        result["markets"][kind] = {
            "optimum": round(best.sharpe, 4),
            "optimum_standard_error": round(best.standard_error, 4),
            "cells": cells,
        }
    return result


def markdown(result: dict[str, Any], algorithms: list[str]) -> str:
    """One table: a row per market and encoder, mean Sharpe (share of the optimum) per algorithm."""
    lines = [
        f"| market (optimum) | encoder | {' | '.join(algorithms)} |",
        f"|---|---|{'---|' * len(algorithms)}",
    ]
    for kind, market in result["markets"].items():
        encoders = list(dict.fromkeys(cell["encoder"] for cell in market["cells"]))
        for encoder in encoders:
            by_name = {c["algorithm"]: c for c in market["cells"] if c["encoder"] == encoder}
            entries = [
                f"{np.mean(c['sharpe']):.2f} ± {c['spread']:.2f} ({100 * c['share']:.0f} %)"
                + (f", {c['flat_seeds']} flat" if c["flat_seeds"] else "")
                for c in (by_name[name] for name in algorithms)
            ]
            name = f"{kind} ({market['optimum']:.2f})"
            lines.append(f"| {name} | {encoder} | {' | '.join(entries)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--updates", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--units", type=int, default=16, help="of encoder and head")
    parser.add_argument("--markets", nargs="+", default=MARKETS, choices=MARKETS)
    parser.add_argument("--encoders", nargs="+", default=ENCODERS, choices=ENCODERS)
    parser.add_argument(
        "--algorithms", nargs="+", default=get_args(Algorithm), choices=get_args(Algorithm)
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    options = parser.parse_args()
    use_threads(1)
    result = run(options)
    if options.json:
        print(json.dumps(result))
    if options.markdown or not options.json:
        print(markdown(result, list(options.algorithms)))


if __name__ == "__main__":
    main()
