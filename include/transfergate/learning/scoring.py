"""Back-test of greedy policies: one ticker per model, all models at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning.networks import Weights, encode, head_logits, n_models
from transfergate.market import dynamics
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams

_PATHS_AT_ONCE = 1 << 16  # model-sessions per encoder call: bounds memory on long records


@dataclass(frozen=True)
class Scored:
    """Net daily results of S policies, dated by the session in which they accrue.

    Attributes:
        net_return: float64 (S, T), simple returns net of costs; 0 after ruin.
        position: float64 (S, T), held after the session's trade.
        turnover: float64 (S, T), absolute change of position.
        cost: float64 (S, T), as a fraction of equity; already inside ``net_return``.
        session: int64 (T), index of each session in the panel.
    """

    net_return: Tensor
    position: Tensor
    turnover: Tensor
    cost: Tensor
    session: Tensor


def score_greedy(
    panel: Panel,
    weights: Weights,
    network: NetworkParams,
    market: MarketParams,
    rows: Sequence[int],
    first: int,
    stop: int,
    burn_in: int,
) -> Scored:
    """Back-test each model's most probable action on one ticker.

    Decisions are taken at the closes of ``first`` to ``stop - 2``; results are dated one session
    later. The record starts flat and pays to enter; nothing at or after ``stop`` is read.

    Args:
        panel: Features and returns.
        weights: S models.
        network: Their network.
        market: Positions, costs, timing.
        rows: Row of the panel for each model.
        first: First decision.
        stop: End of the record.
        burn_in: Sessions encoded before ``first``, as far as there are any.

    Raises:
        TrainingError: If rows and models differ in number, or the record is empty.
    """
    if not 0 <= first < stop - 1 < panel.n_sessions or len(rows) != n_models(weights):
        raise TrainingError(
            f"scoring [{first}, {stop}) of {panel.n_sessions} sessions, {len(rows)} rows for "
            f"{n_models(weights)} models: expected one row a model and at least one decision"
        )
    which = torch.tensor(rows, device=panel.device)
    actions = greedy_actions(panel, weights, network, which, first, stop - 1, burn_in)
    sessions = torch.arange(first, stop - 1, device=panel.device)
    met = dynamics.outcomes(panel, market).take(which[:, None], sessions[None, :])
    grid = dynamics.position_grid(market, panel.device)
    positions = grid[_follow(actions, met.executable, dynamics.flat_index(market))]
    previous, target = positions[:, :-1], positions[:, 1:]
    net = dynamics.net_return(previous, target, met.held, met.traded, met.cost_rate)
    ruined = dynamics.is_ruin(net)
    gone = ruined.cummax(1).values & ~ruined | (ruined.cumsum(1) > 1)
    net = torch.where(gone, 0.0, net.clamp_min(-1.0))
    target = torch.where(gone, 0.0, target)
    turnover = torch.where(gone, 0.0, (target - previous).abs())
    return Scored(net, target, turnover, turnover * met.cost_rate, sessions + 1)


def next_targets(
    panel: Panel,
    weights: Weights,
    network: NetworkParams,
    market: MarketParams,
    rows: Sequence[int],
    first: int,
    session: int,
    burn_in: int,
) -> Tensor:
    """Position that each model wants after the close of ``session``.

    The model has traded since ``first``, flat before it; nothing after ``session`` is read.

    Returns:
        float64 (S,). Where the session's features are not ready it is the position held.
    """
    which = torch.tensor(rows, device=panel.device)
    actions = greedy_actions(panel, weights, network, which, first, session + 1, burn_in)
    sessions = torch.arange(first, session + 1, device=panel.device)
    met = dynamics.outcomes(panel, market).take(which[:, None], sessions[None, :])
    executable = met.executable.clone()
    executable[:, -1] = panel.ready[which, session]
    index = _follow(actions, executable, dynamics.flat_index(market))[:, -1]
    return dynamics.position_grid(market, panel.device)[index]


def greedy_actions(
    panel: Panel,
    weights: Weights,
    network: NetworkParams,
    rows: Tensor,
    first: int,
    end: int,
    burn_in: int,
) -> Tensor:
    """Most probable action by previous position, index (S, end - first, P).

    Args:
        panel: Features.
        weights: S models.
        network: Their network.
        rows: Row of the panel for each model, int64 (S,).
        first: First decision.
        end: End of the decisions; nothing at or after it is read.
        burn_in: Sessions encoded before ``first``, as far as there are any.
    """
    begin = max(0, first - burn_in)
    step = max(1, _PATHS_AT_ONCE // (end - begin))
    parts = []
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        models = {name: value[some].to(panel.device) for name, value in weights.items()}
        x = panel.features[rows[some], begin:end].unsqueeze(1)
        states = encode(models, network, x)[:, 0, first - begin :]
        parts.append(head_logits(models, states).argmax(-1))
    return torch.cat(parts)


def _follow(actions: Tensor, executable: Tensor, flat: int) -> Tensor:
    # As dynamics.follow, models first: (S, T + 1).
    return dynamics.follow(actions.transpose(0, 1), executable.T, flat).T
