"""Share of the machine's matrix-product rate in training: ``python -m benchmarks.roofline``.

The machine's rate is measured: the fastest of several sizes of ``torch.mm`` in float32, and beside
it the products that our layers are made of. Training's rate counts the multiplications and
additions of its matrix products alone (forward, and twice that backward, over every session that is
encoded: burn-in and tail too), divided by the time of whole updates. Where the rest goes: PyTorch's
profiler over some updates, own time by kind of operation. One core in CPU seconds, two in wall
seconds; ``peer`` is the machine's rate and ``ratio`` the share.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import _ours, learning, recurrent
from benchmarks._harness import (
    Enough,
    Figures,
    alternate,
    clock,
    figure,
    run_by_cores,
)
from transfergate.learning import train_stack
from transfergate.market import Panel, planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams

MARKET = MarketParams()
SQUARES = (256, 512, 1024, 2048)
TRAININGS = {
    "mlp": (learning.NETWORK, learning.FASTEST),
    "lstm128": (recurrent.NETWORK, recurrent.FASTEST),
}
KINDS = {
    "matrix products": ("mm", "bmm", "baddbmm", "addmm", "matmul", "linear"),
    "tanh, sigmoid, softmax": ("tanh", "sigmoid", "softmax"),
    "gather and copy": ("index", "copy_", "cat", "gather", "stack", "contiguous", "clone"),
    "allocation": ("empty", "zeros", "fill_", "zero_", "resize"),
}


def product_rate(
    rows: int, inner: int, columns: int, seconds: float, now: Callable[[], float]
) -> float:
    """Floating-point operations per second of one matrix product."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    out = torch.empty(rows, columns)
    torch.mm(left, right, out=out)
    count, begin = 0, now()
    while now() - begin < seconds:
        torch.mm(left, right, out=out)
        count += 1
    return 2.0 * rows * inner * columns * count / (now() - begin)


def products(network: NetworkParams, n_features: int, n_positions: int) -> dict[str, float]:
    """Multiplications and additions forward: per encoded session, and per decided session."""
    units, head = network.encoder_units, network.head_units
    gates = {"lstm": 4, "gru": 3, "mlp": 1}[network.encoder]
    encoder = 2.0 * n_features * gates * units
    if network.encoder != "mlp":
        encoder += 2.0 * units * gates * units
    return {
        "encoder": encoder,
        "head": 2.0 * units * head + 2.0 * n_positions * head * n_positions,
    }


def operations_per_step(
    network: NetworkParams, optimiser: OptimiserParams, n_features: int, n_positions: int
) -> float:
    """Operations of the matrix products of one update, per trained step."""
    parts = products(network, n_features, n_positions)
    decided = optimiser.path_sessions + optimiser.tail_sessions
    encoded = decided + optimiser.burn_in_sessions
    kept = optimiser.path_sessions
    forward = encoded * parts["encoder"] + decided * parts["head"]
    # The first layer needs no gradient by the features.
    first = 2.0 * n_features * network.encoder_units
    first *= {"lstm": 4, "gru": 3, "mlp": 1}[network.encoder]
    backward = kept * (2.0 * (parts["encoder"] + parts["head"]) - first)
    return (forward + backward) / kept


def breakdown(
    panel: Panel, network: NetworkParams, optimiser: OptimiserParams, updates: int
) -> dict[str, float]:
    """Share of the profiled time by kind of operation; the rest is Python and the dispatcher."""
    short = optimiser.model_copy(update={"n_updates": 100_000})
    done = 0
    profiler = profile(activities=[ProfilerActivity.CPU])

    def mark(_: object) -> None:
        nonlocal done
        done += 1
        if done == 2:
            profiler.start()
        if done == 2 + updates:
            profiler.stop()
            raise Enough

    weights = _ours.start(panel, network, MARKET, 0)
    plan = _ours.one_policy(panel, short, 0)
    with suppress(Enough):
        train_stack(panel, weights, network, MARKET, short, plan, on_progress=mark)
    events = [e for e in profiler.key_averages() if e.key.startswith("aten::")]
    total = sum(event.self_cpu_time_total for event in events)
    shares = dict.fromkeys([*KINDS, "other arithmetic"], 0.0)
    for event in events:
        name = event.key.removeprefix("aten::")
        kind = next(
            (k for k, words in KINDS.items() if any(word in name for word in words)),
            "other arithmetic",
        )
        shares[kind] += event.self_cpu_time_total / total
    return shares


def measure(cores: int, rounds: int, *, quick: bool) -> Figures:
    now, seconds, rounds = clock(cores), 0.02 if quick else 0.5, 1 if quick else rounds
    panel = planted_panel(4 if quick else 32, 756 if quick else 2520, n_features=32)
    runs = {
        f"mm {n} x {n} x {n}": partial(product_rate, n, n, n, seconds, now)
        for n in (SQUARES[:1] if quick else SQUARES)
    }
    layers = {
        "mm 4032 x 32 x 64, the MLP's first layer": (4032, 32, 64),
        "mm 4032 x 64 x 64, its second": (4032, 64, 64),
        "mm 32 x 128 x 512, a step of the LSTM": (32, 128, 512),
        "mm 9088 x 32 x 512, the LSTM's inputs": (9088, 32, 512),
    }
    runs |= {name: partial(product_rate, *size, seconds, now) for name, size in layers.items()}
    for name, (network, optimiser) in TRAININGS.items():
        runs[name] = partial(_ours.throughput, network, optimiser, panel, MARKET, 4 * seconds, now)
    rates, _ = alternate(runs, rounds)
    top = max(
        (name for name in rates if name.startswith("mm") and "," not in name), key=rates.__getitem__
    )
    peak, figures = rates[top] / 1e9, {}
    for name in layers:
        figures[f"gflops_{name}_{cores}core"] = figure(rates[name] / 1e9, peak, top)
    for name, (network, optimiser) in TRAININGS.items():
        each = operations_per_step(network, optimiser, 32, len(MARKET.positions))
        shares = breakdown(panel, network, optimiser, 1 if quick else 10)
        spent = ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items())
        note = f"{each:,.0f} operations a step; own time of operations: {spent}"
        figures[f"gflops_{name}_training_{cores}core"] = figure(
            rates[name] * each / 1e9, peak, f"the machine: {top}", note=note
        )
    return figures


if __name__ == "__main__":
    run_by_cores(__doc__, measure)
