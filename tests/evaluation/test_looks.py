"""When a look is admissible, at which level, and what the schedule of levels is worth."""

from __future__ import annotations

import multiprocessing
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtri

from transfergate.calendars import exchange_sessions
from transfergate.evaluation.lookbook import LookBook
from transfergate.evaluation.looks import (
    LEVELS,
    Axis,
    Look,
    describe,
    rule_of_look,
    standing,
)
from transfergate.settings import GateParams, LookParams
from transfergate.storage import ArtefactStore

SESSIONS = np.array(
    exchange_sessions("XNYS", date(2010, 1, 4), date(2019, 12, 31)), dtype="datetime64[D]"
)
AXIS = Axis(SESSIONS, 63)


def record(n_sessions):
    return SESSIONS[:n_sessions]


def take(looks, n_sessions, *, recipe="r1", per_year=1, verdict="INCONCLUSIVE"):
    """Look if it is admissible; returns the standing."""
    params = LookParams(per_year=per_year)
    now = standing(looks, recipe, record(n_sessions), params, AXIS)
    if now.state == "look":
        days = record(n_sessions)
        looks.append(
            Look(
                "GOOG", recipe, len(looks) + 1, "c", verdict, str(days[0]), str(days[-1]),
                n_sessions, per_year, rule_of_look(GateParams(), params).alpha_promote, "e1",
            )
        )  # fmt: skip
    return now


def block(now, taken=None, per_year=1, state="look"):
    params = LookParams(per_year=per_year)
    return describe(now, rule_of_look(GateParams(), params), params, AXIS, state=state, taken=taken)


def test_a_further_look_needs_new_sessions():
    looks = []
    assert take(looks, 504, per_year=4).state == "look"
    assert take(looks, 504, per_year=4).state == "repeated"
    late = take(looks, 504 + 62, per_year=4)
    assert (late.state, late.new_sessions) == ("repeated", 62)
    assert take(looks, 504 + 63, per_year=4).state == "look"
    assert [look.number for look in looks] == [1, 2]


@pytest.mark.parametrize("per_year", [1, 2, 3, 4])
def test_a_year_holds_as_many_looks_as_were_planned(per_year):
    looks = []
    for more in range(0, 252, 63):
        take(looks, 504 + more, per_year=per_year)
    assert len(looks) == per_year
    assert all(look.level == pytest.approx(LEVELS[per_year]) for look in looks)
    assert take(looks, 504 + 252, per_year=per_year).state == "look"


def test_a_sixth_look_within_a_year_is_not_taken_until_the_year_has_passed():
    looks, params = [], LookParams(per_year=5, min_new_sessions=21)
    for n_sessions in range(504, 504 + 5 * 21, 21):
        now = standing(looks, "r1", record(n_sessions), params, AXIS)
        assert now.state == "look"
        days = record(n_sessions)
        look = Look("T", "r1", len(looks) + 1, "c", "INCONCLUSIVE", str(days[0]), str(days[-1]),
                    n_sessions, 5, 0.048, "e")  # fmt: skip
        looks.append(look)
    sixth = standing(looks, "r1", record(504 + 5 * 21), params, AXIS)
    assert sixth.state == "repeated"
    assert sixth.new_sessions == 21
    said = describe(sixth, GateParams(), params, AXIS, state="repeated")
    # 105 sessions after the first look: 147 more make the year; blocks of 63
    assert said["next_admissible_sessions"] == 189
    assert standing(looks, "r1", record(504 + 252), params, AXIS).state == "look"


def test_another_recipe_on_used_sessions_is_a_further_look():
    looks = []
    take(looks, 504, per_year=2)
    assert take(looks, 504, recipe="r2", per_year=2).state == "look"
    assert [look.number for look in looks] == [1, 2]
    third = take(looks, 504, recipe="r3", per_year=2)
    assert third.state == "refused"
    assert block(third, per_year=2, state="refused")["next_admissible_sessions"] == 252
    assert take(looks, 504, recipe="r1", per_year=2).state == "repeated"


def test_sessions_that_nobody_looked_at_are_free():
    looks = []
    take(looks, 504)
    later = SESSIONS[600:1104]
    assert standing(looks, "r2", later, LookParams(), AXIS).state == "look"


def test_looks_of_different_plans_share_one_year():
    looks = []
    take(looks, 504, per_year=4)
    take(looks, 567, per_year=4)
    assert take(looks, 630, per_year=1).state == "repeated"
    assert take(looks, 630, per_year=2).state == "look"
    assert take(looks, 693, per_year=4).state == "repeated"


def test_a_block_says_number_level_alpha_spent_and_the_next_date():
    looks = []
    now = take(looks, 504, per_year=4)
    said = block(now, looks[-1], per_year=4)
    assert said["number"] == 1
    assert said["level"] == pytest.approx(0.054)
    assert said["threshold"] == pytest.approx(1 - 0.054)
    assert said["alpha_spent"] == pytest.approx(0.054)
    assert said["new_sessions"] == 504
    assert said["next_admissible_sessions"] == 63
    assert said["next_admissible_date"] == str(SESSIONS[503 + 63])
    now = take(looks, 504 + 20, per_year=4)
    waiting = block(now, per_year=4, state="repeated")
    assert waiting["next_admissible_sessions"] == 63
    assert waiting["evaluation"] == "e1"


def test_alpha_spent_grows_by_a_tenth_a_year():
    looks = []
    spent = []
    for year in range(4):
        for quarter in range(4):
            now = take(looks, 504 + 252 * year + 63 * quarter, per_year=4)
            spent.append(block(now, looks[-1], per_year=4)["alpha_spent"])
    assert spent[3::4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert spent == sorted(spent)


def test_one_look_a_year_is_the_gates_own_rule():
    assert rule_of_look(GateParams(), LookParams()) == GateParams()
    quarterly = rule_of_look(GateParams(), LookParams(per_year=4))
    assert quarterly.alpha_promote == pytest.approx(0.054)
    assert quarterly.posterior_promote == pytest.approx(0.946)
    assert quarterly.alpha_reject == GateParams().alpha_reject


def size(levels, *, first=252, step=63, n_years=200_000, seed=7):
    """Probability that a worthless recipe passes at least one look; closed form under the null.

    The estimate over T sessions is B(T)/T for a Brownian motion B: the looks are correlated as
    those of an expanding record are.
    """
    rng = np.random.default_rng(seed)
    steps = np.sqrt(np.r_[first, np.full(len(levels) - 1, step)])
    paths = np.cumsum(rng.standard_normal((n_years, len(levels))) * steps, axis=1)
    sessions = first + step * np.arange(len(levels))
    return float((paths / np.sqrt(sessions) > -ndtri(np.asarray(levels))).any(axis=1).mean())


@pytest.mark.parametrize("per_year", LEVELS)
def test_the_planned_looks_of_a_year_together_have_size_ten_percent(per_year):
    error = np.sqrt(0.1 * 0.9 / 200_000)
    assert abs(size([LEVELS[per_year]] * per_year) - 0.10) < 2.58 * error + 0.001


def test_looking_again_at_the_full_level_has_not():
    assert size([0.10] * 5) > 0.18
    assert size([LEVELS[k] for k in range(1, 6)]) > 0.135


def _look(number, recipe="r1"):
    return Look("GOOG", recipe, number, "c", "PROMOTE", "2010-01-04", "2012-01-03", 504, 1, 0.1)


def test_the_book_is_append_only_and_refuses_a_taken_number(tmp_path):
    book = LookBook(ArtefactStore(tmp_path))
    assert book.read() == (0, {})
    assert book.record(1, "e1", [_look(1)])
    assert book.record(1, "e1", [_look(1)])
    assert not book.record(1, "e2", [_look(1, "r2")])
    number, looks = book.read()
    assert number == 1
    assert [look.evaluation for look in looks["GOOG"]] == ["e1"]
    assert book.record(5, "e3", [])
    assert book.read()[0] == 1


def _race(root: Path, recipe: str, out) -> None:
    book = LookBook(ArtefactStore(root))
    while True:
        number, looks = book.read()
        if book.record(number + 1, f"e-{recipe}", [_look(len(looks.get("GOOG", [])) + 1, recipe)]):
            out.put(recipe)
            return


def test_looks_of_concurrent_processes_are_all_counted_once(tmp_path):
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    processes = [context.Process(target=_race, args=(tmp_path, f"r{i}", out)) for i in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    looks = LookBook(ArtefactStore(tmp_path)).read()[1]["GOOG"]
    assert [look.number for look in looks] == list(range(1, 7))
    assert {look.recipe for look in looks} == {f"r{i}" for i in range(6)}


def test_alpha_spent_is_what_the_looks_were_taken_at():
    dates = record(756)
    spent = [
        Look("GOOG", "r1", n, "c", "PROMOTE", str(dates[0]), str(dates[252 * n - 1]), 252 * n, 1, a)
        for n, a in ((1, 0.3), (2, 0.1))
    ]
    now = standing(spent, "r1", dates, LookParams(), AXIS)
    assert block(now)["alpha_spent"] == pytest.approx(0.4)  # not twice the present level
