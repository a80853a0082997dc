"""The whole chain on a real panel: how often each rule would promote.

Pre-trains on many tickers of one Parquet panel, fine-tunes others beside their controls, and judges
the same records by three rules: the naive one (the point estimate is above zero), each ticker by
itself, and all of them pooled. No rule is right by definition; the table says how far apart they
are on data whose truth nobody knows.

    python -m studies.panel_verdicts /data/sp500_5y.parquet --json

Tickers with a full history are ordered by a hash of their names; the first are targets, the next
are sources, so that nobody chose them. ``--home`` keeps the run, and a second call goes on with it.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transfergate import steps
from transfergate.evaluation.gate import judge
from transfergate.evaluation.ledger import Ledger
from transfergate.settings import FinetuneParams, GateParams, Settings, WalkForwardParams
from transfergate.steps import chain
from transfergate.storage import ArtefactStore, content_hash

CANDIDATES = ("finetuned", "zero_shot", "buy_hold")
RULES = {
    "naive (point estimate above 0)": GateParams(evidence="point", delta_min=0.0),
    "each ticker by itself": GateParams(evidence="ticker"),
    "pooled": GateParams(evidence="pooled"),
}


def choose(panel: Path, n_targets: int, n_sources: int) -> tuple[list[str], list[str]]:
    """Targets and sources among the tickers with a full history, in the order of a hash."""
    table = pq.read_table(panel, columns=["symbol"])
    counts = {row["values"]: row["counts"] for row in pc.value_counts(table["symbol"]).to_pylist()}
    full = [ticker for ticker, rows in counts.items() if rows == max(counts.values())]
    order = sorted(full, key=lambda ticker: content_hash("panel_verdicts", ticker))
    if len(order) < n_targets + n_sources:
        raise SystemExit(
            f"{panel}: {len(order)} full histories, {n_targets + n_sources} are needed"
        )
    return sorted(order[:n_targets]), sorted(order[n_targets : n_targets + n_sources])


def settings_for(home: Path, panel: Path, options: argparse.Namespace) -> Settings:
    """Default settings but for the folds and seeds that the options name."""
    folder = home / "panel"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / panel.name
    if not link.exists():
        link.symlink_to(panel.resolve())
    return Settings(
        home=home,
        sources={"files": {"kind": "files", "root": str(folder), "prices": "adjusted"}},
        walk_forward=WalkForwardParams(n_folds=options.folds),
        finetune=FinetuneParams(n_seeds=options.seeds),
        warehouse_wait_seconds=600.0,
    )


def run(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """Bars to verdicts; returns counts by rule and the wall time of each stage."""
    targets, sources = choose(options.panel, options.targets, options.sources)
    settings = settings_for(home, options.panel, options)
    seconds: dict[str, float] = {}
    bars = _timed(seconds, "ingest", partial(chain.ingest_all, settings, source="files"))
    made = _timed(seconds, "features", partial(steps.build_features, settings, "files"))
    pretrain = partial(chain.pretrain_all, settings, made["snapshot_id"], sources, targets)
    foundation = _timed(seconds, "pre-train", pretrain)["foundation_version"]
    results = _timed(
        seconds, "fine-tune", partial(_finetune, settings, foundation, targets, options.workers)
    )
    judged = _timed(seconds, "judge", partial(steps.judge, settings, foundation, results))
    records = _records(settings, results)
    return {
        "command": f"python -m studies.panel_verdicts {options.panel.name}",
        "sources": len(sources),
        "targets": len(targets),
        "folds": options.folds,
        "seeds": options.seeds,
        "rows": {name: bars[name] for name in ("received", "loaded", "quarantined")},
        "seconds": seconds,
        "evaluation": judged["evaluation_id"],
        "rules": {name: by_arm(records, params) for name, params in RULES.items()},
    }


def _timed(seconds: dict[str, float], name: str, function: Any) -> Any:
    logging.getLogger(__name__).warning("%s: start", name)
    started = time.monotonic()
    result = function()
    seconds[name] = round(time.monotonic() - started, 1)
    return result


def _finetune(
    settings: Settings, foundation: str, targets: list[str], workers: int
) -> list[dict[str, Any]]:
    one = partial(steps.finetune_ticker, settings, foundation)
    if workers == 1:
        return [one(ticker) for ticker in targets]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        return list(pool.map(one, targets))


def _records(settings: Settings, results: list[dict[str, Any]]) -> pa.Table:
    ledger = Ledger(ArtefactStore(settings.artefact_root))
    trained = [result for result in results if result["status"] == "trained"]
    return pa.concat_tables([ledger.read(item["recipe"], item["ticker"]) for item in trained])


def by_arm(records: pa.Table, params: GateParams) -> dict[str, Any]:
    """Counts of verdicts when each of these arms stands where the fine-tuned one is judged."""
    return {arm: _judged_by(_in_place_of_finetuned(records, arm), params) for arm in CANDIDATES}


def _in_place_of_finetuned(records: pa.Table, arm: str) -> pa.Table:
    # A reference arm has one series: each seed of the control is paired with it.
    if arm == "finetuned":
        return records
    seeds = pc.unique(records.filter(pc.equal(records["arm"], "scratch"))["seed"]).to_pylist()
    own = records.filter(pc.equal(records["arm"], arm))
    copies = [_with(own, arm="finetuned", seed=seed) for seed in seeds]
    rest = records.filter(pc.not_equal(records["arm"], "finetuned"))
    return pa.concat_tables([*copies, rest.filter(pc.not_equal(rest["arm"], "zero_shot"))])


def _with(table: pa.Table, **values: Any) -> pa.Table:
    for name, value in values.items():
        field = table.schema.field(name)
        constant = pa.array([value] * table.num_rows, field.type)
        table = table.set_column(table.schema.get_field_index(name), field, constant)
    return table


def _judged_by(records: pa.Table, params: GateParams) -> dict[str, Any]:
    verdict = judge(records, params)
    reports = list(verdict["tickers"].values())
    deltas = sorted(report["delta_sharpe"] for report in reports)
    pool = verdict["pool"]
    return {
        "verdicts": dict(sorted(Counter(report["verdict"] for report in reports).items())),
        "median_delta": round(deltas[len(deltas) // 2], 3),
        "share_above_0": round(sum(delta > 0 for delta in deltas) / len(deltas), 3),
        "median_se": round(sorted(report["se"] for report in reports)[len(reports) // 2], 3),
        "pool": {name: pool.get(name) for name in ("mu", "tau", "mean_correlation")},
    }


def main() -> None:
    """Run and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("panel", type=Path, help="Parquet with symbol, date and prices")
    parser.add_argument("--targets", type=int, default=40)
    parser.add_argument("--sources", type=int, default=100)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--home", type=Path, help="keep the run here")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    if options.home:
        result = run(options, options.home)
    else:
        with tempfile.TemporaryDirectory(prefix="panel-") as folder:
            result = run(options, Path(folder))
    print(json.dumps(result, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
