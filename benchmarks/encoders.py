"""What a trained step costs with each encoder: ``python -m benchmarks.encoders --json``.

One policy on one core, 32 features, episodes of 252 sessions, exact PPO with one epoch; trained
steps per second of CPU time over whole updates, burn-in, look-ahead and update included. There is
no peer here: ``learning``, ``recurrent`` and ``transformer`` have them.
"""

from __future__ import annotations

import time
from statistics import median

from benchmarks._harness import Figures, figure, finish, on_cores, options
from benchmarks._ours import throughput
from transfergate.market import planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams

ROUNDS = 3
NETWORKS = {
    "mlp_64": NetworkParams(encoder="mlp", encoder_units=64, head_units=64),
    "mlp_2x128": NetworkParams(encoder="mlp", encoder_layers=2, encoder_units=128, head_units=64),
    "gru_128": NetworkParams(encoder="gru", encoder_units=128, head_units=64),
    "lstm_128": NetworkParams(encoder="lstm", encoder_units=128, head_units=64),
    "transformer_2x64_window_64": NetworkParams(
        encoder="transformer",
        encoder_units=64,
        encoder_layers=2,
        attention_window=64,
        head_units=64,
    ),
    "resnet_lstm_128": NetworkParams(encoder="resnet_lstm", encoder_units=128, head_units=64),
}


def measure(rounds: int, *, quick: bool) -> Figures:
    sizes = (4, 756) if quick else (32, 2520)
    panel, figures = planted_panel(*sizes, n_features=32), {}
    for name, network in NETWORKS.items():
        optimiser = OptimiserParams(
            n_paths=2 if quick else 64,
            path_sessions=252,
            burn_in_sessions=max(32, network.context_sessions),
        )
        seconds = 0.05 if quick else 3.0
        rates = [
            throughput(network, optimiser, panel, MarketParams(), seconds, time.process_time)
            for _ in range(rounds)
        ]
        note = f"burn-in {optimiser.burn_in_sessions} sessions"
        figures[f"encoder_{name}"] = figure(median(rates), None, "none", note=note)
    return figures


def main() -> None:
    arguments = options(__doc__)
    figures: Figures = {}
    with on_cores(1):
        figures |= measure(1 if arguments.quick else ROUNDS, quick=arguments.quick)
    finish(figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
