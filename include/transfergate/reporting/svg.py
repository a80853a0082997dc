"""Figures as inline SVG: intervals in a row of a table, all intervals at a glance, and curves.

Drawings stretch with the page (``preserveAspectRatio="none"``) and hold lines only; labels are
HTML beside them, so that text keeps its size on a phone. Colours are CSS variables of the page.
Coordinates are whole numbers in a box of fixed size, written relative to the last point, which
keeps a page of hundreds of tickers small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfergate.reporting.words import Z90, interval, number

BOX_WIDTH = 1000
BOX_HEIGHT = 300
ROW_HEIGHT = 24
OUTER_SHARE = 0.02
"""Share of intervals' ends, on each side, that may leave the picture."""


@dataclass(frozen=True)
class Estimate:
    """One ticker's difference with its standard error, and the one shrunken by the pool."""

    label: str
    tone: str
    centre: float
    se: float
    shrunken: float | None = None
    shrunken_se: float | None = None


@dataclass(frozen=True)
class Scale:
    """A horizontal axis of differences."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Where a value lies, in per cent of the width, kept inside."""
        return min(max(100.0 * (value - self.low) / (self.high - self.low), 0.0), 100.0)

    def ticks(self) -> list[float]:
        """Round values on the axis."""
        return ticks(self.low, self.high)


def forest_scale(rows: Sequence[Estimate], limit: float) -> Scale:
    """An axis that shows 0, all centres, the band, and nearly all 90 % intervals."""
    centres = [row.centre for row in rows]
    lows = [row.centre - Z90 * row.se for row in rows]
    highs = [row.centre + Z90 * row.se for row in rows]
    low = min(-limit, *centres, float(np.quantile(lows, OUTER_SHARE)))
    high = max(limit, *centres, float(np.quantile(highs, 1 - OUTER_SHARE)))
    pad = 0.03 * (high - low or 1.0)
    return Scale(low - pad, high + pad)


def forest_row(row: Estimate, scale: Scale) -> str:
    """One ticker's intervals as a thin drawing; an interval that leaves the axis is cut."""
    parts = [_whisker(row.centre, row.se, scale, 8, f"raw {row.tone}")]
    label = f"90 % interval {interval(row.centre, row.se)}"
    if row.shrunken is not None and row.shrunken_se is not None:
        parts.append(_whisker(row.shrunken, row.shrunken_se, scale, 18, "shrunken"))
        label += f"; shrunken {number(row.shrunken, 2, sign=True)}, "
        label += interval(row.shrunken, row.shrunken_se)
    return _svg(ROW_HEIGHT, parts, label)


def bar_row(centre: float, se: float, scale: Scale) -> str:
    """A bar from 0 to a value, with its 90 % interval, as a thin drawing."""
    zero = round(BOX_WIDTH / 100 * scale.share(0.0))
    end = round(BOX_WIDTH / 100 * scale.share(centre))
    parts = [
        f'<path class="bar" d="M{zero} 12H{end}"/>',
        f'<path class="zero" d="M{zero} 0V{ROW_HEIGHT}"/>',
        _whisker(centre, se, scale, 12, "error"),
    ]
    value = number(centre, 2, sign=True)
    return _svg(ROW_HEIGHT, parts, f"{value}, 90 % interval {interval(centre, se)}")


def glance(rows: Sequence[Estimate], scale: Scale, limit: float) -> str:
    """All tickers side by side, the lowest difference first: raw intervals, shrunken dots."""
    ordered = sorted(rows, key=lambda row: (row.centre, row.label))
    step = BOX_WIDTH / len(ordered)
    parts: list[str] = []
    for i, row in enumerate(ordered):
        x = round(step * (i + 0.5))
        top, bottom = (
            round(BOX_HEIGHT * (1 - scale.share(row.centre + side * Z90 * row.se) / 100))
            for side in (1, -1)
        )
        y = round(BOX_HEIGHT * (1 - scale.share(row.centre) / 100))
        parts.append(f'<g class="raw {row.tone}"><path d="M{x} {top}V{bottom}"/>{_dot(x, y)}</g>')
    for i, row in enumerate(ordered):
        if row.shrunken is not None:
            y = round(BOX_HEIGHT * (1 - scale.share(row.shrunken) / 100))
            parts.append(f'<g class="shrunken">{_dot(round(step * (i + 0.5)), y)}</g>')
    above = sum(row.centre > limit for row in rows)
    below = sum(row.centre < -limit for row in rows)
    label = (
        f"Differences of {len(rows)} tickers from the lowest to the highest: {above} above "
        f"{limit:+.2f}, {below} below {-limit:+.2f}, from {ordered[0].centre:+.2f} to "
        f"{ordered[-1].centre:+.2f}."
    )
    lines = _grid(scale.ticks(), scale.low, scale.high)
    caption = "All differences, lowest first: dot and line with its 90 % interval"
    caption += "; small grey dot: shrunken" if any(row.shrunken for row in rows) else ""
    return _chart(
        "glance", caption, _svg(BOX_HEIGHT, [lines, *parts], label), scale.low, scale.high
    )


def line_chart(
    curves: Mapping[str, tuple[NDArray[Any], NDArray[np.float64]]],
    caption: str,
    alternative: str,
    points: int,
) -> str:
    """Curves over days or over a count; a curve named ``a`` gets the class ``curve a``.

    Args:
        curves: Days or whole numbers, ascending, and values of each, both of shape (T,).
        caption: As text.
        alternative: What the figure says, for those who do not see it.
        points: About how many points of a curve are kept: the lowest and highest of each stretch.
    """
    first = min(places[0] for places, _ in curves.values())
    last = max(places[-1] for places, _ in curves.values())
    span = max(int((last - first).astype(int)), 1)
    low = min(float(values.min()) for _, values in curves.values())
    high = max(float(values.max()) for _, values in curves.values())
    pad = 0.04 * (high - low) or 0.05
    low, high = low - pad, high + (pad if high != 0.0 else 0.0)
    parts = [_grid(ticks(low, high), low, high)]
    for name, (places, values) in curves.items():
        keep = extremes(values, points)
        x = np.rint(BOX_WIDTH * (places[keep] - first).astype(np.int64) / span)
        y = np.rint(BOX_HEIGHT * (high - values[keep]) / (high - low))
        parts.append(f'<path class="curve {escape(name)}" d="{_path(x, y)}"/>')
    dated = np.issubdtype(first.dtype, np.datetime64)
    marks = _time_marks(first, last) if dated else [(0.0, f"{first}"), (100.0, f"{last}")]
    return _chart("lines", caption, _svg(BOX_HEIGHT, parts, alternative), low, high, marks)


def band_chart(
    curves: Mapping[str, Sequence[tuple[float, float, float, float]]],
    caption: str,
    alternative: str,
    marks: Sequence[tuple[float, str]],
) -> str:
    """Curves with bands over a horizontal axis in per cent, a dot at every point.

    Args:
        curves: Name -> ``(x in per cent, value, low, high)`` by ascending x; a curve named ``a``
            gets the classes ``curve a`` and ``band a``.
        caption: As text.
        alternative: What the figure says, for those who do not see it.
        marks: Labels of the horizontal axis: (per cent, text).
    """
    points = [point for own in curves.values() for point in own]
    low, high = min(0.0, *(p[2] for p in points)), max(0.0, *(p[3] for p in points))
    pad = 0.04 * (high - low) or 0.05
    low, high = low - pad, high + pad

    def height(value: float) -> int:
        return round(BOX_HEIGHT * (high - value) / (high - low))

    parts = [_grid(ticks(low, high), low, high)]
    for name, own in curves.items():
        around = [(p[0], p[3]) for p in own] + [(p[0], p[2]) for p in reversed(own)]
        outline = " ".join(f"{round(BOX_WIDTH / 100 * x)} {height(y)}" for x, y in around)
        parts.append(f'<path class="band {escape(name)}" d="M{outline}z"/>')
    for name, own in curves.items():
        places = [(round(BOX_WIDTH / 100 * p[0]), height(p[1])) for p in own]
        line = " ".join(f"{x} {y}" for x, y in places)
        dots = "".join(_dot(x, y) for x, y in places)
        css_class = escape(name)
        parts.append(
            f'<path class="curve {css_class}" d="M{line}"/><g class="{css_class}">{dots}</g>'
        )
    return _chart("lines", caption, _svg(BOX_HEIGHT, parts, alternative), low, high, marks)


def extremes(values: NDArray[np.float64], points: int) -> NDArray[np.int64]:
    """Indices of the first, the last, and the lowest and highest value of each stretch."""
    n = len(values)
    if n <= points:
        return np.arange(n)
    edges = np.linspace(0, n, max(points // 2, 1) + 1).astype(np.int64)
    kept = {0, n - 1}
    for start, stop in pairwise(edges.tolist()):
        kept.add(start + int(np.argmin(values[start:stop])))
        kept.add(start + int(np.argmax(values[start:stop])))
    return np.array(sorted(kept))


def ticks(low: float, high: float) -> list[float]:
    """About five round values between two ends."""
    step = 10 ** floor(log10((high - low) / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [round(i * step, 10) for i in range(ceil(low / step), floor(high / step) + 1)]


def _time_marks(first: np.datetime64, last: np.datetime64) -> list[tuple[float, str]]:
    """Both ends by date, and the years between that leave room for them: (per cent, label)."""
    span = max(int((last - first).astype(int)), 1)
    marks = [(0.0, str(first))]
    for year in range(int(str(first)[:4]) + 1, int(str(last)[:4]) + 1):
        share = 100.0 * int((np.datetime64(f"{year}-01-01") - first).astype(int)) / span
        if share - marks[-1][0] >= 20.0 and share <= 78.0:
            marks.append((share, str(year)))
    return [*marks, (100.0, str(last))]


def _whisker(centre: float, se: float, scale: Scale, y: int, css_class: str) -> str:
    left, middle, right = (
        round(BOX_WIDTH / 100 * scale.share(value))
        for value in (centre - Z90 * se, centre, centre + Z90 * se)
    )
    return f'<g class="{css_class}"><path d="M{left} {y}H{right}"/>{_dot(middle, y)}</g>'


def _dot(x: int, y: int) -> str:
    """A line without length has round ends: a dot that stretching leaves round."""
    return f'<path class="dot" d="M{x} {y}h0"/>'


def _grid(values: Sequence[float], low: float, high: float) -> str:
    heights = {value: round(BOX_HEIGHT * (high - value) / (high - low)) for value in values}
    lines = "".join(f"M0 {y}H{BOX_WIDTH}" for value, y in heights.items() if value != 0.0)
    zero = f'<path class="zero" d="M0 {heights[0.0]}H{BOX_WIDTH}"/>' if 0.0 in heights else ""
    return f'<path class="grid" d="{lines}"/>{zero}'


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    points = np.stack((x, y), axis=1).astype(np.int64)
    steps = np.diff(points, axis=0, prepend=[[0, 0]]).tolist()
    return "m" + "".join(f" {dx} {dy}" for dx, dy in steps).replace(" -", "-").lstrip()


def _chart(
    css_class: str,
    caption: str,
    drawing: str,
    low: float,
    high: float,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """A drawing with its labels, which a screen reader leaves to the drawing's own text."""
    title = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    sides = "".join(
        f'<span class="y" style="top:{100 * (high - tick) / (high - low):.1f}%">{tick:g}</span>'
        for tick in ticks(low, high)
    )
    below = "".join(f'<span class="x" style="left:{at:.1f}%">{text}</span>' for at, text in marks)
    return (
        f'<figure class="chart {css_class}">{title}<div class="plot">{drawing}'
        f'<div aria-hidden="true">{sides}{below}</div></div></figure>'
    )


def _svg(height: int, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {BOX_WIDTH} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
