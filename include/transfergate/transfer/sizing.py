"""How much of a ticker's own history each way of training needs: Sharpe ratio by share of history.

Fine-tuning (each freeze tier) and the from-scratch control are trained on the latest 10 %, 20 %, …
100 % of the sessions before a cut and scored on the same later sessions, fold by fold, exactly as
the two arms of a verdict are: same stack, grid, early stopping, paired seeds, own foundation.

Exploration, never a verdict. Where the scored sessions come from is
:func:`validation_folds`' or the ledger's business; nothing here reads or writes a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Weights, select_models
from transfergate.market.panel import Panel
from transfergate.settings import FinetuneParams, MarketParams, NetworkParams, WalkForwardParams
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmRun, train_arms
from transfergate.transfer.pretraining import Progress
from transfergate.transfer.scoring import arm_paths

FloatArray = NDArray[np.float64]

SHARES = (10, 20, 30, 50, 60, 80, 100)
"""Per cent of the history before the cut."""
TIERS = ("head", "partial", "full")
STRATEGIES = (*TIERS, "discriminative")
"""What a curve can be drawn of; the freeze tiers by default."""
MIN_HELD_OUT = 20
"""A fold with fewer sessions to score is left out."""
MIN_PATH = 20
"""Shortest path, in sessions, that a short share is trained with."""


@dataclass(frozen=True)
class Budget:
    """How one share trains: as in the settings, or with shorter paths and more of them.

    ``reason`` says why it does not train at all; the numbers are then of no meaning.
    """

    share: int
    sessions: tuple[int, int]
    path_sessions: int
    n_paths: int
    reason: str | None = None


def validation_folds(
    folds: Sequence[Fold], params: WalkForwardParams, allowed: NDArray[np.bool_]
) -> list[Fold]:
    """Folds that score on validation windows; early stopping moves into the end of training.

    Fold f becomes: train | embargo | its last ``validation_sessions`` of training | embargo |
    the part of its validation window that no later fold's covers. So the sessions scored are
    consecutive, counted once, and nothing was chosen on them for the target.

    Args:
        folds: The walk-forward folds of one ticker, oldest first.
        params: Lengths in sessions.
        allowed: Sessions that may be scored, shape (T,); a window ends before the first that may
            not, and is dropped when fewer than :data:`MIN_HELD_OUT` are left.

    Returns:
        Folds whose ``test`` is what is scored; their numbers are those of the given ones.
    """
    starts = [fold.validation.first for fold in folds[1:]]
    found = []
    for fold, stop in zip(folds, [*starts, folds[-1].validation.stop], strict=True):
        held_out = _allowed(Window(fold.validation.first, min(stop, fold.validation.stop)), allowed)
        inner = Window(fold.train.stop - params.validation_sessions, fold.train.stop)
        train = Window(fold.train.first, inner.first - params.embargo_sessions)
        if held_out.sessions >= MIN_HELD_OUT and train.sessions > 0:
            found.append(Fold(fold.number, train, inner, held_out))
    return found


def _allowed(window: Window, allowed: NDArray[np.bool_]) -> Window:
    closed = np.flatnonzero(~allowed[window.first : window.stop])
    return Window(window.first, window.first + int(closed[0])) if len(closed) else window


def share_budgets(
    folds: Sequence[Fold], shares: Iterable[int], params: FinetuneParams
) -> list[Budget]:
    """What each share can be trained with, in the fold that has least of it.

    A share that has no room for one path of the settings trains with paths of half of what is
    left after the burn-in, and with more of them, so that the environment steps stay the same.

    Args:
        folds: Of :func:`validation_folds`, or walk-forward folds.
        shares: Per cent.
        params: Path length, number of paths, burn-in.
    """
    sizes = params.optimiser
    found = []
    for share in sorted(set(shares)):
        lengths = [_share(fold.train, share).sessions for fold in folds]
        least, span = min(lengths), (min(lengths), max(lengths))
        room = least - sizes.burn_in_sessions
        path, paths, reason = sizes.path_sessions, sizes.n_paths, None
        if room <= path:
            path = room // 2
            paths = round(sizes.n_paths * sizes.path_sessions / max(path, 1))
        if path < min(MIN_PATH, sizes.path_sessions):
            reason = (
                f"{least} sessions in the fold with the shortest history, at least "
                f"{sizes.burn_in_sessions + 2 * MIN_PATH} are needed: {sizes.burn_in_sessions} of "
                f"burn-in and room for different paths of {MIN_PATH}"
            )
        found.append(Budget(share, span, path, paths, reason))
    return found


def _share(train: Window, share: int) -> Window:
    """The latest ``share`` per cent of a training window."""
    return Window(train.stop - max(1, round(train.sessions * share / 100)), train.stop)


def _trained_on(fold: Fold, share: int, burn_in: int) -> Fold:
    """The fold with less history; its burn-in reads nothing from before the share either."""
    if share == 100:
        return fold
    latest = _share(fold.train, share)
    return replace(fold, train=Window(latest.first + burn_in, latest.stop))


@dataclass(frozen=True)
class Curve:
    """Held-out returns of one way of training on one share.

    Attributes:
        returns: Shape (K, T), simple, net of costs.
        flat_choices: Folds in which validation chose to hold nothing.
        flat_fold_seeds: Pairs of fold and seed without any position, those folds included.
        env_steps: Environment steps of all its trained models.
        models: Trained models.
    """

    returns: FloatArray
    flat_choices: int
    flat_fold_seeds: int
    env_steps: int
    models: int


def train_curves(
    panel: Panel,
    folds: Sequence[Fold],
    foundations: Weights,
    budgets: Sequence[Budget],
    tiers: Sequence[str],
    *,
    market: MarketParams,
    network: NetworkParams,
    params: FinetuneParams,
    seed_parts: tuple[str | int, ...],
    on_progress: Progress | None,
) -> dict[tuple[int, str], Curve]:
    """Train every share, tier, fold, seed and grid choice, and the control of each share.

    All shares of one path length train as one stack per tier; the control's models are in the
    stack of the first tier.

    Args:
        panel: The ticker alone.
        folds: What is trained and scored; ``test`` is scored.
        foundations: One model per fold, in the same order.
        budgets: Of :func:`share_budgets`; those with a reason are left out.
        tiers: Freeze tiers of the fine-tuned arm.
        market: The market.
        network: The foundation's network.
        params: Grid, seeds, learning rates; the strategy is each tier's.
        seed_parts: What the seeds are derived from; equal for all shares and tiers.
        on_progress: Called at a steady rhythm.

    Returns:
        Per (share, tier or ``scratch``) what was scored.
    """
    found: dict[tuple[int, str], Curve] = {}
    sizes = {(b.path_sessions, b.n_paths) for b in budgets if b.reason is None}
    for path, paths in sorted(sizes):
        group = [b for b in budgets if b.reason is None and b.path_sessions == path]
        optimiser = params.optimiser.model_copy(update={"path_sessions": path, "n_paths": paths})
        burn_in = optimiser.burn_in_sessions
        given = [_trained_on(fold, b.share, burn_in) for b in group for fold in folds]
        for i, tier in enumerate(tiers):
            arms = (FINETUNED, SCRATCH) if i == 0 else (FINETUNED,)
            runs = train_arms(
                panel,
                given,
                select_models(foundations, [*range(len(folds))] * len(group)),
                arms_of_fold=[arms] * len(given),
                market=market,
                network=network,
                params=params.model_copy(update={"optimiser": optimiser, "strategy": tier}),
                seed_parts=seed_parts,
                on_progress=on_progress,
            )
            for j, budget in enumerate(group):
                part = runs[j * len(folds) * len(arms) : (j + 1) * len(folds) * len(arms)]
                for arm in arms:
                    own = [run for run in part if run.arm == arm]
                    name = SCRATCH if arm == SCRATCH else tier
                    found[budget.share, name] = _curve(panel, own, market, network, burn_in)
    return found


def _curve(
    panel: Panel, runs: Sequence[ArmRun], market: MarketParams, network: NetworkParams, burn_in: int
) -> Curve:
    parts = [
        np.stack([path.net_return for path in arm_paths(panel, run, market, network, burn_in)])
        for run in runs
    ]
    return Curve(
        returns=np.concatenate(parts, axis=1),
        flat_choices=sum(run.choice is None for run in runs),
        flat_fold_seeds=int(sum((part == 0.0).all(1).sum() for part in parts)),
        env_steps=sum(run.env_steps for run in runs),
        models=sum(run.trained_models for run in runs),
    )
