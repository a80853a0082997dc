"""Speed and quality of training, with peers: ``python -m benchmarks.learning --json``.

One core. Quality stands beside speed, since speed without it means nothing: a policy that never
trades is fast. Peers: plain PyTorch (``nn.GRU`` under autograd, one model after another) and
Stable-Baselines3's PPO (extra ``bench``; its figures are null where it is not installed).
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfergate.learning import (
    StackPlan,
    TrainingSlice,
    Weights,
    init_weights,
    score_greedy,
    train_stack,
)
from transfergate.learning.exact import evaluate_policy
from transfergate.market import EpisodeParams, MarketVectorEnv, Panel, dynamics, planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, PretrainParams

MARKET = MarketParams()
TRAIN_TICKERS, TEST_TICKERS = 4, 4
TRAIN_SESSIONS, SESSIONS = 1000, 2000


def stack_plan(models: int, rows: int, learning_rate: float) -> StackPlan:
    return StackPlan(
        slices=tuple(TrainingSlice(tuple(range(rows)), 0, TRAIN_SESSIONS) for _ in range(models)),
        seeds=tuple(range(models)),
        learning_rates=(learning_rate,) * models,
        regularisations=(PretrainParams().regularisation,) * models,
        frozen_groups=(frozenset(),) * models,
    )


def stack_seconds(panel: Panel, encoder: str, models: int, optimiser: OptimiserParams) -> float:
    network = NetworkParams(encoder=encoder)
    start = init_weights(network, panel.n_features, 3, range(models))
    plan = stack_plan(models, TRAIN_TICKERS, optimiser.learning_rate)
    marks = []
    train_stack(
        panel,
        start,
        network,
        MARKET,
        optimiser.model_copy(update={"n_updates": 8}),
        plan,
        on_progress=lambda _: marks.append(time.process_time()),
    )
    return float(np.median(np.diff(marks[1:]))) * 100


def one_by_one_seconds(panel: Panel, models: int, optimiser: OptimiserParams) -> float:
    """The same update as a textbook writes it: ``nn.GRU`` and autograd, one model at a time."""
    torch.manual_seed(0)
    units = NetworkParams().encoder_units
    gru = torch.nn.GRU(panel.n_features, units, batch_first=True)
    own, output = torch.nn.Linear(units, units), torch.nn.Linear(units, 3)
    position = torch.nn.Parameter(0.1 * torch.randn(3, units))
    parameters = [*gru.parameters(), *own.parameters(), *output.parameters(), position]
    adam = torch.optim.Adam(parameters, optimiser.learning_rate)
    outcomes = dynamics.outcomes(panel, MARKET)
    grid = dynamics.position_grid(MARKET, panel.device)
    burn, kept = optimiser.burn_in_sessions, optimiser.path_sessions
    length = burn + kept + optimiser.tail_sessions

    def update() -> None:
        rows = torch.randint(TRAIN_TICKERS, (optimiser.n_paths, 1))
        sessions = torch.randint(TRAIN_SESSIONS - length, (optimiser.n_paths, 1))
        sessions = sessions + torch.arange(length)
        x = panel.features[rows, sessions] + torch.randn(*sessions.shape, panel.n_features)
        hidden = own(gru(x)[0][:, burn:]).unsqueeze(2) + position
        logits = output(torch.tanh(hidden)).transpose(0, 1)
        met = outcomes.take(rows, sessions[:, burn:])
        net = dynamics.return_table(met.held, met.traded, met.executable, grid, met.cost_rate)
        with torch.no_grad():
            policy = torch.softmax(logits, -1)
            reward = 100 * dynamics.reward(net).float().transpose(0, 1)
            done = evaluate_policy(
                policy, reward, met.executable.T, optimiser.discount, start=1, chunk=1
            )
            weight = done.occupancy.unsqueeze(-1) * policy * done.advantage
        loss = -(weight[:kept] * torch.log_softmax(logits, -1)[:kept]).sum() / (kept * len(rows))
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, optimiser.max_gradient_norm)
        adam.step()

    update()
    begin = time.process_time()
    for _ in range(10):
        update()
    return (time.process_time() - begin) / 10 * models * 100


def annualised_sharpe(returns: Tensor) -> Tensor:
    return torch.nan_to_num(returns.mean(-1) / returns.std(-1)) * 252**0.5


def out_of_sample(panel: Panel, weights: Weights, network: NetworkParams) -> float:
    rows = range(TRAIN_TICKERS, TRAIN_TICKERS + TEST_TICKERS)
    models = weights["head.bias"].shape[0]
    scores = [
        annualised_sharpe(
            score_greedy(
                panel, weights, network, MARKET, [row] * models, TRAIN_SESSIONS, SESSIONS, 32
            ).net_return
        )
        for row in rows
    ]
    return float(torch.stack(scores).mean())


def attainable(panel: Panel) -> float:
    """Best threshold rule on the planted signal, chosen on the test sessions themselves."""
    rows = slice(TRAIN_TICKERS, TRAIN_TICKERS + TEST_TICKERS)
    met, best = dynamics.outcomes(panel, MARKET), -np.inf
    signal = panel.features[rows, TRAIN_SESSIONS : SESSIONS - 1, 0]
    window = slice(TRAIN_SESSIONS, SESSIONS - 1)
    for threshold in np.arange(0.0, 1.2, 0.1):
        held, nets = torch.zeros(TEST_TICKERS, dtype=torch.float64), []
        for t in range(signal.shape[1]):
            s = signal[:, t]
            target = torch.where(s > threshold, 1.0, torch.where(s < -threshold, -1.0, held))
            legs = met.held[rows, window][:, t], met.traded[rows, window][:, t]
            nets.append(dynamics.net_return(held, target, *legs, MARKET.cost_bps * 1e-4))
            held = target
        best = max(best, float(annualised_sharpe(torch.stack(nets, 1)).mean()))
    return best


def our_quality(panel: Panel, models: int = 3) -> dict[str, float]:
    network, optimiser = NetworkParams(), PretrainParams().optimiser
    start = init_weights(network, panel.n_features, 3, range(models))
    plan = stack_plan(models, TRAIN_TICKERS, optimiser.learning_rate)
    begin = time.process_time()
    result = train_stack(panel, start, network, MARKET, optimiser, plan)
    seconds = (time.process_time() - begin) / models
    sharpe = out_of_sample(panel, result.weights, network)
    return {
        "sharpe": sharpe,
        "seconds": seconds,
        "steps_per_s": result.steps_per_model / seconds,
    }


def sb3_quality(panel: Panel, seconds: float) -> dict[str, float] | None:
    """PPO of Stable-Baselines3, 64 environments and large batches, for as many CPU seconds."""
    try:
        from benchmarks._sb3_peer import train_and_act
    except ImportError:
        return None
    params = EpisodeParams(panel.tickers[:TRAIN_TICKERS], 0, TRAIN_SESSIONS, 126)
    env = MarketVectorEnv(64, panel, MARKET, params, autoreset_mode="SameStep")
    act, steps_per_s = train_and_act(env, seconds)
    scores = []
    for ticker in panel.tickers[TRAIN_TICKERS:]:
        test = MarketVectorEnv(
            1, panel, MARKET, EpisodeParams((ticker,), TRAIN_SESSIONS, SESSIONS, None)
        )
        observation, _ = test.reset(seed=0)
        nets: list[float] = []
        done = False
        while not done:
            observation, _, ruined, ended, info = test.step(act(observation))
            nets.append(float(info["net_return"][0]))
            done = bool(ruined[0] or ended[0])
        scores.append(float(annualised_sharpe(torch.tensor(nets))))
    return {"sharpe": float(np.mean(scores)), "steps_per_s": steps_per_s}


def figure(ours: float, peer: float | None, peer_name: str, *, less_is_better: bool = False) -> Any:
    ratio = None if peer is None else (peer / ours if less_is_better else ours / peer)
    return {"ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print only the JSON object")
    parser.add_argument("--models", type=int, default=270)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    panel = planted_panel(TRAIN_TICKERS + TEST_TICKERS, SESSIONS)
    optimiser = OptimiserParams()
    models = arguments.models
    plain = one_by_one_seconds(panel, models, optimiser)
    ours = our_quality(panel)
    sb3 = sb3_quality(panel, 4 * ours["seconds"]) or {}
    figures = {
        f"gru_{models}_models_100_updates_cpu_s": figure(
            stack_seconds(panel, "gru", models, optimiser),
            plain,
            "torch.nn.GRU under autograd, one model after another",
            less_is_better=True,
        ),
        f"lstm_{models}_models_100_updates_cpu_s": figure(
            stack_seconds(panel, "lstm", models, optimiser), None, "none"
        ),
        "pretraining_steps_per_s": figure(
            ours["steps_per_s"], sb3.get("steps_per_s"), "stable-baselines3 PPO, MLP, 64 envs"
        ),
        "pretraining_cpu_s": figure(ours["seconds"], None, "none"),
        "unseen_ticker_sharpe": figure(
            ours["sharpe"], sb3.get("sharpe"), "stable-baselines3 PPO, 4 times the CPU seconds"
        ),
        "share_of_attainable_sharpe": figure(
            ours["sharpe"], attainable(panel), "best threshold rule on the planted signal"
        ),
    }
    if not arguments.json:
        for name, row in figures.items():
            print(name, row)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
