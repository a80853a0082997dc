import math

import pytest
import torch
from torch import Tensor

from transfergate.errors import NotEnoughData, TrainingError
from transfergate.learning import (
    Checkpoint,
    StackPlan,
    TrainingResult,
    TrainingSlice,
    Weights,
    init_weights,
    score_greedy,
    select_models,
    train_stack,
)
from transfergate.market import Panel, planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation
from transfergate.storage import ArtefactStore

MARKET = MarketParams()
SHORT = OptimiserParams(
    n_updates=6,
    epochs=2,
    n_paths=3,
    path_sessions=20,
    burn_in_sessions=6,
    tail_sessions=4,
    n_validations=3,
    max_gradient_norm=0.02,
)
STACK_TOLERANCE = 2e-5
"""Largest difference of a weight between training alone and in a stack, after 12 steps."""


def network(encoder: str = "gru") -> NetworkParams:
    return NetworkParams(encoder=encoder, encoder_units=6, head_units=5)


def plan(models: int, **changes: object) -> StackPlan:
    entries: dict[str, object] = {
        "slices": tuple(TrainingSlice((i % 3,), 10 * i, 150 + 10 * i) for i in range(models)),
        "seeds": tuple(range(100, 100 + models)),
        "learning_rates": tuple(1e-2 / (1 + i) for i in range(models)),
        "regularisations": tuple(
            Regularisation(input_noise=0.5 * (i % 2), l1_first_layer=1e-3 * i, l2_pull=0.01 * i)
            for i in range(models)
        ),
        "frozen_groups": tuple(frozenset({"encoder"} if i == 2 else ()) for i in range(models)),
    }
    return StackPlan(**(entries | changes))  # type: ignore[arg-type]


def only(whole: StackPlan, model: int) -> StackPlan:
    return StackPlan(
        **{name: (getattr(whole, name)[model],) for name in StackPlan.__dataclass_fields__}
    )


def panel_with_defects(seed: int = 0) -> Panel:
    panel = planted_panel(3, 220, n_noise=3, seed=seed)
    panel.tradable[0, 50:60] = False
    panel.ready[1, :25] = False
    return panel


def sharpe_of(panel: Panel, net: NetworkParams, rows: list[int]):
    def validate(weights: Weights) -> Tensor:
        r = score_greedy(panel, weights, net, MARKET, rows, 150, 200, 6).net_return
        return torch.nan_to_num(r.mean(1) / r.std(1))

    return validate


def train(
    panel: Panel, whole: StackPlan, net: NetworkParams, weights: Weights, **more: object
) -> TrainingResult:
    optimiser = more.pop("optimiser", SHORT)
    return train_stack(panel, weights, net, MARKET, optimiser, whole, **more)  # type: ignore[arg-type]


def largest_difference(a: Weights, b: Weights) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("encoder", ["gru", "lstm", "mlp"])
def test_a_model_trains_the_same_alone_and_in_a_stack(encoder: str):
    panel, net, whole = panel_with_defects(), network(encoder), plan(4)
    start = init_weights(net, 4, 3, whole.seeds)
    together = train(panel, whole, net, start)
    for model in range(4):
        alone = train(panel, only(whole, model), net, select_models(start, [model]))
        in_stack = select_models(together.weights, [model])
        assert largest_difference(alone.weights, in_stack) < STACK_TOLERANCE
        moved = largest_difference(in_stack, select_models(start, [model]))
        assert moved > 100 * STACK_TOLERANCE
        torch.testing.assert_close(alone.objective[:, 0], together.objective[:, model])


def test_sub_stacks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch):
    panel, net, whole = panel_with_defects(), network(), plan(5)
    start = init_weights(net, 4, 3, whole.seeds)
    at_once = train(panel, whole, net, start)
    monkeypatch.setattr("transfergate.learning.groups.CPU_MODELS_AT_ONCE", 2)
    in_parts = train(panel, whole, net, start)
    assert largest_difference(at_once.weights, in_parts.weights) < STACK_TOLERANCE


def test_the_same_seed_gives_the_same_bytes_and_the_start_is_unchanged():
    panel, net, whole = panel_with_defects(), network(), plan(3)
    start = init_weights(net, 4, 3, whole.seeds)
    copy = {name: value.clone() for name, value in start.items()}
    a, b = train(panel, whole, net, start), train(panel, whole, net, start)
    for name in start:
        assert torch.equal(a.weights[name], b.weights[name])
        assert torch.equal(start[name], copy[name])
    assert torch.equal(a.objective, b.objective)
    other = train(panel, plan(3, seeds=(1, 2, 3)), net, start)
    assert largest_difference(a.weights, other.weights) > 1e-4


def test_frozen_parameters_keep_every_bit():
    panel, net = panel_with_defects(), network()
    frozen = (frozenset({"encoder"}), frozenset({"encoder.input", "head.bias"}), frozenset())
    whole = plan(3, frozen_groups=frozen)
    start = init_weights(net, 4, 3, whole.seeds)
    end = train(panel, whole, net, start).weights
    for name in start:
        rests = [name.startswith("encoder"), name in {"encoder.input", "head.bias"}, False]
        same = [torch.equal(start[name][m], end[name][m]) for m in range(3)]
        assert same == rests, name
    all_frozen = plan(3, frozen_groups=(frozenset({"encoder"}),) * 3)
    end = train(panel, all_frozen, net, start).weights
    assert torch.equal(start["encoder.recurrent"], end["encoder.recurrent"])
    assert not torch.equal(start["head.hidden"], end["head.hidden"])


def test_nothing_at_or_after_stop_is_read():
    panel, poisoned = panel_with_defects(), panel_with_defects()
    stop = 150
    for name in ("features", "overnight", "intraday"):
        getattr(poisoned, name)[:, stop:] = math.nan
    poisoned.ready[:, stop:] = False
    poisoned.tradable[:, stop:] = False
    net = network()
    whole = plan(3, slices=(TrainingSlice((0, 1, 2), 0, stop),) * 3)
    start = init_weights(net, 4, 3, whole.seeds)
    optimiser = SHORT.model_copy(update={"n_updates": 30})
    a = train(panel, whole, net, start, optimiser=optimiser)
    b = train(poisoned, whole, net, start, optimiser=optimiser)
    for name in start:
        assert torch.equal(a.weights[name], b.weights[name])


def test_decisions_before_first_are_not_trained_on():
    panel, other = panel_with_defects(), panel_with_defects()
    # Returns up to session ``first`` belong to earlier decisions; features may warm the encoder.
    other.overnight[:, :61] = 0.3
    other.intraday[:, :61] = -0.2
    net, whole = network(), plan(2, slices=(TrainingSlice((0,), 60, 150),) * 2)
    start = init_weights(net, 4, 3, whole.seeds)
    a, b = train(panel, whole, net, start), train(other, whole, net, start)
    assert largest_difference(a.weights, b.weights) == 0.0


def test_validation_selects_the_best_weights_and_the_budget_runs_in_full():
    panel, net, whole = panel_with_defects(), network(), plan(2)
    start = init_weights(net, 4, 3, whole.seeds)
    seen: list[Weights] = []
    scores = iter([[0.5, 0.1], [0.4, 0.3], [0.6, math.nan], [0.2, 0.2]])

    def validate(weights: Weights) -> Tensor:
        seen.append({name: value.clone() for name, value in weights.items()})
        return torch.tensor(next(scores))

    progress = []
    result = train(
        panel, whole, net, start, validate=validate, on_progress=lambda p: progress.append(p)
    )
    assert result.validation_updates == (0, 2, 4, 6)
    assert result.best_update.tolist() == [4, 2]
    torch.testing.assert_close(result.best_score, torch.tensor([0.6, 0.3]))
    for name in start:
        assert torch.equal(seen[0][name], start[name])
        assert torch.equal(result.weights[name][0], seen[2][name][0])
        assert torch.equal(result.weights[name][1], seen[1][name][1])
        assert torch.equal(result.last_weights[name], seen[3][name])
    assert [p.update for p in progress] == [1, 2, 3, 4, 5, 6]
    assert (result.steps_per_model, result.updates_per_model) == (6 * 3 * 20, 12)
    assert result.meter.env_steps.tolist() == [6 * 3 * 20] * 2
    assert result.objective.shape == (6, 2)


class Killed(Exception):
    pass


def test_the_meter_counts_the_latest_return_that_was_read():
    panel, net = panel_with_defects(), network()
    slices = tuple(TrainingSlice((i,), 0, stop) for i, stop in enumerate((90, 150)))
    whole = plan(2, slices=slices)
    few = SHORT.model_copy(update={"n_updates": 40, "n_paths": 8, "tail_sessions": 0})
    result = train(panel, whole, net, init_weights(net, 4, 3, whole.seeds), optimiser=few)
    # starts are drawn from many: the last possible one is seldom missed, and never passed
    for last, stop in zip(result.meter.last_session.tolist(), (90, 150), strict=True):
        assert stop - 4 <= last <= stop - 1
    shocked = panel.intraday.clone()
    shocked[0, int(result.meter.last_session[0]) + 1 :] += 0.3
    other = Panel(**{**vars(panel), "intraday": shocked})
    again = train(other, whole, net, init_weights(net, 4, 3, whole.seeds), optimiser=few)
    assert torch.equal(again.objective[:, 0], result.objective[:, 0])


@pytest.mark.parametrize("killed_after", [2, 3, 5])
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, killed_after: int):
    panel, net, whole = panel_with_defects(), network(), plan(3)
    start = init_weights(net, 4, 3, whole.seeds)
    validate = sharpe_of(panel, net, [0, 1, 2])
    whole_run = train(panel, whole, net, start, validate=validate)

    def kill(progress):
        if progress.update == killed_after:
            raise Killed

    kept = Checkpoint(ArtefactStore(tmp_path), "progress/run.safetensors", every_updates=2)
    with pytest.raises(Killed):
        train(panel, whole, net, start, validate=validate, checkpoint=kept, on_progress=kill)
    done = []
    resumed = train(
        panel,
        whole,
        net,
        start,
        validate=validate,
        checkpoint=kept,
        on_progress=lambda p: done.append(p.update),
    )
    assert done[0] == killed_after - killed_after % 2 + 1
    for name in start:
        assert torch.equal(whole_run.weights[name], resumed.weights[name])
        assert torch.equal(whole_run.last_weights[name], resumed.last_weights[name])
    for name in ("best_score", "best_update", "objective", "validation"):
        assert torch.equal(getattr(whole_run, name), getattr(resumed, name)), name
    for name in ("env_steps", "updates", "last_session"):
        counted = getattr(whole_run.meter, name)
        assert torch.equal(counted, getattr(resumed.meter, name)), name
        assert bool((counted > 0).all())
    again = train(panel, whole, net, start, validate=validate, checkpoint=kept)
    assert torch.equal(again.objective, whole_run.objective)


def test_a_checkpoint_of_other_inputs_or_torn_is_not_resumed(tmp_path):
    panel, net, whole = panel_with_defects(), network(), plan(2)
    start = init_weights(net, 4, 3, whole.seeds)
    kept = Checkpoint(ArtefactStore(tmp_path), "run.safetensors", every_updates=2)
    train(panel, whole, net, start, checkpoint=kept)
    expected = train(panel, plan(2, seeds=(8, 9)), net, start)
    fresh = train(panel, plan(2, seeds=(8, 9)), net, start, checkpoint=kept)
    assert largest_difference(expected.weights, fresh.weights) == 0.0
    kept.store.replace(kept.key, b"torn")
    fresh = train(panel, plan(2, seeds=(8, 9)), net, start, checkpoint=kept)
    assert largest_difference(expected.weights, fresh.weights) == 0.0


def test_divergence_names_the_model_and_the_update():
    panel, net, whole = panel_with_defects(), network(), plan(3)
    start = init_weights(net, 4, 3, whole.seeds)
    start["head.hidden"][1] = math.nan
    with pytest.raises(TrainingError, match="model 1: the loss is not finite at update 0"):
        train(panel, whole, net, start)


def test_inputs_that_do_not_fit_are_refused():
    panel, net = panel_with_defects(), network()
    start = init_weights(net, 4, 3, [0, 1])
    with pytest.raises(TrainingError, match="2 entries each"):
        train(panel, plan(3), net, start)
    with pytest.raises(TrainingError, match="for 5 features"):
        train(panel, plan(2), net, init_weights(net, 5, 3, [0, 1]))
    slices = (TrainingSlice((0,), 0, 100), TrainingSlice((1,), 0, 40))
    with pytest.raises(NotEnoughData, match="model 1: a path needs 20 decisions"):
        train(panel, plan(2, slices=slices), net, start)
    with pytest.raises(NotEnoughData, match="leaves the panel"):
        train(panel, plan(2, slices=(TrainingSlice((3,), 0, 100),) * 2), net, start)


def test_training_finds_most_of_the_planted_edge_on_unseen_tickers():
    panel = planted_panel(5, 1000, n_noise=7, seed=1)
    net = NetworkParams(encoder_units=12, head_units=12)
    optimiser = OptimiserParams(
        n_updates=80, epochs=1, n_paths=8, path_sessions=100, burn_in_sessions=16, tail_sessions=8
    )
    whole = StackPlan(
        slices=(TrainingSlice((0, 1, 2), 0, 1000),) * 2,
        seeds=(1, 2),
        learning_rates=(1e-2,) * 2,
        regularisations=(Regularisation(input_noise=1.0),) * 2,
        frozen_groups=(frozenset(),) * 2,
    )
    start = init_weights(net, 8, 3, whole.seeds)
    end = train(panel, whole, net, start, optimiser=optimiser).weights

    def out_of_sample(weights: Weights) -> Tensor:
        r = torch.cat(
            [
                score_greedy(panel, weights, net, MARKET, [row] * 2, 0, 999, 16).net_return
                for row in (3, 4)
            ],
            dim=1,
        )
        return r.mean(1) / r.std(1) * 252**0.5

    assert out_of_sample(end).min() > 1.8  # the best threshold rule on the signal earns about 3.3
