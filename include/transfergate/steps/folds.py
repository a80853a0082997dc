"""The folds that one target can be judged on now."""

from __future__ import annotations

import logging
from collections.abc import Collection

from transfergate.errors import NotEnoughData
from transfergate.evaluation.splits import (
    Fold,
    Window,
    sessions_missing,
    usable_folds,
    walk_forward_folds,
)
from transfergate.market.panel import Panel
from transfergate.settings import WalkForwardParams
from transfergate.transfer.pretraining import first_ready
from transfergate.transfer.scoring import test_window

log = logging.getLogger(__name__)

MIN_READY_SHARE = 0.9
"""Share of a fold's test sessions whose features must be known before it is scored, once."""


def target_folds(
    panel: Panel,
    first_session_ordinal: int,
    params: WalkForwardParams,
    *,
    pretrained: Collection[int],
    recorded: Collection[int],
) -> list[Fold]:
    """Folds of one ticker, oldest first.

    A fold whose test sessions have not all arrived waits for a later run: the record is written
    once, and would keep the gaps as zeros.

    Args:
        panel: The ticker alone.
        first_session_ordinal: Ordinal of session 0 in the exchange calendar.
        params: Lengths in sessions.
        pretrained: Numbers of the folds that the foundation has a checkpoint for.
        recorded: Numbers of the folds that are in the record already.

    Raises:
        NotEnoughData: If there is none, with the sessions that are missing for the first.
    """
    ticker, first = panel.tickers[0], first_ready(panel, [0])
    grid = walk_forward_folds(len(panel.sessions), first_session_ordinal, params)
    fitting = usable_folds(grid, first, params)
    folds = []
    for fold in fitting:
        if fold.number not in pretrained:
            continue
        if fold.number in recorded or _has_arrived(panel, test_window(fold)):
            folds.append(fold)
        else:
            log.warning("%s: %s waits for the bars of its test sessions", ticker, fold.name)
    if folds:
        return folds
    missing = sessions_missing(len(panel.sessions), first_session_ordinal, first, params)
    known = f"{ticker}: {int(panel.ready[0].sum())} sessions with all features known"
    if not fitting:
        raise NotEnoughData(
            f"{known}, no walk-forward fold fits; the first one ends {missing} sessions from now",
            missing_sessions=missing,
        )
    raise NotEnoughData(
        f"{known}; {len(fitting)} walk-forward folds fit, but the foundation has none of them or "
        f"their test sessions lack bars; pre-train on this snapshot, or ingest the missing bars",
        missing_sessions=missing,
    )


def _has_arrived(panel: Panel, test: Window) -> bool:
    ready = panel.ready[0, test.first : test.stop].double().mean()
    return bool(panel.tradable[0, test.stop - 1 :].any()) and float(ready) >= MIN_READY_SHARE
