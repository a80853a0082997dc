"""How a foundation behaves: finite, and does anything it sees change what it holds?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transfergate.learning import Weights, are_finite, select_models
from transfergate.learning.scoring import greedy_actions
from transfergate.market import dynamics
from transfergate.market.panel import Panel
from transfergate.settings import MarketParams, NetworkParams

NOT_FINITE, FLAT, LONG, SHORT = "not finite", "always flat", "always long", "always short"
FINDINGS = frozenset({FLAT, LONG, SHORT})
"""Checkpoints of which one is true have collapsed."""


@dataclass(frozen=True)
class Conduct:
    """What one checkpoint does over all sessions of some tickers.

    Attributes:
        finding: Why it teaches nothing (one of the names above), or None.
        decisions: Sessions, summed over the tickers, in which it could trade.
        position: The only position that it ever chose; None if it chose several.
        exposure: Share of the decisions, flat at first, after which it held anything.
    """

    finding: str | None
    decisions: int
    position: float | None
    exposure: float

    def record(self) -> dict[str, Any]:
        """As it is kept."""
        return vars(self).copy()


def conduct(
    panel: Panel,
    weights: Weights,
    stop: int,
    market: MarketParams,
    network: NetworkParams,
    burn_in: int,
) -> Conduct:
    """Look at every decision that one model would take, whatever it held before.

    The model is constant by construction if, from flat, it can only ever choose one position:
    no features of any ticker in any session, and no position that it reaches, make it choose
    another.

    Args:
        panel: Tickers to look at.
        weights: One model.
        stop: Nothing at or after this session is read.
        market: Its market.
        network: Its network.
        burn_in: Sessions encoded before the first decision.
    """
    if not are_finite(weights):
        return Conduct(NOT_FINITE, 0, None, 0.0)
    rows = torch.arange(len(panel.tickers), device=panel.device)
    first = min(burn_in, stop - 2)
    models = select_models(weights, [0] * len(rows))
    actions = greedy_actions(panel, models, network, rows, first, stop - 1, burn_in)
    executable = dynamics.outcomes(panel, market).executable[:, first : stop - 1]
    table = actions[executable]  # (decisions, P)
    if not len(table):
        return Conduct(FLAT, 0, 0.0, 0.0)
    flat = dynamics.flat_index(market)
    chosen = _reachable_choices(table, flat)
    position = market.positions[chosen[0]] if len(chosen) == 1 else None
    held = dynamics.follow(actions.transpose(0, 1), executable.T, flat)[1:].T
    return Conduct(
        finding=None if position is None else _name(position),
        decisions=len(table),
        position=position,
        exposure=float((held[executable] != flat).double().mean()),
    )


def _reachable_choices(table: Tensor, flat: int) -> list[int]:
    # Positions chosen in any session from flat or from a position chosen before.
    reached, chosen = {flat}, set[int]()
    while True:
        found = set(torch.unique(table[:, sorted(reached)]).tolist())
        if found <= chosen:
            return sorted(chosen)
        chosen |= found
        reached |= found


def _name(position: float) -> str:
    if position == 0.0:
        return FLAT
    return LONG if position > 0.0 else SHORT


def refusal(names: Sequence[str], found: Sequence[Conduct], *, admit_constant: bool) -> str | None:
    """Why a family must not be registered; None if it may.

    One weight that is no number refuses it. A checkpoint that always holds one position has
    collapsed; it is shown, and refuses the family if it is the last (the one up to now, which
    serves) or if as many as half of the family are like it: then there is nothing to transfer.

    Args:
        names: Of the checkpoints, the one up to now last.
        found: What each of them does.
        admit_constant: Whether constant ones are admitted.
    """
    broken = [name for name, one in zip(names, found, strict=True) if one.finding == NOT_FINITE]
    if broken:
        return (
            f"{NOT_FINITE}: the weights of {', '.join(broken)} ({len(broken)} of {len(names)} "
            f"checkpoints) hold NaN or infinity; lower pretrain.optimiser.learning_rate, look for "
            f"extreme features, and pre-train again"
        )
    constant = [(name, one) for name, one in zip(names, found, strict=True) if one.finding]
    last = found[-1].finding
    if admit_constant or not (last or 2 * len(constant) >= len(names)):
        return None
    each = ", ".join(
        f"{name} {one.finding} ({one.decisions:,} decisions)" for name, one in constant
    )
    kinds = sorted({str(one.finding) for _, one in constant})
    return (
        f"{' and '.join(kinds)} by construction: {len(constant)} of {len(names)} checkpoints hold "
        f"one position whatever they see: {each}; expected decisions that depend on the features. "
        f"Give pre-training more updates (pretrain.optimiser.n_updates), more source tickers or "
        f"lower costs, or admit it with TRANSFERGATE_PRETRAIN__ADMIT_CONSTANT=true"
    )
