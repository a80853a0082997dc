import re

import numpy as np
import pytest

from transfergate.reporting import svg

DAYS = np.datetime64("2020-01-01") + np.arange(1000)


def points(path):
    """Absolute points of a relative path."""
    numbers = [int(text) for text in re.findall(r"-?\d+", path)]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


def test_thinning_keeps_ends_and_extremes():
    values = np.random.default_rng(1).normal(size=1000)
    values[417], values[733] = 9.0, -9.0
    kept = svg.extremes(values, 60)
    assert {0, 417, 733, 999} <= set(kept.tolist())
    assert len(kept) <= 62
    assert svg.extremes(values[:50], 60).tolist() == list(range(50))


def test_a_curve_runs_from_corner_to_corner():
    drawing = svg.line_chart({"finetuned": (DAYS, np.linspace(1.0, 2.0, 1000))}, "c", "a", 100)
    drawn = points(re.search(r'class="curve finetuned" d="m([^"]*)"', drawing).group(1))
    assert drawn[0][0] == 0
    assert drawn[-1][0] == svg.BOX_WIDTH
    assert drawn[0][1] > 250
    assert drawn[-1][1] < 50
    assert (np.diff(drawn[:, 1]) <= 0).all()


@pytest.mark.parametrize("values", [np.ones(5), np.zeros(5), np.zeros(1), np.array([0.0, -0.4])])
def test_flat_and_single_sessions_are_drawn(values):
    drawing = svg.line_chart({"scratch": (DAYS[: len(values)], values)}, "c", "a", 100)
    drawn = points(re.search(r'class="curve scratch" d="m([^"]*)"', drawing).group(1))
    assert (drawn >= 0).all()
    assert (drawn[:, 1] <= svg.BOX_HEIGHT).all()


def test_an_axis_shows_zero_and_every_centre_and_cuts_wild_intervals():
    rows = [svg.Estimate(f"T{i}", "open", 0.1 * i, 0.3) for i in range(200)]
    rows.append(svg.Estimate("WILD", "open", 0.0, 400.0))
    scale = svg.forest_scale(rows, 0.05)
    assert scale.low < 0.0 < 19.9 < scale.high < 40.0
    wild = svg.forest_row(rows[-1], scale)
    assert re.search(r"M0 8H1000", wild)
    assert "-658.00 to +658.00" in wild


def test_a_picture_of_all_says_how_many_lie_where():
    rows = [svg.Estimate("A", "bad", -1.0, 0.2), svg.Estimate("B", "good", 1.0, 0.2, 0.5, 0.1)]
    drawing = svg.glance(rows, svg.forest_scale(rows, 0.05), 0.05)
    assert "Differences of 2 tickers" in drawing
    assert "1 above +0.05, 1 below -0.05, from -1.00 to +1.00" in drawing
