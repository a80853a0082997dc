"""Training in a process that is killed by SIGKILL at random moments, again and again."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

PROGRAM = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from transfergate.learning import Checkpoint, StackPlan, TrainingSlice, init_weights
from transfergate.learning import score_greedy, train_stack
from transfergate.market import planted_panel
from transfergate.settings import MarketParams, NetworkParams, OptimiserParams, Regularisation
from transfergate.storage import ArtefactStore

torch.set_num_threads(1)
into, models = sys.argv[1], 24
panel = planted_panel(3, 300, n_noise=3, seed=0)
network = NetworkParams(encoder="gru", encoder_units=24, head_units=24)
optimiser = OptimiserParams(n_updates=60, n_paths=3, path_sessions=40, burn_in_sessions=8,
                            tail_sessions=8, n_validations=6)
plan = StackPlan(
    slices=tuple(TrainingSlice((i % 3,), 0, 250) for i in range(models)),
    seeds=tuple(range(models)), learning_rates=(1e-2,) * models,
    regularisations=(Regularisation(input_noise=0.5),) * models,
    frozen_groups=(frozenset(),) * models)
def validate(weights):
    r = score_greedy(panel, weights, network, MarketParams(), [0] * models, 250, 299, 8).net_return
    return torch.nan_to_num(r.mean(1) / r.std(1))
start = init_weights(network, 4, 3, plan.seeds)
print("ready", flush=True)
end = train_stack(panel, start, network, MarketParams(), optimiser, plan, validate=validate,
                  checkpoint=Checkpoint(ArtefactStore(Path(into)), "kept", every_updates=1),
                  on_progress=lambda p: print(p.update, flush=True))
tensors = {f"w/{k}": v for k, v in end.weights.items()}
tensors |= {f"last/{k}": v for k, v in end.last_weights.items()}
tensors |= {f"meter/{k}": v for k, v in vars(end.meter).items()}
tensors |= {"objective": end.objective, "validation": end.validation, "best": end.best_update}
save_file({k: v.contiguous() for k, v in tensors.items()}, f"{into}/end")
"""


def test_a_run_killed_while_it_saves_after_every_update_ends_with_the_same_bytes(tmp_path: Path):
    """With a checkpoint after every update most kills fall into or next to a write."""
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir()
    torn.mkdir()
    command = [sys.executable, "-c", PROGRAM]
    subprocess.run([*command, str(whole)], check=True, stdout=subprocess.DEVNULL, timeout=200)
    moments, kills, first_updates = random.Random(7), 0, []
    for _ in range(4):
        process = subprocess.Popen([*command, str(torn)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        first_updates.append(process.stdout.readline().strip())
        for _ in range(moments.randrange(3, 9)):
            process.stdout.readline()
        time.sleep(moments.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    subprocess.run([*command, str(torn)], check=True, stdout=subprocess.DEVNULL, timeout=200)
    assert kills == 4
    reached = [int(update) for update in first_updates]
    assert reached == sorted(reached)
    assert reached[-1] > 10, f"later runs resumed: {json.dumps(reached)}"
    assert (torn / "end").read_bytes() == (whole / "end").read_bytes()
    assert load_file(torn / "end")["meter/updates"].tolist() == [60] * 24
