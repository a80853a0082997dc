"""Real processes write one ledger at once, and are killed in the middle of it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transfergate.evaluation.ledger import Ledger
from transfergate.storage import ArtefactStore

N_FOLDS, N_ARMS, N_ROWS = 14, 6, 2 * 63

WRITER = """
import os, random, sys
import numpy as np, pyarrow as pa
from pathlib import Path
from transfergate.errors import StorageConflict
from transfergate.evaluation.ledger import Ledger
from transfergate.storage import ArtefactStore

root, order, n_folds, value = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
ledger = Ledger(ArtefactStore(root))
folds = list(range(n_folds))
random.Random(order).shuffle(folds)

def rows(fold):
    dates = np.datetime64("2012-01-02") + 63 * fold + np.tile(np.arange(63), 2)
    returns = np.full(126, float(value) + fold)
    return pa.table({"seed": pa.array(np.repeat([0, 1], 63), pa.int32()),
                     "session_date": pa.array(dates, pa.date32()), "net_return": returns,
                     "position": returns, "turnover": returns, "cost": returns})

print("ready", flush=True)
sys.stdin.readline()
for fold in folds:
    arms = ("finetuned", "scratch", "zero_shot", "buy_hold", "ridge", "random")
    try:
        new = ledger.publish_fold("r", "T", fold, {arm: rows(fold) for arm in arms},
                                  {"fold": fold}, {"weights.safetensors": bytes(200_000)})
        print("new" if new else "same", fold, flush=True)
    except StorageConflict:
        print("conflict", fold, flush=True)
os._exit(0)  # pyarrow's reading threads can abort an interpreter that ends while they start
"""


def _start(root: Path, order: int, value: float = 0.0) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(order), str(N_FOLDS), str(value)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part.startswith(".tmp-") for part in path.parts)
    }


def _check_whole(root: Path) -> list[int]:
    """Every fold that is there is complete; returns their numbers."""
    ledger = Ledger(ArtefactStore(root))
    folds = ledger.folds("r", "T")
    table = ledger.read("r", "T")
    assert table.num_rows == len(folds) * N_ARMS * N_ROWS
    assert sorted(set(table["fold"].to_pylist())) == folds
    for fold in folds:
        folder = root / f"ledger/r/T/fold-{fold:06d}"
        assert len(list(folder.iterdir())) == N_ARMS + 2
        assert (folder / "weights.safetensors").stat().st_size == 200_000
        assert json.loads((folder / "fold.json").read_text())["fold"] == fold
    return folds


def test_concurrent_processes_write_each_fold_once_and_refuse_other_rows(tmp_path: Path) -> None:
    processes = [_start(tmp_path, order, value) for order, value in ((1, 0), (2, 0), (3, 0.5))]
    for process in processes:
        _go(process)
    outcomes = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    said = [dict(zip(words[1::2], words[::2], strict=True)) for words in outcomes]
    for fold in map(str, range(N_FOLDS)):
        verdicts = sorted(writer[fold] for writer in said)
        assert verdicts in (["conflict", "new", "same"], ["conflict", "conflict", "new"])
    assert _check_whole(tmp_path) == list(range(N_FOLDS))


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_at_any_moment_leaves_each_fold_as_before_or_complete(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    process = _start(tmp_path, seed)
    _go(process)
    time.sleep(rng.uniform(0.0, 0.6))
    os.kill(process.pid, signal.SIGKILL)
    said = process.communicate(timeout=60)[0].split()
    before = _tree(tmp_path)
    folds = _check_whole(tmp_path)
    assert {int(number) for number in said[1::2]} <= set(folds)
    retry = _start(tmp_path, seed)
    _go(retry)
    retry.communicate(timeout=120)
    assert retry.returncode == 0
    assert _check_whole(tmp_path) == list(range(N_FOLDS))
    assert before.items() <= _tree(tmp_path).items()
