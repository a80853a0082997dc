"""Several tickers in one stack: what each would have got alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from transfergate.errors import TrainingError
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Checkpoint, init_weights
from transfergate.market import Panel, planted_panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
)
from transfergate.storage import ArtefactStore
from transfergate.transfer import arms, together
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmRun, ArmsTask

MARKET = MarketParams()
PARAMS = FinetuneParams(
    optimiser=OptimiserParams(
        n_updates=4, n_paths=3, path_sessions=30, burn_in_sessions=4, tail_sessions=4,
        n_validations=2,
    ),
    grid=(Regularisation(input_noise=0.3), Regularisation(input_noise=1.0, l1_first_layer=1e-2)),
    n_seeds=3,
)  # fmt: skip


def tasks(panel: Panel) -> list[ArmsTask]:
    """Three tickers with different folds; the third trades at a cost of its own."""
    found = []
    for row, ticker in enumerate(panel.tickers):
        own = Panel(
            (ticker,),
            panel.sessions,
            *(
                getattr(panel, name)[row : row + 1]
                for name in ("features", "overnight", "intraday", "tradable", "ready")
            ),
            torch.full((1, panel.n_sessions), 3e-3, dtype=torch.float64) if row == 2 else None,
        )
        folds = [
            Fold(0, Window(5, 150), Window(155, 190), Window(195, 220)),
            Fold(1, Window(5, 200 + 10 * row), Window(215 + 10 * row, 260), Window(265, 290)),
        ][: 2 - row % 2]
        refit = Fold(-1, Window(5, 240), Window(245, 290), None)
        weights = init_weights(NETWORK, panel.n_features, 3, range(row, row + len(folds) + 1))
        arms_of_fold = [(FINETUNED, SCRATCH)] * len(folds) + [(FINETUNED,)]
        found.append(ArmsTask(own, [*folds, refit], weights, arms_of_fold, ("seed", ticker)))
    return found


NETWORK = NetworkParams(encoder="gru", encoder_units=8, head_units=8)
PANEL = planted_panel(3, 300, n_noise=3, seed=2)


def alone(task: ArmsTask, params: FinetuneParams = PARAMS) -> list[ArmRun]:
    return arms.train_arms(
        task.panel,
        task.folds,
        task.foundations,
        arms_of_fold=task.arms_of_fold,
        market=MARKET,
        network=NETWORK,
        params=params,
        seed_parts=task.seed_parts,
        on_progress=None,
    )


def jointly(given: list[ArmsTask], **more: Any) -> list[list[ArmRun]]:
    values: dict[str, Any] = {
        "market": MARKET, "network": NETWORK, "params": PARAMS, "checkpoint": None,
        "on_progress": None,
    }  # fmt: skip
    return together.train_together(given, **{**values, **more})


def assert_same(a: ArmRun, b: ArmRun) -> None:
    for name in a.weights:
        assert torch.equal(a.weights[name], b.weights[name]), name
    for name in vars(a):
        if name != "weights":
            assert getattr(a, name) == getattr(b, name), name


@pytest.mark.parametrize("room", [1.0, 0.0])
def test_each_ticker_gets_what_it_gets_alone(room: float, monkeypatch: pytest.MonkeyPatch):
    """To the byte; with no room at all every ticker is a stack of its own."""
    monkeypatch.setattr(together, "_STATE_FRAC", room)
    given = tasks(PANEL)
    found = jointly(given)
    assert [len(runs) for runs in found] == [5, 3, 5]
    for task, runs in zip(given, found, strict=True):
        for one, other in zip(alone(task), runs, strict=True):
            assert_same(one, other)
    assert found[0][0].costs != found[2][0].costs


def test_a_killed_group_resumes_and_leaves_no_checkpoint(tmp_path):
    store = ArtefactStore(tmp_path)
    kept = Checkpoint(store, "work/group", every_updates=2)

    def kill(progress: Any) -> None:
        if progress.update == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jointly(tasks(PANEL), checkpoint=kept, on_progress=kill)
    assert store.exists("work/group-0")
    done: list[int] = []
    again = jointly(tasks(PANEL), checkpoint=kept, on_progress=lambda p: done.append(p.update))
    assert done == [3, 4]
    assert not store.exists("work/group-0")
    for one, other in zip(jointly(tasks(PANEL)), again, strict=True):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)


def test_tickers_of_two_calendars_are_refused():
    given = tasks(PANEL)
    other = replace(given[1].panel, sessions=given[1].panel.sessions + 1)
    with pytest.raises(TrainingError, match="different calendars"):
        jointly([given[0], replace(given[1], panel=other)])


def test_joint_panels_keep_the_names_of_their_features_and_each_ones_costs():
    panels = [replace(task.panel, feature_names=("a", "b", "c", "d")) for task in tasks(PANEL)]
    joint = together.join_panels(panels)
    assert joint.tickers == PANEL.tickers
    assert joint.feature_names == ("a", "b", "c", "d")
    assert torch.equal(joint.features, PANEL.features)
    assert joint.cost_rate is not None
    assert joint.cost_rate[:2].isnan().all()
    assert (joint.cost_rate[2] == 3e-3).all()
    assert together.join_panels(panels[:2]).cost_rate is None
