"""What the charts of one ticker show, as plain numbers: kept with the evaluation, only drawn later.

The pages inside Airflow and the self-contained report draw the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergate.evaluation.metrics import drawdown_curve, equity_curve
from transfergate.reporting.learning import learning_data
from transfergate.reporting.series import ArmSeries

Charts = Mapping[str, Any]
Floats = NDArray[np.float64]


def chart_data(
    arms: Mapping[str, ArmSeries], records: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Curves of all arms of one ticker on one axis of sessions, ready for JSON.

    Args:
        arms: Series per arm.
        records: Records of its folds, for the learning curves; none where a file was judged.

    Returns:
        ``{"sessions", "folds", "arms", "learning"}``. ``sessions`` are ISO dates, (T,), of all
        arms. ``folds`` has ``{"name", "first", "last"}`` of each test window: its first and last
        index in ``sessions``. An arm has ``equity`` (what 1 became, net of costs),
        ``drawdown`` (per cent below the highest so far) and ``position`` (mean over seeds, None
        where not recorded), each (T,) with None where the arm has no session; and ``folds``: per
        window its ``return``, deepest ``drawdown`` in per cent, mean absolute ``position`` and
        ``turnover`` summed, None where not known. ``learning`` as of ``learning_data``.
    """
    if not arms:
        return {"sessions": [], "folds": [], "arms": {}, "learning": learning_data(records)}
    sessions = np.unique(np.concatenate([item.dates for item in arms.values()]))
    windows = _windows(arms, sessions)
    return {
        "sessions": [str(day) for day in sessions],
        "folds": [
            {
                "name": f"fold {number}",
                "first": int(np.searchsorted(sessions, first)),
                "last": int(np.searchsorted(sessions, last)),
            }
            for number, (first, last) in windows.items()
        ],
        "arms": {name: _arm(item, sessions, windows) for name, item in arms.items()},
        "learning": learning_data(records),
    }


def _windows(
    arms: Mapping[str, ArmSeries], sessions: NDArray[np.datetime64]
) -> dict[int, tuple[np.datetime64, np.datetime64]]:
    """First and last session of every test window, in order."""
    longest = max(arms.values(), key=lambda item: len(item.dates))
    return {
        int(number): (own[0], own[-1])
        for number in np.unique(longest.fold)
        for own in (longest.dates[longest.fold == number],)
    }


def _arm(
    item: ArmSeries,
    sessions: NDArray[np.datetime64],
    windows: Mapping[int, tuple[np.datetime64, np.datetime64]],
) -> dict[str, Any]:
    net = item.net_return
    drawdown = 100.0 * drawdown_curve(net)
    position = None if item.position is None else item.position.mean(axis=0)
    places = np.searchsorted(sessions, item.dates)

    def spread(values: Floats | None, digits: int) -> list[float | None] | None:
        if values is None:
            return None
        found: list[float | None] = [None] * len(sessions)
        for place, value in zip(places.tolist(), np.round(values, digits).tolist(), strict=True):
            found[place] = value + 0.0
        return found

    rows: list[dict[str, float | None] | None] = []
    for number in windows:
        own = item.fold == number
        if not own.any():
            rows.append(None)
            continue
        rows.append(
            {
                "return": round(float(equity_curve(net[own])[-1]) - 1.0, 5),
                "drawdown": round(float(drawdown[own].min()), 2),
                "position": _mean_size(item, own),
                "turnover": None
                if item.turnover is None
                else round(float(item.turnover[own].sum()), 2),
            }
        )
    return {
        "equity": spread(equity_curve(net), 5),
        "drawdown": spread(drawdown, 2),
        "position": spread(position, 3),
        "folds": rows,
    }


def _mean_size(item: ArmSeries, own: NDArray[np.bool_]) -> float | None:
    if item.position is None:
        return None
    return round(float(np.abs(item.position[:, own]).mean()), 3)
