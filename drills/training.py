"""A training that is killed again and again, and two retrains of one ticker at once."""

from __future__ import annotations

import hashlib
import json
import mmap
import multiprocessing
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from drills.findings import Finding
from drills.forks import kill_in_fork, run_in_fork
from drills.homes import Operation, copy_of, deliver, settings_of
from transfergate.settings import (
    FinetuneParams,
    NetworkParams,
    OptimiserParams,
    PretrainParams,
    Regularisation,
    Settings,
    WalkForwardParams,
)

SOURCES, TARGET = ["DR0", "DR1"], "DR3"
SESSIONS, UPDATES, SAVED_EVERY = 220, 200, 25
KILLED_AFTER = (40, 90, 120)
"""Updates of all tries together after which a try is killed."""


def small(settings: Settings) -> Settings:
    """Training settings for a hundred sessions and a second of work."""
    optimiser = OptimiserParams(
        n_updates=UPDATES, n_paths=2, path_sessions=16, burn_in_sessions=4, tail_sessions=2,
        n_validations=2, epochs=1,
    )  # fmt: skip
    return settings.model_copy(
        update={
            "walk_forward": WalkForwardParams(
                n_folds=1, min_train_sessions=60, embargo_sessions=2, validation_sessions=20,
                test_sessions=20,
            ),
            "network": NetworkParams(encoder="gru", encoder_units=4, head_units=4),
            "pretrain": PretrainParams(optimiser=optimiser),
            "finetune": FinetuneParams(
                optimiser=optimiser.model_copy(update={"n_updates": 4}),
                n_seeds=3,
                grid=(Regularisation(input_noise=0.5),),
            ),
        }
    )  # fmt: skip


def killed_training(root: Path, operations: list[Operation]) -> list[Finding]:
    """SIGKILL in pre-training, three times; then it ends, with the bytes of one undisturbed."""
    root, home = _longer(root, operations)
    with copy_of(root, home) as settings:
        alone = run_in_fork(lambda: (_pretrain(small(settings)), _kept(settings))[1])
    done = _Counter()
    with copy_of(root, home) as settings:
        kills = 0
        for limit in KILLED_AFTER:
            kills += kill_in_fork(
                lambda: _pretrain(small(settings), done),
                lambda: done.value >= limit,  # noqa: B023
            )
            half = run_in_fork(lambda: _kept(settings))
            if half:
                break
        again = run_in_fork(lambda: (_pretrain(small(settings), done), _kept(settings))[1])
    wasted = done.value - UPDATES
    same = again == alone and len(again) > 0
    well = kills == len(KILLED_AFTER) and not half and same and wasted <= kills * SAVED_EVERY
    return [
        Finding(
            f"SIGKILL in training, {kills} times",
            f"no foundation seen before its end: {not half}; {wasted} of {UPDATES} updates done "
            f"again (at most {SAVED_EVERY} a kill); {'same' if same else 'OTHER'} bytes as "
            f"undisturbed",
            well,
        )
    ]


def _longer(root: Path, operations: list[Operation]) -> tuple[Path, Path]:
    """A home with features of enough sessions to train on, made once."""
    own = root / "longer"
    home = own / "home"
    if not home.exists():
        own.mkdir()
        deliver(own / "vendor", SESSIONS)
        for one in operations:
            if one.name != "compaction":
                run_in_fork(lambda: bool(one.run(settings_of(own, home))))  # noqa: B023
    return own, home


class _Counter:
    """A number that a forked process counts and this one reads."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return int(struct.unpack("q", self._memory[:8])[0])

    def count(self) -> None:
        self._memory[:8] = struct.pack("q", self.value + 1)


def _pretrain(settings: Settings, counter: _Counter | None = None) -> str:
    import torch

    from transfergate import steps
    from transfergate.steps import pretraining
    from transfergate.storage import list_snapshots, open_store

    torch.set_num_threads(1)
    log_progress = pretraining.log_progress

    def counted(*arguments: Any) -> Callable[[Any], None]:
        report = log_progress(*arguments)

        def count(progress: Any) -> None:
            report(progress)
            if counter is not None:
                counter.count()

        return count

    (snapshot,) = list_snapshots(open_store(settings))
    with mock.patch.object(pretraining, "log_progress", counted):
        return steps.pretrain_foundation(settings, snapshot, SOURCES, [TARGET])


def _kept(settings: Settings, *prefixes: str) -> dict[str, str]:
    """Objects that can be seen below some prefixes, foundations' weights by default."""
    from transfergate.storage import open_store

    store = open_store(settings)
    keys = [key for prefix in prefixes or ("foundations",) for key in store.keys(prefix)]
    keys = [key for key in keys if prefixes or key.endswith(".safetensors")]
    return {key: hashlib.sha256(store.read(key)).hexdigest() for key in keys}


def rival_retrains(root: Path, operations: list[Operation]) -> list[Finding]:
    """Two processes retrain one ticker on one foundation, at once."""
    root, home = _longer(root, operations)
    prefixes = ("candidates", "ledger", "finetunes")
    with copy_of(root, home) as settings:
        foundation = run_in_fork(lambda: _pretrain(small(settings)))
        run_in_fork(lambda: _retrain(small(settings), foundation))
        alone = run_in_fork(lambda: _kept(settings, *prefixes))
    with copy_of(root, home) as settings:
        run_in_fork(lambda: _pretrain(small(settings)))
        context = multiprocessing.get_context("fork")
        rivals = [
            context.Process(target=_retrain, args=(small(settings), foundation)) for _ in range(2)
        ]
        for rival in rivals:
            rival.start()
        for rival in rivals:
            rival.join(300)
        together = run_in_fork(lambda: _kept(settings, *prefixes))
    codes = [rival.exitcode for rival in rivals]
    same = together == alone and len(alone) > 0
    found = f"exits {json.dumps(codes)}; {len(together)} objects, {'as' if same else 'OTHER THAN'}"
    return [
        Finding(
            "two retrains of one ticker at once", f"{found} one alone", codes == [0, 0] and same
        )
    ]


def _retrain(settings: Settings, foundation: str) -> str:
    import torch

    from transfergate import steps

    torch.set_num_threads(1)
    (found,) = steps.finetune_group(settings, foundation, [TARGET])
    return str(found["candidate"])
