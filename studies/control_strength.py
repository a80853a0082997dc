"""How strong is the from-scratch control? Planted markets, where the optimum is known.

For histories of 500, 1,000 and 2,000 sessions and 4, 16 and 32 features, of which one informs: the
control as a verdict has it (grid of regularisation chosen by inner validation, flat admissible),
plain training (no noise, no grid, never flat), ridge-linear, the foundation untouched, fine-tuned,
and the optimum by planning with the true parameters. All are scored on 20 years that none has seen.
Against a control that loses money everything transfers; so the command exits with status 1 where
the tuned control is worse than holding nothing by more than one standard error over the worlds.

    python -m studies.control_strength --json

``--kept FOLDER`` keeps every world that is done: an interrupted or a longer run goes on there.
Settings are the defaults but for the number of seeds; nothing here reads a real bar.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import resource
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from transfergate.evaluation.metrics import sharpe_ratio
from transfergate.evaluation.splits import Fold, Window
from transfergate.learning import Weights, select_models
from transfergate.learning.runtime import use_threads
from transfergate.market import PlantedParams, optimum_sharpe, planted_panel
from transfergate.market.panel import Panel
from transfergate.settings import (
    FinetuneParams,
    MarketParams,
    NetworkParams,
    PretrainParams,
    Regularisation,
    Settings,
)
from transfergate.steps.planted import panel_rows
from transfergate.storage import content_hash
from transfergate.transfer.arms import FINETUNED, SCRATCH, ArmRun, train_arms
from transfergate.transfer.pretraining import pretrain_family
from transfergate.transfer.scoring import arm_paths, model_paths, reference_paths, test_window

log = logging.getLogger(__name__)

SESSIONS = (500, 1000, 2000)
FEATURES = (4, 16, 32)
WORLDS = 5
SEEDS = 3
N_SOURCES = 8
VALIDATION, EMBARGO, TEST = 126, 5, 5040
MARKET = MarketParams(cost_bps=10.0)
TRUTH = {
    "ar": PlantedParams("ar", phi=0.135),
    "momentum": PlantedParams("momentum", pull=0.4),
    "regime": PlantedParams("regime"),
}
ARMS = ("tuned", "plain", "ridge", "zero_shot", "finetuned", "optimum")
WORDS = ("control, tuned", "plain", "ridge-linear", "zero-shot", "fine-tuned", "optimum")


def folds_of(sessions: Sequence[int]) -> list[Fold]:
    """One fold per length of history; all end at the same cut and share the test."""
    cut = max(sessions)
    validation = Window(cut - VALIDATION, cut)
    test = Window(cut + EMBARGO, cut + EMBARGO + TEST)
    stop = validation.first - EMBARGO
    return [Fold(n, Window(cut - n, stop), validation, test) for n in sessions]


def world(
    n_features: int, seed: int, kind: str, folds: Sequence[Fold], n_seeds: int
) -> dict[int, dict[str, float]]:
    """Sharpe ratios of every arm in one world, by length of history.

    Sources and target obey the same law, drawn independently; the foundation learns from the
    sources up to where the target's training ends.
    """
    use_threads(1)
    test, network = test_window(folds[0]), NetworkParams()
    panel = planted_panel(
        N_SOURCES + 1, test.stop, params=TRUTH[kind], n_features=n_features, seed=seed
    )
    target = panel_rows(panel, [N_SOURCES])
    foundation = _foundation(panel, folds, network, seed)
    params = FinetuneParams(n_seeds=n_seeds)
    plain = params.model_copy(update={"grid": (Regularisation(),)})
    both = _train(target, folds, foundation, (FINETUNED, SCRATCH), network, params, seed)
    bare = _train(target, folds, foundation, (SCRATCH,), network, plain, seed)
    burn_in = params.optimiser.burn_in_sessions
    best = optimum_sharpe(target, MARKET, params=TRUTH[kind], first=test.first - 1, stop=test.stop)
    found = {}
    for fold in folds:
        runs = {run.arm: run for run in both if run.fold is fold}
        (naive,) = (run for run in bare if run.fold is fold)
        others = reference_paths(
            target, fold, foundation, MARKET, network, burn_in=burn_in, seed_parts=(seed,)
        )
        found[fold.number] = {
            "tuned": _arm_sharpe(target, runs[SCRATCH], network, burn_in),
            "plain": _sharpe(model_paths(target, naive.weights, test, MARKET, network, burn_in)),
            **{arm: _sharpe([others[arm]]) for arm in ("ridge", "zero_shot")},
            "finetuned": _arm_sharpe(target, runs[FINETUNED], network, burn_in),
            "optimum": best.sharpe,
            "tuned_flat": float(runs[SCRATCH].choice is None),
            "tuned_validation": max(runs[SCRATCH].validation_sharpe),
            "finetuned_validation": max(runs[FINETUNED].validation_sharpe),
        }
    return found


def kept_world(
    n_features: int,
    seed: int,
    kind: str,
    folds: Sequence[Fold],
    n_seeds: int,
    folder: Path | None,
) -> dict[int, dict[str, float]]:
    """As ``world``, from its file below a folder where it is done already."""
    if folder is None:
        return world(n_features, seed, kind, folds, n_seeds)
    lengths = "_".join(str(fold.number) for fold in folds)
    chosen = (MARKET, NetworkParams(), PretrainParams(), FinetuneParams())
    said = (one.model_dump_json() for one in chosen)
    version = content_hash(Settings().code_version, *said, length=12)
    path = folder / f"{kind}-{n_features}-{seed}-{lengths}-{n_seeds}-{version}.json"
    if path.exists():
        return {int(number): arms for number, arms in json.loads(path.read_text()).items()}
    found = world(n_features, seed, kind, folds, n_seeds)
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.replace(path)
    return found


def _foundation(panel: Panel, folds: Sequence[Fold], network: NetworkParams, seed: int) -> Weights:
    longest = max(folds, key=lambda fold: fold.train.sessions)
    family = pretrain_family(
        panel_rows(panel, range(N_SOURCES)),
        (longest,),
        market=MARKET,
        network=network,
        params=PretrainParams(),
        seed_parts=("control_strength", seed),
        checkpoint=None,
        on_progress=None,
    )
    return family.result.weights


def _train(
    target: Panel,
    folds: Sequence[Fold],
    foundation: Weights,
    arms: tuple[str, ...],
    network: NetworkParams,
    params: FinetuneParams,
    seed: int,
) -> list[ArmRun]:
    return train_arms(
        target,
        folds,
        select_models(foundation, [0] * len(folds)),
        arms_of_fold=[arms] * len(folds),
        market=MARKET,
        network=network,
        params=params,
        seed_parts=("control_strength", seed),
        on_progress=None,
    )


def _arm_sharpe(target: Panel, run: ArmRun, network: NetworkParams, burn_in: int) -> float:
    return _sharpe(arm_paths(target, run, MARKET, network, burn_in))


def _sharpe(paths: Sequence[Any]) -> float:
    """Of the mean over seeds, as the gate judges an arm."""
    return sharpe_ratio(np.mean([path.net_return for path in paths], axis=0))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All worlds; means and standard errors per cell, and the cells that miss the rule."""
    started, cpu = time.perf_counter(), _cpu_seconds()
    folds = folds_of(options.sessions)
    asked = [(f, options.seed + w) for w in range(options.worlds) for f in options.features]
    one = partial(
        kept_world, kind=options.kind, folds=folds, n_seeds=options.seeds, folder=options.kept
    )
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=spawn) as pool:
        found = []
        for (features, seed), single in zip(
            asked, pool.map(one, *zip(*asked, strict=True)), strict=True
        ):
            found.append(single)
            log.info("%d features, world %d: %s", features, seed, json.dumps(single))
    worlds = {f: [r for (g, _), r in zip(asked, found, strict=True) if g == f] for f, _ in asked}
    cells = [cell_of(f, fold.number, own) for f, own in worlds.items() for fold in folds]
    return {
        "kind": options.kind,
        "cost_bps": MARKET.cost_bps,
        "worlds": options.worlds,
        "seeds": options.seeds,
        "seed": options.seed,
        "cells": cells,
        "single_worlds": {str(f): own for f, own in worlds.items()},
        "missed": missed(cells),
        "cpu_s": round(_cpu_seconds() - cpu, 1),
        "wall_s": round(time.perf_counter() - started, 1),
    }


def missed(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, int]]:
    """Cells in which the tuned control is below flat by more than a standard error."""
    return [
        {"sessions": cell["sessions"], "features": cell["features"]}
        for cell in cells
        if cell["tuned"]["mean"] + cell["tuned"]["se"] < 0.0
    ]


def _cpu_seconds() -> float:
    """Of this process and of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def cell_of(
    n_features: int, n_sessions: int, worlds: Sequence[Mapping[int, Mapping[str, float]]]
) -> dict[str, Any]:
    """Mean and standard error over worlds of every arm at one length of history."""
    cell: dict[str, Any] = {"sessions": n_sessions, "features": n_features}
    for arm in ARMS:
        values = np.array([one[n_sessions][arm] for one in worlds])
        se = float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
        cell[arm] = {"mean": float(values.mean()), "se": float(se)}
    cell["tuned_flat_worlds"] = int(sum(one[n_sessions]["tuned_flat"] for one in worlds))
    return cell


def render(result: Mapping[str, Any]) -> str:
    """A Markdown table: mean Sharpe ratio (standard error over worlds); flat is 0."""
    head = ["sessions", "features", *WORDS, "control flat"]
    rows = [head, ["---:"] * len(head)]
    for cell in sorted(result["cells"], key=lambda c: (c["sessions"], c["features"])):
        values = [f"{cell[arm]['mean']:+.2f} ({cell[arm]['se']:.2f})" for arm in ARMS]
        flat = f"{cell['tuned_flat_worlds']} of {result['worlds']}"
        rows.append([f"{cell['sessions']:,}", str(cell["features"]), *values, flat])
    below = [f"{m['sessions']} sessions, {m['features']} features" for m in result["missed"]]
    verdict = f"MISSED at {'; '.join(below)}" if below else "holds in every cell"
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(
        [
            *lines,
            "",
            f"Tuned control never worse than flat by more than a standard error: {verdict}.",
        ]
    )


def main() -> int:
    """Command line; status 1 where the rule is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=sorted(TRUTH), default="ar")
    parser.add_argument("--sessions", type=int, nargs="+", default=list(SESSIONS))
    parser.add_argument("--features", type=int, nargs="+", default=list(FEATURES))
    parser.add_argument("--worlds", type=int, default=WORLDS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seed", type=int, default=0, help="of the first world")
    parser.add_argument("--kept", type=Path, help="folder of the worlds that are done")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("transfergate").setLevel(logging.WARNING)
    result = run(options)
    print(json.dumps(result) if options.json else render(result))
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
