import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from transfergate.errors import TrainingError
from transfergate.learning import (
    StackPlan,
    TrainingResult,
    TrainingSlice,
    groups,
    init_weights,
    train_stack,
)
from transfergate.learning.groups import (
    Groups,
    bytes_per_model,
    is_out_of_memory,
    models_at_once,
)
from transfergate.market import planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation

CPU = torch.device("cpu")
SHORT = OptimiserParams(
    n_updates=3, epochs=2, n_paths=2, path_sessions=40, burn_in_sessions=8, tail_sessions=8
)


def trained(models: int, network: NetworkParams, optimiser: OptimiserParams) -> TrainingResult:
    plan = StackPlan(
        slices=tuple(TrainingSlice((i % 3,), 0, 280) for i in range(models)),
        seeds=tuple(range(models)),
        learning_rates=(1e-2,) * models,
        regularisations=(Regularisation(input_noise=0.5, l1_first_layer=1e-3),) * models,
        frozen_groups=(frozenset(),) * models,
    )
    start = init_weights(network, 4, 3, plan.seeds)
    panel = planted_panel(3, 300, n_noise=3, seed=0)
    return train_stack(panel, start, network, MarketParams(), optimiser, plan)


@pytest.mark.parametrize("encoder", ["gru", "lstm", "mlp"])
def test_the_size_of_the_groups_changes_no_bit(encoder: str, monkeypatch: pytest.MonkeyPatch):
    """Widths are multiples of 8: every model's matrices start on the bounds of a vector."""
    network = NetworkParams(encoder=encoder, encoder_units=8, head_units=8)
    whole = trained(26, network, SHORT)
    for size in (1, 7):
        monkeypatch.setattr(groups, "CPU_MODELS_AT_ONCE", size)
        parts = trained(26, network, SHORT)
        for name, value in whole.weights.items():
            assert torch.equal(value, parts.weights[name]), (size, name)
        assert torch.equal(whole.objective, parts.objective)


def test_groups_fit_the_memory_and_the_cache():
    assert models_at_once(10 << 20, 64 << 30, CPU) == 64
    assert models_at_once(10 << 20, 200 << 20, CPU) == 10
    assert models_at_once(10 << 20, 1 << 20, CPU) == 1
    assert models_at_once(10 << 20, 64 << 30, torch.device("cuda")) == 2048


def test_a_container_s_limit_counts(tmp_path: Path):
    assert groups._cgroup_room(tmp_path) == groups._UNLIMITED
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert groups._cgroup_room(tmp_path) == groups._UNLIMITED
    (tmp_path / "memory.max").write_text("1000\n")
    assert groups._cgroup_room(tmp_path) == 700


def test_what_is_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(KeyError("out of memory"))


def test_what_a_failed_update_changed_is_put_back():
    state = {"w": torch.arange(10.0)}
    tried: list[tuple[int, int]] = []

    def work(some: slice) -> None:
        tried.append((some.start, some.stop))
        state["w"][some] += 1.0
        if some.stop - some.start > 2:
            torch.empty(1 << 50)

    walk = Groups(8)
    walk.each(slice(0, 10), [state], work)
    assert torch.equal(state["w"], torch.arange(10.0) + 1.0)
    assert tried == [(0, 8), (0, 4), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    assert (walk.size, walk.halved) == (2, [8, 4])


def test_other_errors_pass_and_one_model_that_does_not_fit_is_said():
    def broken(some: slice) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        Groups(4).each(slice(0, 4), [], broken)
    with pytest.raises(TrainingError, match="one model; lower n_paths"):
        Groups(4).each(slice(0, 4), [], lambda some: torch.empty(1 << 50))


IN_A_PROCESS_OF_ITS_OWN = """
import hashlib, json, resource, sys
import torch
sys.path.insert(0, {here!r})
from test_groups import SHORT, trained
from transfergate.learning import groups
from transfergate.settings import NetworkParams
torch.set_num_threads(1)
network = NetworkParams(encoder="lstm", encoder_units=32, head_units=32)
many = SHORT.model_copy(update={{"n_paths": 8, "path_sessions": 120, "n_updates": 2}})
halved, real = [], groups.Groups._halve
def noted(self, some):
    real(self, some)
    halved.append(self.size)
groups.Groups._halve = noted
def memory():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
def train():
    end = trained(32, network, many)
    parts = [value.numpy().tobytes() for _, value in sorted(end.weights.items())]
    return hashlib.sha256(b"".join(parts)).hexdigest()
trained(1, network, many)
used = memory()
resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20), resource.RLIM_INFINITY))
tight = train()
after = list(halved)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
free = train()
grown = memory() - used
print(json.dumps({{"halved": after, "again": halved[len(after):], "tight": tight, "free": free,
                   "grown": grown}}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS")
def test_out_of_memory_halves_the_group_and_the_result_is_the_same_to_the_byte():
    """A real limit on the address space; freed buffers stay mapped, so growth is the peak."""
    code = IN_A_PROCESS_OF_ITS_OWN.format(here=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["halved"], "the limit was not felt; lower it"
    assert told["again"] == []
    assert told["tight"] == told["free"]
    network = NetworkParams(encoder="lstm", encoder_units=32, head_units=32)
    sizes = SHORT.model_copy(update={"n_paths": 8, "path_sessions": 120})
    bound = 32 * bytes_per_model(network, sizes, 4, 3)
    assert 0.7 * told["grown"] < bound < 4.0 * told["grown"]
