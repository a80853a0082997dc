"""1,600 fits on two cores: ``python -m benchmarks.fits --json``.

40 tickers x 4 folds x 5 seeds x 2 arms, one choice of the grid, 1,500 sessions and 14 features, as
fine-tuning trains them: validations and choice of the arms included, 100 updates each. Two worker
processes with one thread each take tasks of 5 tickers (``train_together``, as the fine-tuning DAG
splits 40 tickers into 8 tasks); wall seconds from the first task to the last result. The peer is
the same work one fit after the other, on both cores: a sample of fits (of one fold, one seed, one
arm) is timed in CPU seconds beside it, and multiplied. ``one_ticker_a_task`` is what the DAG does
with ``tickers_per_task`` at 1, projected from two tickers. Trials of the grid (3 by default) and
the folds' foundations come on top and are given beside it, the latter projected from few updates.

``--sample`` runs that many tickers instead of 40 and multiplies: said in the row. Whether the
budget has flattened the learning curve stands in docs/learning.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import torch

from benchmarks._harness import Figures, figure, finish
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import (
    StackPlan,
    TrainingSlice,
    init_weights,
    select_models,
    train_stack,
)
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

TICKERS, FOLDS, SEEDS, SESSIONS, PER_TASK = 40, 4, 5, 1500, 5
GOALS = {"mlp_64_64": 10.0, "lstm_128": 60.0}
"""Minutes for all fits on two cores."""
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


def train(tasks: list[ArmsTask], network: NetworkParams, seeds: int, updates: int) -> float:
    """CPU seconds of the tasks' arms in one stack."""
    params = FinetuneParams(
        optimiser=OptimiserParams(n_updates=updates, n_validations=2),
        grid=(Regularisation(input_noise=0.3),),
        n_seeds=seeds,
    )
    begin = time.process_time()
    train_together(
        tasks,
        market=MarketParams(),
        network=network,
        params=params,
        checkpoint=None,
        on_progress=None,
    )
    return time.process_time() - begin


def alone(task: ArmsTask, fold: int, arm: str) -> ArmsTask:
    """One fold and one arm of a task: with one seed, one fit."""
    weights = select_models(task.foundations, [fold])
    return replace(task, folds=[task.folds[fold]], foundations=weights, arms_of_fold=[(arm,)])


_held: dict[str, list[ArmsTask]] = {}


def _begin(name: str, tickers: int) -> None:
    # In a worker: its thread, its tasks, and a first training, so that no clock sees the start.
    torch.set_num_threads(1)
    panel = planted_panel(max(tickers, 8), SESSIONS, n_noise=13)
    _held["tasks"] = tasks_of(panel, NETWORKS[name], tickers)
    train(_held["tasks"][:1], NETWORKS[name], SEEDS, 1)


def _one_task(name: str, first: int, updates: int) -> float:
    return train(_held["tasks"][first : first + PER_TASK], NETWORKS[name], SEEDS, updates)


def wall(name: str, tickers: int, updates: int, workers: int) -> tuple[float, float]:
    """Wall and CPU seconds of all tasks on so many workers."""
    context = multiprocessing.get_context("spawn")
    firsts = range(0, tickers, PER_TASK)
    with ProcessPoolExecutor(workers, context, _begin, (name, tickers)) as pool:
        list(pool.map(_one_task, *zip(*[(name, 0, 1)] * workers, strict=True)))
        begin = time.perf_counter()
        found = list(pool.map(_one_task, *zip(*[(name, t, updates) for t in firsts], strict=True)))
        return time.perf_counter() - begin, sum(found)


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


def figures_of(name: str, sample: int, updates: int, workers: int) -> Figures:
    """Rows of one network; ``sample`` tickers are run, ``updates`` of a hundred in a quick run."""
    network, fits = NETWORKS[name], TICKERS * FOLDS * SEEDS * 2
    took, cpu = wall(name, sample, updates, workers)
    panel = planted_panel(8, SESSIONS, n_noise=13)
    tasks = tasks_of(panel, network, 4)
    single = statistics.median(
        train([alone(tasks[n], n, arm)], network, 1, updates)
        for n, arm in enumerate((FINETUNED, SCRATCH, FINETUNED, SCRATCH)[: 4 if sample > 8 else 2])
    )
    by_ticker = statistics.median(train([task], network, SEEDS, updates) for task in tasks[:2])
    share = TICKERS / sample
    ours, before = took * share, single * fits / workers
    said = f"{fits:,} fits, {workers} workers"
    if sample < TICKERS:
        said += f"; {sample} of {TICKERS} tickers were run, and multiplied"
    peer = "one fit after the other on as many cores, a sample multiplied"
    rows = {f"{name}_wall_s": figure(ours, before, peer, less_is_better=True, note=said)}
    if name in GOALS:
        rows[f"{name}_wall_min"] = figure(
            ours / 60, GOALS[name], "the goal in minutes", less_is_better=True, goal=1.0, note=said
        )
    rows[f"{name}_one_ticker_a_task_s"] = figure(
        ours, by_ticker * TICKERS / workers, "one ticker a task, projected", less_is_better=True
    )
    family = foundations(panel, network, 2) / workers
    for key, value in {
        "cpu_s": cpu * share,
        "with_3_grid_choices_min": 3 * ours / 60,
        "fold_foundations_projected_min": family / 60,
    }.items():
        rows[f"{name}_{key}"] = figure(value, None, "none", note=said)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--quick", action="store_true", help="seconds, not minutes: no figures")
    parser.add_argument("--sample", type=int, default=TICKERS, help="tickers that are run, of 40")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--networks", default="mlp_64_64,gru_24,lstm_128")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sample, updates = (2, 2) if options.quick else (options.sample, OptimiserParams().n_updates)
    names = ["mlp_64_64"] if options.quick else options.networks.split(",")
    rows: Figures = {}
    for name in names:
        rows |= figures_of(name, sample, updates, options.workers)
    finish(rows, as_json=options.json)


if __name__ == "__main__":
    main()
