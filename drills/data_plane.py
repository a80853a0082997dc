"""Kill ingest, feature publish and compaction at random moments; count what is torn or lost.

Each trial works on a copy of a prepared home and is killed with SIGKILL at a random moment of one
of its stages, which take turns, so that short ones are hit as often as long ones. Then it is looked
at: every fact table of the warehouse must hold what it held before or what it holds after, all of
it; every snapshot that can be seen must be whole. Then the same operation runs again, undisturbed,
and must leave the very rows and artefacts that it leaves when nothing happens.

    python -m drills.data_plane --kills 210 --json
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from drills.forks import kill_in_fork, run_in_fork
from drills.homes import Operation, copy_of, prepare
from drills.remains import State, state
from drills.stages import Stages
from transfergate.settings import Settings

OPERATIONS = ("ingest", "features", "compaction")


@dataclass
class Tally:
    """What the kills of one operation led to; everything below ``as_after`` but times is bad.

    Attributes:
        trials: How often it was started.
        killed: How often it was still running when SIGKILL came; the other trials say nothing.
        by_stage: Kills by the stage that it was in.
        as_before: Kills after which everything was as before.
        as_after: Kills after which everything was as after a complete run.
        between: Kills that left a state which is neither.
        rows_lost: Rows that no table held after the repeated run.
        partial_snapshots: Snapshots that could be seen and were not whole.
        not_recovered: Kills after which the repeated run did not end as an undisturbed one.
        differences: What was different then, one line for each.
        seconds: Wall time of an undisturbed run.
        drill_seconds: Wall time of all of it.
    """

    trials: int = 0
    killed: int = 0
    by_stage: dict[str, int] = field(default_factory=dict)
    as_before: int = 0
    as_after: int = 0
    between: int = 0
    rows_lost: int = 0
    partial_snapshots: int = 0
    not_recovered: int = 0
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0
    drill_seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing was torn or lost."""
        bad = self.between + self.rows_lost + self.partial_snapshots + self.not_recovered
        return bad == 0 and self.as_before + self.as_after == self.killed


def drill(kills: int, seed: int = 1, operations: tuple[str, ...] = OPERATIONS) -> dict[str, Tally]:
    """Kill each operation until each has been hit equally often.

    Args:
        kills: In all; at least one for each operation.
        seed: Of the moments.
        operations: Some of ``OPERATIONS``.
    """
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        root = Path(folder)
        return {
            operation.name: _drill_one(root, operation, -(-kills // len(operations)), moments)
            for operation in prepare(root)
            if operation.name in operations
        }


def _drill_one(root: Path, operation: Operation, kills: int, moments: random.Random) -> Tally:
    tally, stages = Tally(), Stages(operation.places, operation.then)
    begin = time.monotonic()
    with copy_of(root, operation.home) as settings:
        before = run_in_fork(partial(state, settings))
        started = time.monotonic()
        stages.clear()
        run_in_fork(partial(_told, stages, operation, settings))
        tally.seconds = round(time.monotonic() - started, 3)
        usual = {name: stages.spent(name) for name in stages.names}
        after = run_in_fork(partial(state, settings))
    names = [name for name in stages.names if usual[name] > 0]
    while tally.killed < kills and tally.trials < 3 * kills:
        stage = names[tally.trials % len(names)]
        moment = moments.random() * usual[stage]
        with copy_of(root, operation.home) as settings:
            if not _killed(tally, stages, operation, settings, (stage, moment)):
                continue
            _look(tally, run_in_fork(partial(state, settings)), before, after)
            run_in_fork(partial(_quietly, operation, settings))
            _compare(tally, run_in_fork(partial(state, settings)), after)
    tally.drill_seconds = round(time.monotonic() - begin, 1)
    return tally


def _killed(
    tally: Tally,
    stages: Stages,
    operation: Operation,
    settings: Settings,
    moment: tuple[str, float],
) -> bool:
    stage, seconds = moment
    stages.clear()
    killed = kill_in_fork(
        partial(_told, stages, operation, settings), lambda: stages.spent(stage) >= seconds
    )
    tally.trials += 1
    if killed:
        tally.killed += 1
        tally.by_stage[stages.current()] = tally.by_stage.get(stages.current(), 0) + 1
    return killed


def _told(stages: Stages, operation: Operation, settings: Settings) -> None:
    with stages.told():
        operation.run(settings)


def _quietly(operation: Operation, settings: Settings) -> None:
    operation.run(settings)


def _look(tally: Tally, found: State, before: State, after: State) -> None:
    tally.partial_snapshots += len(found["torn"])
    if found["facts"] == before["facts"] and found["snapshots"] == before["snapshots"]:
        tally.as_before += 1
    elif found["facts"] == after["facts"] and found["snapshots"] == after["snapshots"]:
        tally.as_after += 1
    else:
        tally.between += 1


def _compare(tally: Tally, again: State, after: State) -> None:
    tally.not_recovered += again != after
    tally.rows_lost += max(0, after["rows"] - again["rows"])
    for part in ("facts", "artefacts"):
        names = sorted(set(again[part]) | set(after[part]))
        tally.differences += [
            f"{part}: {name}" for name in names if again[part].get(name) != after[part].get(name)
        ]


def main() -> int:
    """Run the drill and print its table; 1 if anything was torn or lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=210, help="in all, over the operations")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    tallies = drill(options.kills, options.seed, tuple(options.operations))
    if options.json:
        sys.stdout.write(json.dumps({name: asdict(t) for name, t in tallies.items()}) + "\n")
    else:
        table = pd.DataFrame({name: asdict(t) for name, t in tallies.items()}, dtype=object)
        sys.stdout.write(f"{table.to_string()}\n")
    return 0 if all(tally.clean for tally in tallies.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
