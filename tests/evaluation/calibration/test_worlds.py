"""The worlds are those of the definition, to the last bits of the same generator."""

from __future__ import annotations

import numpy as np
import pytest

from transfergate.evaluation.calibration import GUARD_WORLDS, WORLDS, Design, draw_cohort
from transfergate.evaluation.calibration.records import returns_table
from transfergate.evaluation.gate import judge
from transfergate.settings import GateParams

SMALL = Design(n_tickers=3, n_seeds=2, n_folds=2, test_sessions=21, train_sessions=60)

# Of the reference implementation with default_rng(7), world "positive" and the sizes of SMALL:
# mean return of each ticker and seed, and single returns.
FINETUNED = [0.001617537743, 0.001944721893, 0.002217781234,
             0.001131816683, 0.001643753284, 0.001846118918]  # fmt: skip
SCRATCH = [0.001212586563, 0.001256591385, 0.001851700245,
           -0.000154762601, -0.001437915648, 0.000735891528]  # fmt: skip
ZERO_SHOT = [0.00111518973, 0.001166541065, 0.001857385445]
BUY_HOLD = [-0.000705440397, -0.001761606591, -0.000148390932]
SINGLE = {
    "finetuned": (0.01104562604527969, 0.0036062458233638026),
    "scratch": (0.010806659242873884, -0.003413038199457691),
    "zero_shot": (0.007758091813704654, 0.003697133029137696),
    "buy_hold": (-0.01728787681799576, -0.0037471658048758446),
}


def test_one_generator_gives_the_figures_of_the_definition():
    arms = draw_cohort(np.random.default_rng(7), WORLDS["positive"], SMALL).arms
    for arm, means in (("finetuned", FINETUNED), ("scratch", SCRATCH)):
        np.testing.assert_allclose(arms[arm].reshape(6, -1).mean(1), means, rtol=0, atol=6e-13)
        assert (arms[arm][1, 1, 5], arms[arm][2, 0, -1]) == pytest.approx(SINGLE[arm], rel=1e-9)
    for arm, means in (("zero_shot", ZERO_SHOT), ("buy_hold", BUY_HOLD)):
        np.testing.assert_allclose(arms[arm].mean(1), means, rtol=0, atol=6e-13)
        assert (arms[arm][1, 5], arms[arm][2, -1]) == pytest.approx(SINGLE[arm], rel=1e-9)


def test_the_worlds_and_sizes_are_those_of_the_definition():
    assert {name: (world.source, world.target) for name, world in WORLDS.items()} == {
        "null": ((0.0,), (0.0,)),
        "irrelevant_source": ((0.25, 0.1), (0.0,)),
        "positive": ((0.25, 0.1), (0.25, 0.1)),
        "positive_weak": ((0.1,), (0.1,)),
        "negative": ((-0.25, -0.1), (0.25, 0.1)),
        "negative_weak": ((-0.1,), (0.1,)),
    }
    assert not any(world.erosion or world.train_sessions for world in WORLDS.values())
    design = Design()
    assert (design.n_folds, design.test_sessions, design.n_seeds) == (8, 63, 5)
    assert (design.train_sessions, design.purge_sessions, design.penalty) == (120, 1, 150.0)


def test_no_arm_reads_the_sessions_it_is_scored_on(monkeypatch):
    from transfergate.evaluation.calibration import worlds

    seen = []
    honest = worlds._fit

    def fit(x, y, draws, taught, design):
        seen.append(honest(x, y, draws, taught, design))
        last = slice(design.train_sessions + design.purge_sessions + design.test_sessions, None)
        x, y = x.copy(), y.copy()
        x[:, last], y[:, last] = 9.0, -9.0
        seen.append(honest(x, y, draws, taught, design))
        return seen[0]

    monkeypatch.setattr(worlds, "_fit", fit)
    draw_cohort(np.random.default_rng(1), WORLDS["positive"], SMALL)
    before, after = seen
    for arm in before:
        np.testing.assert_array_equal(before[arm], after[arm])


def test_erosion_makes_fine_tuning_worse_than_its_foundation():
    cohort = draw_cohort(np.random.default_rng(3), GUARD_WORLDS["eroded"])
    finetuned, scratch = (cohort.arms[arm].mean(1) for arm in ("finetuned", "scratch"))
    sharpe = [
        float(np.mean(arm.mean(1) / arm.std(1)) * np.sqrt(252))
        for arm in (scratch, finetuned, cohort.arms["zero_shot"])
    ]
    assert sharpe[0] + 0.5 < sharpe[1] < sharpe[2] - 0.5


def test_a_cohort_takes_the_way_of_real_records():
    cohort = draw_cohort(np.random.default_rng(7), WORLDS["positive"], SMALL)
    rule = GateParams(evidence="ticker", min_oos_sessions=42, min_seeds=2)
    reports = judge(returns_table(cohort), rule)["tickers"]
    assert len(reports) == 3
    for i, report in enumerate(reports.values()):
        assert (report["n_sessions"], report["n_folds"], report["n_seeds"]) == (42, 2, 2)
        assert set(report["sharpe"]) == set(cohort.arms)
        mean = cohort.arms["finetuned"][i].mean(0)
        assert report["sharpe"]["finetuned"] == pytest.approx(
            np.sqrt(252) * mean.mean() / mean.std()
        )
        unguarded = [name for name, guard in report["guards"].items() if guard is None]
        assert unguarded == ["champion"]
