"""Learning with a causal Transformer, with a peer: ``python -m benchmarks.transformer --json``.

Two blocks of 64 units, 4 heads, a window of 64 sessions, 32 features. Ours encodes a path once and
steps only the position head. The peer is Stable-Baselines3's PPO whose features extractor is the
same network over the last 64 sessions (``_torch_transformer.py``), the position joined after it:
every decision encodes its own window, which is what a framework of states and observations can do.
Trained steps per second over whole updates, as in ``benchmarks.learning``; peer with its default
sizes (1 environment) and with 16 environments and large batches.
"""

from __future__ import annotations

from typing import Any

from benchmarks._harness import Figures, figure, installed, on_cores
from benchmarks._race import Budget, Peer, arena, run_race, throughput_figures
from transfergate.market.planted import PlantedParams
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams

WINDOW, UNITS, LAYERS, HEADS = 64, 64, 2, 4
NETWORK = NetworkParams(
    encoder="transformer",
    encoder_units=UNITS,
    encoder_layers=LAYERS,
    attention_heads=HEADS,
    attention_window=WINDOW,
    head_units=64,
)
FASTEST = OptimiserParams(
    n_paths=8, path_sessions=504, tail_sessions=16, burn_in_sessions=126, epochs=1
)
MARKET = MarketParams(cost_bps=10.0)
PLANTED = PlantedParams("ar", phi=0.15)
BUDGET = Budget(throughput_s=5.0, rounds=3, seeds=0, steps=0, seconds=0.0)
QUICK = Budget(throughput_s=0.05, rounds=1, seeds=0, steps=0, seconds=0.0)


def peers(*, quick: bool) -> list[Peer]:
    from benchmarks._sb3_peer import PeerConfig
    from benchmarks._torch_transformer import WindowTransformer

    policy: dict[str, Any] = {
        "features_extractor_class": WindowTransformer,
        "features_extractor_kwargs": {
            "window": WINDOW,
            "units": UNITS,
            "layers": LAYERS,
            "heads": HEADS,
        },
        "net_arch": [64],
    }

    def config(name: str, num_envs: int, **arguments: Any) -> PeerConfig:
        arguments["policy_kwargs"] = policy
        return PeerConfig(name, num_envs, arguments=arguments, window=WINDOW)

    if quick:
        small = config("SB3 PPO", 2, n_steps=16, batch_size=32, n_epochs=1)
        return [Peer(small, 50.0)]
    tuned = config("SB3 PPO 16 envs tuned", 16, n_steps=63, batch_size=504, n_epochs=2)
    return [Peer(config("SB3 PPO defaults", 1, n_steps=256), 50.0), Peer(tuned, 50.0)]


def measure(cores: list[int], budget: Budget, *, quick: bool) -> Figures:
    sizes = {"tickers": 4, "sessions": 756} if quick else {"tickers": 32, "sessions": 2520}
    where = arena(PLANTED, MARKET, unseen=2, **sizes)
    have = installed("stable-baselines3") is not None
    rivals = budget.among(peers(quick=quick) if have else [])
    own = FASTEST.model_copy(update={"n_paths": 2}) if quick else FASTEST
    figures: Figures = {}
    for count in cores if budget.wants("throughput") else []:
        with on_cores(count):
            figures |= throughput_figures("transformer", NETWORK, own, rivals, where, budget, count)
    if not have:
        note = "stable-baselines3 is not installed: make setup-bench"
        figures["transformer_peer"] = figure(None, None, "stable-baselines3 PPO", note=note)
    return figures


if __name__ == "__main__":
    run_race(__doc__, measure, BUDGET, QUICK)
