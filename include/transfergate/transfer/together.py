"""Both arms of several tickers in one stack: the same results as one ticker after the other.

Every model keeps its own ticker, slice, seed, rate and validation; tickers share the loop, and so
the cost of its many small operations. That pays where one ticker has few models: with a large grid
its own stack fills the processor already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from transfergate.errors import TrainingError
from transfergate.learning import (
    Checkpoint,
    StackPlan,
    TrainingSlice,
    Weights,
    stack_models,
    train_stack,
)
from transfergate.learning.groups import free_bytes
from transfergate.market.panel import Panel
from transfergate.settings import FinetuneParams, MarketParams, NetworkParams
from transfergate.transfer.arms import ArmRun, ArmsStack, ArmsTask
from transfergate.transfer.pretraining import Progress

log = logging.getLogger(__name__)

_COPIES = 12
"""Of the weights at the peak: weights, start, best, two moments; all again in a checkpoint."""
_STATE_FRAC = 0.25
"""Share of the free memory that the state of one stack may take."""


def train_together(
    tasks: Sequence[ArmsTask],
    *,
    market: MarketParams,
    network: NetworkParams,
    params: FinetuneParams,
    checkpoint: Checkpoint | None,
    on_progress: Progress | None,
) -> list[list[ArmRun]]:
    """Train both arms of several tickers.

    Args:
        tasks: One per ticker; their panels have one calendar.
        market: The market.
        network: The network.
        params: Budget, grid, learning-rate ratio and strategy.
        checkpoint: Where a retried task resumes from.
        on_progress: Called at a steady rhythm.

    Returns:
        The runs of each task, as ``train_arms`` would give them: to the byte where network widths
        are multiples of 8 and a ticker alone has 48 paths or more, else to rounding.

    Raises:
        TrainingError: If calendars differ, or a model's loss is not finite.
    """
    stacks = [ArmsStack(task, market, network, params) for task in tasks]
    found: list[list[ArmRun]] = []
    for number, some in enumerate(_that_fit(stacks)):
        kept = replace(checkpoint, key=f"{checkpoint.key}-{number}") if checkpoint else None
        found += _train(some, market, network, params, kept, on_progress)
        if kept:
            kept.store.discard(kept.key)
    return found


def _train(
    stacks: Sequence[ArmsStack],
    market: MarketParams,
    network: NetworkParams,
    params: FinetuneParams,
    checkpoint: Checkpoint | None,
    on_progress: Progress | None,
) -> list[list[ArmRun]]:
    ends = list(accumulate(len(stack.plan.seeds) for stack in stacks))
    parts = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    def validate(weights: Weights) -> Tensor:
        scores = [
            stack.validate({name: value[part] for name, value in weights.items()})
            for stack, part in zip(stacks, parts, strict=True)
        ]
        return torch.cat(scores)

    result = train_stack(
        join_panels([stack.task.panel for stack in stacks]),
        stack_models([stack.weights for stack in stacks]),
        network,
        market,
        params.optimiser,
        join_plans([stack.plan for stack in stacks]),
        validate=validate,
        checkpoint=checkpoint,
        on_progress=on_progress,
    )
    return [stack.runs(result.part(part)) for stack, part in zip(stacks, parts, strict=True)]


def _that_fit(stacks: Sequence[ArmsStack]) -> Iterator[list[ArmsStack]]:
    # Neighbours whose weights, moments and checkpoint fit into memory together; at least one.
    room = _STATE_FRAC * free_bytes(stacks[0].task.panel.device)
    some: list[ArmsStack] = []
    taken = 0
    for stack in stacks:
        need = _COPIES * sum(value.nbytes for value in stack.weights.values())
        if some and taken + need > room:
            yield some
            some, taken = [], 0
        some.append(stack)
        taken += need
    yield some


def join_panels(panels: Sequence[Panel]) -> Panel:
    """Lay panels of one calendar below each other.

    Raises:
        TrainingError: If their calendars or features differ.
    """
    first = panels[0]
    for panel in panels:
        same = panel.sessions.shape == first.sessions.shape
        if not same or (panel.sessions != first.sessions).any():
            raise TrainingError(
                f"tickers {first.tickers} and {panel.tickers} have different calendars; train only "
                f"tickers of one snapshot together"
            )
    names = ("features", "overnight", "intraday", "tradable", "ready")
    joint: dict[str, Any] = {
        name: torch.cat([getattr(panel, name) for panel in panels]) for name in names
    }
    if any(panel.cost_rate is not None for panel in panels):
        default = torch.full_like(first.overnight, torch.nan)[:1]
        joint["cost_rate"] = torch.cat(
            [
                default.expand(len(panel.tickers), -1)
                if panel.cost_rate is None
                else panel.cost_rate
                for panel in panels
            ]
        )
    tickers = tuple(ticker for panel in panels for ticker in panel.tickers)
    return replace(first, tickers=tickers, **joint)


def join_plans(plans: Sequence[StackPlan]) -> StackPlan:
    """Put plans of one-ticker panels behind each other; plan i is for row i of the joint panel."""
    joint = {
        field.name: tuple(entry for plan in plans for entry in getattr(plan, field.name))
        for field in fields(StackPlan)
    }
    joint["slices"] = tuple(
        TrainingSlice((row,), one.first, one.stop)
        for row, plan in enumerate(plans)
        for one in plan.slices
    )
    return StackPlan(**joint)
