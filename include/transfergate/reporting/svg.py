"""Two figures as inline SVG: intervals side by side, and curves over time.

Colours are CSS variables of the page, so that one figure serves light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

Z90 = 1.645
"""Half width of a two-sided 90 % interval in standard errors."""
MAX_POINTS = 500


@dataclass(frozen=True)
class Interval:
    """One row of a forest plot: an estimate with its standard error, and a shrunken one."""

    label: str
    css_class: str
    centre: float
    se: float
    shrunken: float | None = None
    shrunken_se: float | None = None


def forest_plot(rows: Sequence[Interval], axis_label: str, limit: float) -> str:
    """Estimates with 90 % intervals, one row each; a line at 0 and a band of +-``limit``."""
    left, width, top, row_height = 150, 560, 8, 26
    low = min(0.0, *(row.centre - Z90 * row.se for row in rows))
    high = max(0.0, *(row.centre + Z90 * row.se for row in rows))
    pad = 0.05 * (high - low or 1.0)
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return left + width * (value - low) / (high - low)

    bottom = top + row_height * len(rows)
    parts = [
        f'<rect class="band" x="{x(-limit):.1f}" y="{top}" width="{x(limit) - x(-limit):.1f}" '
        f'height="{bottom - top}"/>',
        *(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>'
            f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 15}" text-anchor="middle">'
            f"{_label(tick)}</text>"
            for tick in _ticks(low, high)
        ),
        f'<line class="axis" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top}" y2="{bottom}"/>',
    ]
    for i, row in enumerate(rows):
        y = top + row_height * (i + 0.5)
        title = f"{row.label}: {row.centre:+.2f}, standard error {row.se:.2f}"
        parts.append(
            f'<g class="{row.css_class}"><title>{escape(title)}</title>'
            f'<text x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(row.label)}</text>'
            f'<line class="interval" x1="{x(row.centre - Z90 * row.se):.1f}" '
            f'x2="{x(row.centre + Z90 * row.se):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle cx="{x(row.centre):.1f}" cy="{y:.1f}" r="4.5"/></g>'
        )
        if row.shrunken is not None and row.shrunken_se is not None:
            ends = (row.shrunken - Z90 * row.shrunken_se, row.shrunken + Z90 * row.shrunken_se)
            parts.append(
                f'<g class="shrunken"><title>{escape(row.label)} shrunken: {row.shrunken:+.2f}'
                f'</title><line x1="{x(ends[0]):.1f}" x2="{x(ends[1]):.1f}" y1="{y + 6:.1f}" '
                f'y2="{y + 6:.1f}"/><circle cx="{x(row.shrunken):.1f}" cy="{y + 6:.1f}" r="3"/></g>'
            )
    parts.append(
        f'<text class="tick" x="{left + width / 2}" y="{bottom + 32}" text-anchor="middle">'
        f"{escape(axis_label)}</text>"
    )
    return _svg(left + width + 20, bottom + 40, parts, axis_label)


def line_chart(
    curves: Mapping[str, tuple[NDArray[np.datetime64], NDArray[np.float64]]], title: str
) -> str:
    """Curves over time; a curve named ``a`` gets the class ``curve a``."""
    left, width, top, height = 52, 660, 10, 220
    days = np.unique(np.concatenate([dates for dates, _ in curves.values()]))
    values = np.concatenate([series for _, series in curves.values()])
    low, high = float(values.min()), float(values.max())
    pad = 0.04 * (high - low or 0.1)
    low, high = low - pad, high + pad
    span = max(int((days[-1] - days[0]).astype(int)), 1)

    def x(day: np.datetime64) -> float:
        return left + width * int((day - days[0]).astype(int)) / span

    def y(value: float) -> float:
        return top + height * (high - value) / (high - low)

    parts = [
        f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y(tick):.1f}" '
        f'y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">'
        f"{_label(tick)}</text>"
        for tick in _ticks(low, high)
    ]
    for day in days[np.linspace(0, len(days) - 1, min(5, len(days))).astype(int)]:
        parts.append(
            f'<text class="tick" x="{x(day):.1f}" y="{top + height + 16}" text-anchor="middle">'
            f"{day}</text>"
        )
    for name, (dates, series) in curves.items():
        keep = np.unique(np.linspace(0, len(dates) - 1, min(len(dates), MAX_POINTS)).astype(int))
        points = " ".join(f"{x(dates[i]):.1f},{y(float(series[i])):.1f}" for i in keep)
        parts.append(
            f'<polyline class="curve {escape(name)}" points="{points}">'
            f"<title>{escape(name)}</title></polyline>"
        )
    return _svg(left + width + 40, top + height + 24, parts, title)


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** floor(log10((high - low) / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 7)
    return [round(i * step, 10) for i in range(ceil(low / step), floor(high / step) + 1)]


def _label(tick: float) -> str:
    return f"{tick:g}"
