"""What every algorithm promises of a whole training run."""

import math

import pytest
import torch
from torch import Tensor

from transfergate.errors import TrainingError
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
from transfergate.learning.sampling import PathSampler
from transfergate.market import Panel, planted_panel
from transfergate.market.optimum import optimum_sharpe
from transfergate.settings import (
    CloningParams,
    DqnParams,
    MarketParams,
    NetworkParams,
    OptimiserParams,
    Regularisation,
    SampledParams,
)
from transfergate.storage import ArtefactStore

MARKET = MarketParams()
SHORT: dict[str, object] = {
    "n_updates": 6,
    "n_paths": 3,
    "path_sessions": 20,
    "burn_in_sessions": 6,
    "tail_sessions": 4,
    "n_validations": 3,
    "max_gradient_norm": 0.02,
}
KINDS: dict[str, dict[str, object]] = {
    "exact_a2c": {},
    "ppo": {
        "epochs": 2,
        "sampled": SampledParams(n_minibatches=2, entropy_bonus=0.01, value_clip=0.5),
    },
    "a2c": {"schedule": "linear", "sampled": SampledParams(gae_lambda=1.0)},
    "dqn": {"epochs": 2, "dqn": DqnParams(target_rate=1.0, target_every=4)},
    "dqn plain": {"schedule": "constant", "dqn": DqnParams(double=False, dueling=False)},
    "ppo cloned": {"cloning_updates": 3, "cloning": CloningParams(window=4)},
}
STACK_TOLERANCE = 2e-5


def optimiser(kind: str, **changes: object) -> OptimiserParams:
    sizes = {**SHORT, **KINDS[kind], "algorithm": kind.split()[0], **changes}
    return OptimiserParams(**sizes)  # type: ignore[arg-type]


def plan(models: int) -> StackPlan:
    return StackPlan(
        slices=tuple(TrainingSlice((i % 3,), 10 * i, 150 + 10 * i) for i in range(models)),
        seeds=tuple(range(100, 100 + models)),
        learning_rates=tuple(1e-2 / (1 + i) for i in range(models)),
        regularisations=tuple(
            Regularisation(input_noise=0.5 * (i % 2), l1_first_layer=1e-3 * i, l2_pull=0.01 * i)
            for i in range(models)
        ),
        frozen_groups=tuple(frozenset({"encoder"} if i == 2 else ()) for i in range(models)),
    )


def only(whole: StackPlan, model: int) -> StackPlan:
    return StackPlan(
        **{name: (getattr(whole, name)[model],) for name in StackPlan.__dataclass_fields__}
    )


def panel_with_defects() -> Panel:
    panel = planted_panel(3, 220, n_noise=3)
    panel.tradable[0, 50:60] = False
    panel.ready[1, :25] = False
    return panel


def net(encoder: str = "gru") -> NetworkParams:
    return NetworkParams(encoder=encoder, encoder_units=6, head_units=5)


def run(panel: Panel, sizes: OptimiserParams, whole: StackPlan, **more: object) -> TrainingResult:
    network = net()
    start = more.pop("start", None) or init_weights(network, 4, 3, whole.seeds)
    return train_stack(panel, start, network, MARKET, sizes, whole, **more)  # type: ignore[arg-type]


def largest_difference(a: Weights, b: Weights) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_trains_the_same_alone_and_in_a_stack(kind: str):
    panel, sizes, whole = panel_with_defects(), optimiser(kind), plan(3)
    start = init_weights(net(), 4, 3, whole.seeds)
    together = run(panel, sizes, whole, start=start)
    for model in range(3):
        own = select_models(start, [model])
        alone = run(panel, sizes, only(whole, model), start=own)
        in_stack = select_models(together.weights, [model])
        assert largest_difference(alone.weights, in_stack) < STACK_TOLERANCE
        assert largest_difference(in_stack, own) > 100 * STACK_TOLERANCE
        torch.testing.assert_close(alone.objective[:, 0], together.objective[:, model])


@pytest.mark.parametrize("kind", ["ppo", "dqn", "ppo cloned"])
def test_the_head_of_a_frozen_encoder_trains_on_its_kept_states(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    panel, sizes = panel_with_defects(), optimiser(kind)
    quiet = (Regularisation(),) * 2
    frozen = (frozenset({"encoder"}),) * 2
    whole = StackPlan(**{**vars(plan(2)), "regularisations": quiet, "frozen_groups": frozen})
    # A GRU's kept states remember more than the burn-in; a memoryless network's are the same.
    network = net("mlp")
    start = init_weights(network, 4, 3, whole.seeds)
    kept = train_stack(panel, start, network, MARKET, sizes, whole).weights
    gather, kept_states = PathSampler.gather, []

    def without_states(self, draw, models, embeddings=None):
        kept_states.append(embeddings is not None)
        return gather(self, draw, models)

    monkeypatch.setattr(PathSampler, "gather", without_states)
    fresh = train_stack(panel, start, network, MARKET, sizes, whole).weights
    assert all(kept_states)
    assert largest_difference(kept, fresh) < STACK_TOLERANCE
    assert torch.equal(kept["encoder.input"], start["encoder.input"])
    assert largest_difference(kept, start) > 100 * STACK_TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_and_policies_alone_come_back(kind: str):
    panel, sizes, whole = panel_with_defects(), optimiser(kind), plan(2)
    scored = []

    def validate(weights: Weights) -> Tensor:
        scored.append(set(weights))
        return torch.zeros(2)

    a, b = run(panel, sizes, whole, validate=validate), run(panel, sizes, whole)
    for name in a.last_weights:
        assert torch.equal(a.last_weights[name], b.last_weights[name])
    assert torch.equal(a.objective, b.objective)
    policy = set(init_weights(net(), 4, 3, [0]))
    assert set(a.weights) == set(a.last_weights) == policy
    assert scored == [policy] * 4
    learns_values = kind in ("ppo", "a2c", "dqn", "ppo cloned")
    assert (a.critic_parameters > 0) == learns_values
    steps = sizes.epochs * sizes.sampled.n_minibatches
    if kind == "ppo cloned":
        assert steps == 1
    assert a.meter.updates.tolist() == [6 * steps] * 2
    assert a.meter.env_steps.tolist() == [6 * 3 * 20] * 2


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, kind: str):
    panel, sizes, whole = panel_with_defects(), optimiser(kind), plan(2)
    uninterrupted = run(panel, sizes, whole)

    def kill(progress):
        if progress.update == 5:
            raise Killed

    kept = Checkpoint(ArtefactStore(tmp_path), "run.safetensors", every_updates=2)
    with pytest.raises(Killed):
        run(panel, sizes, whole, checkpoint=kept, on_progress=kill)
    done: list[int] = []
    resumed = run(panel, sizes, whole, checkpoint=kept, on_progress=lambda p: done.append(p.update))
    assert done == [5, 6]
    for name in resumed.weights:
        assert torch.equal(uninterrupted.weights[name], resumed.weights[name])
    assert torch.equal(uninterrupted.objective, resumed.objective)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_at_or_after_stop_is_read(kind: str):
    panel, poisoned = panel_with_defects(), panel_with_defects()
    for name in ("features", "overnight", "intraday"):
        getattr(poisoned, name)[:, 60:] = math.nan
    poisoned.ready[:, 60:] = poisoned.tradable[:, 60:] = False
    whole = StackPlan(**{**vars(plan(2)), "slices": (TrainingSlice((0, 1, 2), 0, 60),) * 2})
    sizes = optimiser(kind, n_updates=12)
    a, b = run(panel, sizes, whole), run(poisoned, sizes, whole)
    for name in a.weights:
        assert torch.equal(a.weights[name], b.weights[name])


def test_schedules_change_the_path_of_the_learning_rate():
    panel, whole = panel_with_defects(), plan(2)
    cosine, linear, constant = (
        run(panel, optimiser("exact_a2c", schedule=kind), whole).weights
        for kind in ("cosine", "linear", "constant")
    )
    assert largest_difference(cosine, linear) > 1e-4
    assert largest_difference(linear, constant) > 1e-4


@pytest.mark.parametrize("algorithm", ["exact_ppo", "exact_a2c", "ppo", "a2c", "dqn"])
def test_each_algorithm_earns_most_of_the_planted_optimum_within_seconds(algorithm: str):
    panel = planted_panel(8, 1000, n_noise=3, seed=6)
    network = NetworkParams(encoder="mlp", encoder_units=12, head_units=12)
    sizes = OptimiserParams(
        algorithm=algorithm, n_updates=70, n_paths=8, path_sessions=60, burn_in_sessions=2
    )
    whole = StackPlan(
        slices=(TrainingSlice((0, 1, 2, 3), 2, 1000),) * 3,
        seeds=(1, 2, 3),
        learning_rates=(1e-2,) * 3,
        regularisations=(Regularisation(input_noise=0.3),) * 3,
        frozen_groups=(frozenset(),) * 3,
    )
    start = init_weights(network, 4, 3, whole.seeds)
    trained = train_stack(panel, start, network, MARKET, sizes, whole).weights
    sharpe = torch.zeros(3)
    for row in (4, 5, 6, 7):
        r = score_greedy(panel, trained, network, MARKET, [row] * 3, 2, 1000, 2).net_return
        sharpe += (r.mean(1) / r.std(1)).float() * 252**0.5 / 4
    best = optimum_sharpe(panel, MARKET, rows=(4, 5, 6, 7), first=2)
    assert float(sharpe.min()) > 0.8 * best.sharpe
    assert float(sharpe.max()) < 1.1 * best.sharpe


def test_a_reward_that_the_algorithm_does_not_cover_is_refused_by_name():
    panel, whole = panel_with_defects(), plan(1)
    start = init_weights(net(), 4, 3, whole.seeds)
    market = MarketParams(reward="drawdown")
    with pytest.raises(TrainingError, match=r"'exact_a2c' does not cover.*'drawdown'.*ppo, a2c"):
        train_stack(panel, start, net(), market, optimiser("exact_a2c"), whole)
