"""The charts of one ticker in words, and the numbers behind each, wherever they are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from transfergate.reporting.charts import Charts
from transfergate.reporting.series import ARM_LABELS
from transfergate.reporting.words import count, number, percent


@dataclass(frozen=True)
class Figure:
    """One chart.

    Attributes:
        kind: What is drawn: ``equity, drawdown, position, learning`` or ``training``.
        title: As text.
        says: What it shows, in a sentence or two, as text.
        head: Names of the columns of the numbers behind it.
        rows: Their cells, as HTML.
    """

    kind: str
    title: str
    says: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figures(ticker: str, charts: Charts) -> list[Figure]:
    """All charts that there are numbers for, in the order in which they are shown."""
    makers = (_equity, _drawdown, _position, _learning, _training)
    return [item for maker in makers if (item := maker(ticker, charts)) is not None]


def _equity(ticker: str, charts: Charts) -> Figure | None:
    arms = charts["arms"]
    if not arms:
        return None
    ends = ", ".join(f"{ARM_LABELS[arm]} {_last(own['equity']):.2f}" for arm, own in arms.items())
    return Figure(
        "equity",
        "Equity: what 1 became, net of costs, mean over seeds",
        f"Equity of {ticker} from {charts['sessions'][0]} to {charts['sessions'][-1]}, over "
        f"{count(len(charts['folds']), 'test window')}. At the end: {ends}.",
        *_by_fold(charts, "return", lambda value: percent(value)),
    )


def _drawdown(ticker: str, charts: Charts) -> Figure | None:
    arms = charts["arms"]
    if not arms:
        return None
    depths = ", ".join(
        f"{ARM_LABELS[arm]} {_low(own['drawdown']):.0f} %" for arm, own in arms.items()
    )
    return Figure(
        "drawdown",
        "Drawdown: per cent below the highest equity so far",
        f"Drawdown of {ticker}. The deepest: {depths}.",
        *_by_fold(charts, "drawdown", lambda value: f"{number(value, 1)} %"),
    )


def _position(ticker: str, charts: Charts) -> Figure | None:
    held = {arm: own for arm, own in charts["arms"].items() if own["position"] is not None}
    if not held:
        return None
    sizes = ", ".join(f"{ARM_LABELS[arm]} {_size(own):.2f}" for arm, own in held.items())
    return Figure(
        "position",
        "Position after each open, mean over seeds",
        f"Positions of {ticker}: 1 is fully long, -1 fully short, 0 flat. Mean size: {sizes}.",
        *_by_fold(charts, "position", lambda value: number(value, 2)),
    )


def _learning(ticker: str, charts: Charts) -> Figure | None:
    learning: Mapping[str, Any] = charts["learning"]
    if not learning:
        return None
    words = []
    for arm, own in learning.items():
        start, end = (number(own["mean"][i], 2, sign=True) for i in (0, -1))
        words.append(
            f"{ARM_LABELS[arm]} from {start} to {end}, its weights taken after {own['kept']:g} of "
            f"{own['updates'][-1]} updates on average"
        )
    seeds = len(next(iter(learning.values()))["seeds"])
    rows = tuple(
        (
            f"{ARM_LABELS[arm]}, {escape(fold['name'])}",
            *(number(_mean([seed[i] for seed in fold["seeds"]]), 2, sign=True) for i in (0, -1)),
            number(
                max((v for seed in fold["seeds"] for v in seed if v is not None), default=None),
                2,
                sign=True,
            ),
            ", ".join(str(update) for update in fold["kept"]),
        )
        for arm, own in learning.items()
        for fold in own["folds"]
    )
    return Figure(
        "learning",
        "Learning curves: Sharpe ratio on validation by update",
        f"Learning of {ticker}, mean over {count(seeds, 'seed')} and the folds: "
        f"{'; '.join(words)}. Validation lies before the test window; nothing here was judged on.",
        (
            "arm and fold",
            "before training",
            "after all updates",
            "best seed",
            "taken at update, by seed",
        ),
        rows,
    )


def _training(ticker: str, charts: Charts) -> Figure | None:
    learning: Mapping[str, Any] = charts["learning"]
    if not learning:
        return None
    ends = {arm: _known(own["training"]) for arm, own in learning.items()}
    words = (
        f"{ARM_LABELS[arm]} from {values[0]:+.1f} to {values[-1]:+.1f}"
        for arm, values in ends.items()
        if values
    )
    rows = tuple(
        (ARM_LABELS[arm], *(f"{values[i]:+.2f}" for i in (0, -1)))
        for arm, values in ends.items()
        if values
    )
    return Figure(
        "training",
        "Objective in training: basis points a session, by update",
        f"What training of {ticker} maximised on its own sessions, while exploring, mean over "
        f"seeds and folds, in basis points a session: {'; '.join(words)}. An arm that rises here "
        f"but not on validation learns by heart.",
        ("arm", "first updates", "last updates"),
        rows,
    )


def _by_fold(
    charts: Charts, name: str, words: Any
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """One figure of every arm, per test window."""
    arms = charts["arms"]
    known = [
        arm
        for arm, own in arms.items()
        if any(row and row[name] is not None for row in own["folds"])
    ]
    rows = []
    for i, fold in enumerate(charts["folds"]):
        first, last = (charts["sessions"][fold[end]] for end in ("first", "last"))
        cells = [arms[arm]["folds"][i] for arm in known]
        shown = ("-" if row is None or row[name] is None else words(row[name]) for row in cells)
        rows.append((f"{escape(fold['name'])}, {first} to {last}", *shown))
    return ("test window", *(ARM_LABELS[arm] for arm in known)), tuple(rows)


def _known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _last(values: list[float | None]) -> float:
    return _known(values)[-1]


def _low(values: list[float | None]) -> float:
    return min(_known(values))


def _size(arm: Mapping[str, Any]) -> float:
    held = _known(arm["position"])
    return sum(abs(value) for value in held) / len(held)


def _mean(values: list[float | None]) -> float | None:
    known = _known(values)
    return sum(known) / len(known) if known else None
