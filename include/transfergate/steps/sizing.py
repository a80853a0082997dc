"""Step that draws a ticker's sizing curve: what fine-tuning and the control make of less history.

Exploration: nothing is written, no record of returns or of looks is touched, and sessions that a
verdict has yet to judge are never scored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergate.errors import NotEnoughData, SettingsError
from transfergate.evaluation.gate import finite
from transfergate.evaluation.ledger import RECORD, Ledger
from transfergate.evaluation.splits import Fold
from transfergate.learning.runtime import choose_device, use_threads
from transfergate.market.panel import Panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    Settings,
    WalkForwardParams,
)
from transfergate.steps.folds import target_folds
from transfergate.steps.pretraining import (
    foundation_weights,
    load_panel,
    read_foundation,
)
from transfergate.steps.progress import log_progress
from transfergate.steps.targets import plan_finetune
from transfergate.storage import ArtefactStore, open_snapshot, open_store
from transfergate.transfer.arms import SCRATCH
from transfergate.transfer.recipe import document_hash, recipe_document
from transfergate.transfer.scoring import test_window
from transfergate.transfer.sizing import (
    SHARES,
    STRATEGIES,
    TIERS,
    Budget,
    Curve,
    share_budgets,
    train_curves,
    validation_folds,
)
from transfergate.transfer.sizing_figures import (
    describe_curve,
    describe_difference,
    fold_sessions,
    references,
)

log = logging.getLogger(__name__)

WINDOWS = ("validation", "test")


def size_ticker(
    settings: Settings,
    foundation_version: str,
    ticker: str,
    *,
    shares: Sequence[int] = SHARES,
    tiers: Sequence[str] = TIERS,
    n_seeds: int | None = None,
    on: str = "validation",
) -> dict[str, Any]:
    """Train and score every share and tier and the control of each share.

    Args:
        settings: Settings; the fine-tuning's grid, budget and learning rates count.
        foundation_version: Its family starts the fine-tuned arms, each fold from its own.
        ticker: A target, no source of the foundation.
        shares: Per cent of the history before the cut, 1 to 100.
        tiers: Freeze tiers.
        n_seeds: Paired seeds; None for the settings'.
        on: ``validation``: validation windows, early stopping moved into the end of training.
            ``test``: the test windows of fine-tuning, but only those that are in the record
            already; a window that a verdict has yet to see is refused.

    Returns:
        Sessions, folds, ``references`` and one entry per share in ``shares``, each with its
        ``reason`` or with the Sharpe ratios and differences of its arms.

    Raises:
        NotEnoughData: If no fold can be scored.
        SettingsError: If the ticker is a source, or a test window has not been judged.
    """
    started = time.perf_counter()
    _check(shares, tiers, on)
    plan_finetune(settings, foundation_version, [ticker])
    run = _Sizing(settings, foundation_version, ticker, on)
    params = settings.finetune
    if n_seeds is not None:
        params = params.model_copy(update={"n_seeds": n_seeds})
    budgets = _budgets(run, shares, params)
    log.info("%s: shares %s, tiers %s, %d folds", ticker, shares, tiers, len(run.folds))
    curves = train_curves(
        run.panel,
        run.folds,
        run.foundations,
        budgets,
        tiers,
        market=run.market,
        network=run.network,
        params=params,
        seed_parts=(settings.seed, run.recipe, ticker),
        on_progress=log_progress(f"sizing {ticker}"),
    )
    burn_in = params.optimiser.burn_in_sessions
    sessions = fold_sessions(run.folds)
    result = {
        **run.described(),
        "n_seeds": params.n_seeds,
        "tiers": list(tiers),
        "shares": [_share(budget, tiers, curves, sessions) for budget in budgets],
        "references": references(
            run.panel,
            run.folds,
            run.foundations,
            market=run.market,
            network=run.network,
            burn_in=burn_in,
        ),
        "models": sum(curve.models for curve in curves.values()),
        "env_steps": sum(curve.env_steps for curve in curves.values()),
        "wall_s": round(time.perf_counter() - started, 1),
    }
    plain: dict[str, Any] = finite(result)
    return plain


def _budgets(run: _Sizing, shares: Sequence[int], params: FinetuneParams) -> list[Budget]:
    """What each share trains with; refused if none can be trained."""
    budgets = share_budgets(run.folds, shares, params)
    if all(budget.reason for budget in budgets):
        raise NotEnoughData(
            f"{run.ticker}: no share of {sorted(shares)} % can be trained on; {budgets[-1].share} "
            f"%: {budgets[-1].reason}; ask for larger shares or shorten "
            f"TRANSFERGATE_FINETUNE__OPTIMISER__BURN_IN_SESSIONS"
        )
    return budgets


class _Sizing:
    """What is read before training: panel, folds, each fold's foundation, what was judged."""

    def __init__(self, settings: Settings, version: str, ticker: str, on: str) -> None:
        store = open_store(settings)
        manifest = read_foundation(store, version)
        document = manifest["document"]
        snapshot = open_snapshot(store, manifest["snapshot_id"])
        self.ticker, self.version, self.on = ticker, version, on
        self.snapshot_id, self.source = snapshot.id, manifest["source"]
        self.recipe = document_hash(recipe_document(document, settings))
        self.market = MarketParams.model_validate(document["market"])
        self.network = NetworkParams.model_validate(document["network"])
        use_threads(settings.torch_threads)
        device = choose_device(settings.device)
        self.panel = load_panel(snapshot, [ticker]).to(device)
        walk_forward = WalkForwardParams.model_validate(document["walk_forward"])
        folds = target_folds(
            self.panel,
            snapshot.manifest["first_session_ordinal"],
            walk_forward,
            pretrained={checkpoint["fold"] for checkpoint in manifest["checkpoints"]},
            recorded=set(Ledger(store).folds(self.recipe, ticker)),
        )
        self.judged = judged_sessions(store, ticker, self.panel)
        if on == "test":
            self.folds = [fold for fold in folds if self._is_judged(fold)]
        else:
            before = np.arange(self.panel.n_sessions) < test_window(folds[0]).first
            self.folds = validation_folds(folds, walk_forward, self.judged | before)
        if not self.folds:
            raise self._nothing_to_score(len(folds))
        weights = foundation_weights(store, manifest, self.folds)
        self.foundations = {name: tensor.to(device) for name, tensor in weights.items()}

    def _is_judged(self, fold: Fold) -> bool:
        window = test_window(fold)
        return bool(self.judged[window.first : window.stop].all())

    def _nothing_to_score(self, n_folds: int) -> SettingsError | NotEnoughData:
        if self.on == "test":
            return SettingsError(
                f"{self.ticker}: none of its {n_folds} test windows has been scored for a verdict "
                f"yet, and exploring would use them up; run `transfergate finetune --targets "
                f"{self.ticker}` first, or leave out --on test"
            )
        return NotEnoughData(
            f"{self.ticker}: {n_folds} folds, none with history for a training, an inner "
            f"validation and a window to score; ingest a longer history"
        )

    def described(self) -> dict[str, Any]:
        """Where the curve comes from, and how many of its sessions verdicts use as well."""
        dates = self.panel.sessions
        scored = np.concatenate([np.arange(w.first, w.stop) for w in map(test_window, self.folds)])
        return {
            "ticker": self.ticker,
            "source": self.source,
            "snapshot_id": self.snapshot_id,
            "foundation_version": self.version,
            "on": self.on,
            "first_session": str(dates[scored[0]]),
            "last_session": str(dates[scored[-1]]),
            "n_sessions": len(scored),
            "n_judged": int(self.judged[scored].sum()),
            "folds": [
                {
                    "fold": fold.name,
                    "train": _dates(self.panel, fold.train.first, fold.train.stop),
                    "selected_on": _dates(self.panel, *_ends(fold)),
                    "scored": _dates(self.panel, test_window(fold).first, test_window(fold).stop),
                }
                for fold in self.folds
            ],
        }


def judged_sessions(store: ArtefactStore, ticker: str, panel: Panel) -> NDArray[np.bool_]:
    """Sessions of a ticker that stand in the record of returns, under any recipe, shape (T,)."""
    judged = np.zeros(panel.n_sessions, dtype=np.bool_)
    for key in store.keys("ledger"):
        parts = key.split("/")
        if parts[2] == ticker and parts[-1] == RECORD:
            first, last = map(np.datetime64, store.read_json(key)["scored"])
            judged |= (panel.sessions >= first) & (panel.sessions <= last)
    return judged


def _share(
    budget: Budget,
    tiers: Sequence[str],
    curves: dict[tuple[int, str], Curve],
    sessions: Sequence[NDArray[np.int64]],
) -> dict[str, Any]:
    """One point of every curve, or why there is none."""
    point: dict[str, Any] = {
        "share": budget.share,
        "sessions": {"fewest": budget.sessions[0], "most": budget.sessions[1]},
        "reason": budget.reason,
        "arms": {},
    }
    if budget.reason is not None:
        return point
    point |= {"path_sessions": budget.path_sessions, "n_paths": budget.n_paths}
    scratch = curves[budget.share, SCRATCH]
    point["arms"][SCRATCH] = describe_curve(scratch, sessions)
    for tier in tiers:
        own = curves[budget.share, tier]
        point["arms"][tier] = describe_curve(own, sessions) | {
            "against_scratch": describe_difference(own, scratch, sessions)
        }
    return point


def _check(shares: Sequence[int], tiers: Sequence[str], on: str) -> None:
    wrong = [share for share in shares if not 1 <= share <= 100]
    unknown = sorted({*tiers} - {*STRATEGIES})
    if wrong or unknown or not shares or not tiers or on not in WINDOWS:
        raise SettingsError(
            f"shares {list(shares)}, tiers {list(tiers)}, on {on!r}: expected at least one share "
            f"from 1 to 100 and tier of {STRATEGIES}, and windows of {WINDOWS}"
        )


def _ends(fold: Fold) -> tuple[int, int]:
    return fold.validation.first, fold.validation.stop


def _dates(panel: Panel, first: int, stop: int) -> list[str]:
    return [str(panel.sessions[first]), str(panel.sessions[stop - 1])]
