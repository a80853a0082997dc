"""1,600 fits on two cores: ``python -m benchmarks.fits --json``.

40 tickers x 4 folds x 5 seeds x 2 arms, one choice of the grid, as fine-tuning trains them:
``train_together`` on groups of tickers, validations and choice of the arms included. A share of the
tickers and of the updates is timed in CPU seconds and multiplied; that both are linear is measured
beside it (``linear_*``: cost per fit of half as many tickers, and cost per update of half as many
updates, over the cost used; 1 is linear). Two cores take half of the CPU seconds as wall time, for
tasks share nothing. The peer is the same work with one ticker a stack, as it was before. Trials of
the grid (times 3 by default) and the folds' foundations are given beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import torch

from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import StackPlan, TrainingSlice, init_weights, train_stack
from transfergate.market import Panel, planted_panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
    Regularisation,
)
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmsTask
from transfergate.transfer.together import train_together

TICKERS, FOLDS, SEEDS, SESSIONS = 40, 4, 5, 1500
NETWORKS = {
    "mlp_64_64": NetworkParams(encoder="mlp", encoder_units=64, head_units=64),
    "gru_24": NetworkParams(),
    "lstm_128": NetworkParams(encoder="lstm", encoder_units=128, head_units=64),
}
ROWS = ("features", "overnight", "intraday", "tradable", "ready")


def tasks_of(panel: Panel, network: NetworkParams, tickers: int) -> list[ArmsTask]:
    folds = []
    for number in range(FOLDS):
        test = SESSIONS - 63 * (FOLDS - number)
        valid = test - 5 - 126
        windows = Window(0, valid - 5), Window(valid, valid + 126), Window(test, test + 63)
        folds.append(Fold(number, *windows))
    weights = init_weights(network, panel.n_features, 3, range(FOLDS))
    arms = [(FINETUNED, SCRATCH)] * FOLDS
    return [
        ArmsTask(
            Panel(
                (panel.tickers[row],),
                panel.sessions,
                *(getattr(panel, name)[row : row + 1] for name in ROWS),
            ),
            folds,
            weights,
            arms,
            ("fits", row),
        )
        for row in range(tickers)
    ]


def seconds(panel: Panel, network: NetworkParams, groups: list[int], updates: int) -> float:
    """CPU seconds of both arms of ``sum(groups)`` tickers, a stack per group."""
    params = FinetuneParams(
        optimiser=OptimiserParams(n_updates=updates, n_validations=2),
        grid=(Regularisation(input_noise=0.3),),
        n_seeds=SEEDS,
    )
    tasks = tasks_of(panel, network, sum(groups))
    begin, first = time.process_time(), 0
    for size in groups:
        train_together(
            tasks[first : first + size],
            market=MarketParams(),
            network=network,
            params=params,
            checkpoint=None,
            on_progress=None,
        )
        first += size
    return time.process_time() - begin


def foundations(panel: Panel, network: NetworkParams, updates: int) -> float:
    """CPU seconds of the family of all folds and the refit, scaled to its budget."""
    optimiser = PretrainParams().optimiser
    models = FOLDS + 1
    plan = StackPlan(
        slices=(TrainingSlice(tuple(range(len(panel.tickers))), 0, SESSIONS - 300),) * models,
        seeds=tuple(range(models)),
        learning_rates=(optimiser.learning_rate,) * models,
        regularisations=(PretrainParams().regularisation,) * models,
        frozen_groups=(frozenset(),) * models,
    )
    start = init_weights(network, panel.n_features, 3, plan.seeds)
    few = optimiser.model_copy(update={"n_updates": updates})
    begin = time.process_time()
    train_stack(panel, start, network, MarketParams(), few, plan)
    return (time.process_time() - begin) / updates * optimiser.n_updates


def figures_of(panel: Panel, name: str, options: argparse.Namespace) -> dict[str, Any]:
    network, full = NETWORKS[name], OptimiserParams().n_updates
    tickers, updates = options.tickers, options.updates
    seconds(panel, network, [1], 1)

    def median(groups: list[int], n_updates: int) -> float:
        return statistics.median(
            seconds(panel, network, groups, n_updates) for _ in range(options.repeats)
        )

    once, many = median([tickers], 1), median([tickers], updates)
    half_u, half_t = median([tickers], 1 + (updates - 1) // 2), median([tickers // 2], updates)
    single_once, single = median([1] * tickers, 1), median([1] * tickers, updates)
    per_update = (many - once) / (updates - 1)

    def whole(base: float, top: float) -> float:
        return (base + (top - base) / (updates - 1) * (full - 1)) * TICKERS / tickers

    ours, before = whole(once, many), whole(single_once, single)
    figures = {
        "cpu_s": ours,
        "two_cores_min": ours / 2 / 60,
        "linear_in_updates": (half_u - once) / ((updates - 1) // 2) / per_update,
        "linear_in_tickers": half_t / (tickers // 2) / (many / tickers),
        "with_3_grid_choices_two_cores_min": 3 * ours / 2 / 60,
        "fold_foundations_cpu_s": foundations(panel, network, max(2, updates // 2)),
    }
    rows = {
        f"{name}_{key}": {"ours": value, "peer": None, "peer_name": "none", "ratio": None}
        for key, value in figures.items()
    }
    rows[f"{name}_cpu_s"].update(
        peer=before, peer_name="one ticker a stack, as before", ratio=before / ours
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--tickers", type=int, default=4, help="timed, of 40")
    parser.add_argument("--updates", type=int, default=7, help="timed, of 100")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    panel = planted_panel(max(options.tickers, 8), SESSIONS, n_noise=13)
    rows: dict[str, Any] = {}
    for name in options.networks.split(","):
        found = figures_of(panel, name, options)
        rows |= found
        if not options.json:
            print(json.dumps(found), flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
