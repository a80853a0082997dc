"""Stacked training against fits one after the other: ``python -m benchmarks.stacking --json``.

64 tickers x 5 seeds, fine-tuned by our own core: in one stack, and one model at a time. One core;
CPU seconds, so that other load counts little. Both are measured over a share of the updates (equal
work each) and given for the whole budget; ``--exact`` runs the whole budget. Of the fits one after
the other a sample of the models is timed, spread over the tickers, and multiplied.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from benchmarks._harness import Figures, figure, finish
from transfergate.learning import (
    StackPlan,
    TrainingSlice,
    Weights,
    init_weights,
    select_models,
    train_stack,
)
from transfergate.market import Panel, planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation

TICKERS, SEEDS, SESSIONS = 64, 5, 1500
NETWORKS = {
    "mlp_64_64": NetworkParams(encoder="mlp", encoder_units=64, head_units=64),
    "gru_24": NetworkParams(),
    "lstm_128": NetworkParams(encoder="lstm", encoder_units=128, head_units=64),
}


def plan_of(models: int) -> StackPlan:
    return StackPlan(
        slices=tuple(TrainingSlice((m // SEEDS,), 0, SESSIONS - 200) for m in range(models)),
        seeds=tuple(range(models)),
        learning_rates=(1e-3,) * models,
        regularisations=(Regularisation(input_noise=0.3),) * models,
        frozen_groups=(frozenset(),) * models,
    )


def only(plan: StackPlan, model: int) -> StackPlan:
    return StackPlan(**{name: (value[model],) for name, value in vars(plan).items()})


def seconds(
    panel: Panel, weights: Weights, network: NetworkParams, plan: StackPlan, n_updates: int
) -> float:
    optimiser = OptimiserParams(n_updates=n_updates)
    begin = time.process_time()
    train_stack(panel, weights, network, MarketParams(), optimiser, plan)
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--quick", action="store_true", help="seconds, not minutes: no figures")
    parser.add_argument("--updates", type=int, default=5, help="timed, of 100")
    parser.add_argument("--sample", type=int, default=4, help="models timed one by one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--exact", action="store_true", help="the whole budget, every model")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    options = parser.parse_args()
    if options.quick:
        options.updates, options.sample, options.repeats = 2, 1, 1
        options.networks = "mlp_64_64"
    torch.set_num_threads(1)
    panel = planted_panel(TICKERS, SESSIONS, n_noise=13)
    models, budget = TICKERS * SEEDS, OptimiserParams().n_updates
    updates = budget if options.exact else options.updates
    timed = range(0, models, 1 if options.exact else models // options.sample)
    plan = plan_of(models)
    figures: Figures = {}
    for name in options.networks.split(","):
        network = NETWORKS[name]
        weights = init_weights(network, panel.n_features, 3, plan.seeds)
        seconds(panel, weights, network, plan, 1)  # buffers are mapped, kernels chosen
        setup = [seconds(panel, weights, network, plan, 1) for _ in range(options.repeats)]
        stacked, single = [], []
        for _ in range(options.repeats):
            stacked.append(seconds(panel, weights, network, plan, updates))
            one = [
                seconds(panel, select_models(weights, [m]), network, only(plan, m), updates)
                for m in timed
            ]
            single.append(statistics.mean(one))
        # The setup of a run (market tables, checks) is paid once per run, whatever its budget.
        per_update = (statistics.median(stacked) - statistics.median(setup)) / (updates - 1)
        ours = statistics.median(setup) + per_update * (budget - 1)
        alone = [
            seconds(panel, select_models(weights, [0]), network, only(plan, 0), 1)
            for _ in range(options.repeats)
        ]
        first = statistics.median(alone)
        peer = models * (first + (statistics.median(single) - first) / (updates - 1) * (budget - 1))
        figures[f"{name}_{models}_fits_cpu_s"] = figure(
            ours,
            peer,
            "the same core, one fit after the other",
            less_is_better=True,
            goal=4.0,
        )
    finish(figures, as_json=options.json)


if __name__ == "__main__":
    main()
