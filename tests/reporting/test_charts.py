"""The numbers behind the charts, and their words."""

import html
import json

import numpy as np
import pytest

from transfergate.reporting import ArmSeries, chart_data
from transfergate.reporting.figures import figures
from transfergate.reporting.learning import learning_data

DAYS = np.arange("2024-01-01", "2024-01-07", dtype="datetime64[D]")
FOLD = np.array([3, 3, 3, 7, 7, 7])


def arm(returns, days=DAYS, fold=FOLD, position=None):
    by_seed = np.atleast_2d(np.array(returns, dtype=float))
    held = None if position is None else np.atleast_2d(np.array(position, dtype=float))
    turnover = None if position is None else np.ones(len(days))
    return ArmSeries(days, fold, by_seed, held, turnover)


@pytest.fixture
def charts():
    return chart_data(
        {
            "finetuned": arm(
                [[0.1, 0.0, 0.0, -0.5, 0.0, 0.0], [0.1, 0.0, 0.0, -0.5, 0.0, 0.0]],
                position=[[1, 1, 0, 0, -1, 0], [0, 0, 0, 0, -1, 0]],
            ),
            "champion": arm([0.2, 0.0, 0.0], DAYS[3:], FOLD[3:]),
        }
    )


def curves(scores, kept, updates=(0, 5, 10)):
    return {
        "updates": list(updates),
        "validation": scores,
        "best_updates": kept,
        "training_updates": [5, 10],
        "training": [[0.1, 0.2]] * len(scores),
    }


def record(name, scores, kept, **changed):
    own = {"curves": curves(scores, kept, **changed)}
    return {"fold": name, "arms": {"finetuned": own, "scratch": own}}


def test_arms_stand_on_one_axis_with_gaps_where_they_have_no_session(charts):
    assert charts["sessions"] == [str(day) for day in DAYS]
    assert charts["arms"]["finetuned"]["equity"] == [1.1, 1.1, 1.1, 0.55, 0.55, 0.55]
    assert charts["arms"]["finetuned"]["drawdown"] == [0.0, 0.0, 0.0, -50.0, -50.0, -50.0]
    assert charts["arms"]["finetuned"]["position"] == [0.5, 0.5, 0.0, 0.0, -1.0, 0.0]
    assert charts["arms"]["champion"]["equity"] == [None, None, None, 1.2, 1.2, 1.2]
    assert charts["arms"]["champion"]["position"] is None


def test_every_test_window_has_its_ends_and_figures(charts):
    assert charts["folds"] == [
        {"name": "fold 3", "first": 0, "last": 2},
        {"name": "fold 7", "first": 3, "last": 5},
    ]
    first, second = charts["arms"]["finetuned"]["folds"]
    assert (first["return"], second["return"]) == (0.1, -0.5)
    assert (first["drawdown"], second["drawdown"]) == (0.0, -50.0)
    assert first["position"] == round(2 / 6, 3)
    assert charts["arms"]["champion"]["folds"][0] is None
    assert charts["arms"]["champion"]["folds"][1]["turnover"] is None


def test_learning_is_averaged_over_folds_and_seeds_without_what_is_no_number():
    found = learning_data(
        [
            record("fold 1", [[0.0, 1.0, None], [0.0, 3.0, 2.0]], [5, 10]),
            record("fold 2", [[0.0, 1.0, 4.0], [0.0, 3.0, 6.0]], [5, 0]),
        ]
    )["scratch"]
    assert found["mean"] == [0.0, 2.0, 4.0]
    assert found["seeds"] == [[0.0, 1.0, 4.0], [0.0, 3.0, 4.0]]
    assert found["kept"] == 5.0
    assert [fold["name"] for fold in found["folds"]] == ["fold 1", "fold 2"]
    assert found["folds"][0]["kept"] == [5, 10]


def test_folds_of_another_budget_or_without_curves_are_left_out():
    records = [
        record("old", [[0.0, 1.0]], [5], updates=(0, 5)),
        {"fold": "older", "arms": {"finetuned": {}, "scratch": {}}},
        record("new", [[0.0, 1.0, 2.0]], [5]),
    ]
    assert [f["name"] for f in learning_data(records)["finetuned"]["folds"]] == ["new"]
    assert learning_data(records[1:2]) == {}
    assert learning_data([]) == {}


def test_the_words_of_a_chart_say_its_numbers(charts):
    charts["learning"] = learning_data([record("fold <1>", [[0.0, 1.0, 2.0]], [5])])
    found = {figure.kind: figure for figure in figures("A<b>", charts)}
    assert list(found) == ["equity", "drawdown", "position", "learning", "training"]
    assert "fine-tuned 0.55, champion 1.20" in found["equity"].says
    assert "2 test windows" in found["equity"].says
    assert "fine-tuned -50 %" in found["drawdown"].says
    assert "after 5 of 10 updates" in found["learning"].says
    assert found["equity"].rows[0] == ("fold 3, 2024-01-01 to 2024-01-03", "+10.0 %", "-")
    text = json.dumps([row for figure in found.values() for row in figure.rows])
    assert "<1>" not in text
    assert html.escape("fold <1>") in text


def test_nothing_to_draw_is_no_figure():
    assert figures("A", chart_data({})) == []
