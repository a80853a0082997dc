"""Our training for the benchmarks: one policy, its throughput and its learning curve."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch

from benchmarks._curves import Curve, follow, sharpe_of_positions
from benchmarks._harness import Enough, Stopwatch
from transfergate.learning import (
    StackPlan,
    TrainingSlice,
    Weights,
    encode,
    head_logits,
    init_weights,
    train_stack,
)
from transfergate.market import Panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation


def one_policy(panel: Panel, optimiser: OptimiserParams, seed: int) -> StackPlan:
    """Plan of a single policy on the whole panel."""
    rows = tuple(range(len(panel.tickers)))
    return StackPlan(
        slices=(TrainingSlice(rows, 0, panel.n_sessions),),
        seeds=(seed,),
        learning_rates=(optimiser.learning_rate,),
        regularisations=(Regularisation(),),
        frozen_groups=(frozenset(),),
    )


def start(panel: Panel, network: NetworkParams, market: MarketParams, seed: int) -> Weights:
    return init_weights(network, panel.n_features, len(market.positions), [seed])


def throughput(
    network: NetworkParams,
    optimiser: OptimiserParams,
    panel: Panel,
    market: MarketParams,
    seconds: float,
    now: Callable[[], float],
) -> float:
    """Trained steps per second over whole updates, the first three left out."""
    marks: list[float] = []

    def mark(_: object) -> None:
        marks.append(now())
        if len(marks) > 4 and marks[-1] - marks[2] > seconds:
            raise Enough

    endless = optimiser.model_copy(update={"n_updates": 100_000})
    with suppress(Enough):
        train_stack(
            panel,
            start(panel, network, market, 0),
            network,
            market,
            endless,
            one_policy(panel, endless, 0),
            on_progress=mark,
        )
    steps = optimiser.n_paths * optimiser.path_sessions
    return steps * (len(marks) - 3) / (marks[-1] - marks[2])


def learn(
    network: NetworkParams,
    optimiser: OptimiserParams,
    train: Panel,
    test: Panel,
    market: MarketParams,
    seed: int,
    now: Callable[[], float],
) -> Curve:
    """Train the whole budget; ``n_validations`` points, whose time is not on the clock."""
    curve, done = Curve(), iter(range(optimiser.n_validations + 1))
    steps = optimiser.n_paths * optimiser.path_sessions
    watch = Stopwatch(now)

    def validate(weights: Weights) -> torch.Tensor:
        seconds, number = watch.seconds(), next(done)
        with watch.pause():
            sharpe = out_of_sample(test, weights, network, market)
            updates = round(number * optimiser.n_updates / optimiser.n_validations)
            curve.add(seconds, updates * steps, sharpe)
        return torch.tensor([sharpe])

    train_stack(
        train,
        start(train, network, market, seed),
        network,
        market,
        optimiser,
        one_policy(train, optimiser, seed),
        validate=validate,
    )
    return curve


def out_of_sample(
    panel: Panel, weights: Weights, network: NetworkParams, market: MarketParams
) -> float:
    """Sharpe of the most probable actions, each ticker run as one path from flat."""
    return sharpe_of_positions(
        panel, market, follow(panel, market, greedy_table(panel, weights, network))
    )


def greedy_table(panel: Panel, weights: Weights, network: NetworkParams) -> np.ndarray:
    """Most probable action by (ticker, session, previous position)."""
    parts = []
    for rows in torch.arange(len(panel.tickers)).split(16):
        states = encode(weights, network, panel.features[rows].unsqueeze(0))
        parts.append(head_logits(weights, states)[0].argmax(-1))
    return torch.cat(parts).numpy()
