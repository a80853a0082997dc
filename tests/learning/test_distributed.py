"""Two real processes under torchrun, over gloo, against one process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from transfergate.learning.distributed import Ranks

PROGRAM = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from transfergate.errors import TrainingError
from transfergate.learning import Checkpoint, StackPlan, TrainingSlice, init_weights
from transfergate.learning import score_greedy, train_stack
from transfergate.learning.distributed import Ranks, joined
from transfergate.market import planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation
from transfergate.storage import ArtefactStore

torch.set_num_threads(1)
into, spoilt = Path(sys.argv[1]), "--spoilt" in sys.argv
MODELS = 5

def run():
    ranks = Ranks.current()
    panel = planted_panel(3, 300, n_noise=3, seed=0)
    network = NetworkParams(encoder="gru", encoder_units=8, head_units=8)
    optimiser = OptimiserParams(
        n_updates=10, n_paths=3, path_sessions=40, burn_in_sessions=8, tail_sessions=8,
        n_validations=3,
    )
    plan = StackPlan(
        slices=tuple(TrainingSlice((i % 3,), 0, 250) for i in range(MODELS)),
        seeds=tuple(range(MODELS)),
        learning_rates=tuple(1e-2 / (1 + i) for i in range(MODELS)),
        regularisations=(Regularisation(input_noise=0.5, l1_first_layer=1e-3),) * MODELS,
        frozen_groups=(frozenset(),) * MODELS,
    )
    start = init_weights(network, 4, 3, plan.seeds)
    if spoilt:
        start["head.hidden"][4] = float("nan")
    def validate(weights):
        r = score_greedy(panel, weights, network, MarketParams(), [0] * MODELS, 250, 299, 8)
        return torch.nan_to_num(r.net_return.mean(1) / r.net_return.std(1))
    told = []
    kept = Checkpoint(ArtefactStore(into), f"kept-{ranks.world}", every_updates=4)
    try:
        end = train_stack(panel, start, network, MarketParams(), optimiser, plan,
                          validate=validate, checkpoint=kept, on_progress=told.append)
    except TrainingError as error:
        (into / f"error-{ranks.world}-{ranks.rank}").write_text(str(error))
        return
    tensors = {f"w/{k}": v for k, v in end.weights.items()}
    tensors |= {f"last/{k}": v for k, v in end.last_weights.items()}
    tensors |= {f"meter/{k}": v for k, v in vars(end.meter).items()}
    tensors |= {"objective": end.objective, "validation": end.validation,
                "best_update": end.best_update, "best_score": end.best_score}
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    save_file(tensors, into / f"end-{ranks.world}-{ranks.rank}.safetensors")
    (into / f"told-{ranks.world}-{ranks.rank}").write_text(json.dumps(len(told)))

if "--alone" in sys.argv:
    run()
else:
    with joined():
        run()
"""


def start(folder: Path, processes: int, *more: str) -> None:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    python = [sys.executable]
    if processes > 1:
        python += ["-m", "torch.distributed.run", "--standalone"]
        python += ["--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*python, str(program), str(folder), *more], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    start(folder, 1, "--alone")
    start(folder, 2)
    return folder


def test_two_processes_give_the_bytes_of_one(folder: Path):
    alone = load_file(folder / "end-1-0.safetensors")
    for rank in (0, 1):
        shared = load_file(folder / f"end-2-{rank}.safetensors")
        assert shared.keys() == alone.keys()
        for name, value in alone.items():
            assert torch.equal(value, shared[name]), (rank, name)
    assert int(alone["meter/updates"].min()) == 10


def test_one_process_keeps_the_checkpoint_and_tells_the_progress(folder: Path):
    assert json.loads((folder / "told-2-0").read_text()) == 10
    assert json.loads((folder / "told-2-1").read_text()) == 0
    one, two = load_file(folder / "kept-1"), load_file(folder / "kept-2")
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


def test_a_defect_on_one_rank_is_said_by_all_and_none_waits(tmp_path: Path):
    start(tmp_path, 2, "--spoilt")
    said = [(tmp_path / f"error-2-{rank}").read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    assert "model 4: the loss is not finite at update 0" in said[0]
    assert "rank 1 of 2" in said[0]


def test_shares_cover_the_models_and_differ_by_one_at_most():
    for models in (0, 1, 2, 9, 10):
        for world in (1, 2, 3, 4):
            shares = [Ranks(rank, world).share(models) for rank in range(world)]
            assert [m for s in shares for m in range(s.start, s.stop)] == list(range(models))
            sizes = [s.stop - s.start for s in shares]
            assert max(sizes) - min(sizes) <= 1
