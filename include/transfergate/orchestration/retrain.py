"""``make retrain``: bars to verdicts through a real Airflow scheduler, in one command.

    python -m transfergate.orchestration.retrain [--source sample|files|synthetic] [--data FOLDER]
        [--sources A,B] [--targets C,D] [--start DATE] [--end DATE] [--result FILE]

Starts Airflow on its embedded database, triggers ``ingest_daily_bars``, follows the assets to
``finetune_tickers``, prints the verdicts, and stops what it started, also on Ctrl-C and SIGTERM.
Exit 0 done, 1 a task failed, 2 unusable input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from transfergate import settings as settings_module
from transfergate.errors import TransferGateError
from transfergate.orchestration.assets import CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment
from transfergate.orchestration.follow import Run, follow_chain
from transfergate.orchestration.processes import interruptible
from transfergate.orchestration.progress import Progress
from transfergate.orchestration.rest import ChainError
from transfergate.settings import Settings, UniverseParams
from transfergate.storage import open_store

PARSE_SECONDS = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    interruptible()
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("\nretrain: interrupted; everything that it started is stopped\n")
        return 130


def _main(arguments: Sequence[str] | None) -> int:
    try:
        options = _parse(arguments)
        settings = settings_module.load()
        source = settings.source(options.source)
        if source.kind == "files" and not (options.data or source.root):
            raise ValueError(
                f"--source {options.source} needs a folder: --data FOLDER (make: DATA=FOLDER)"
            )
        environment = chain_environment(settings, options)
        _refuse_unknown(settings, options)
    except (TransferGateError, ValueError) as error:
        sys.stderr.write(f"retrain: {error}\n")
        return 2
    try:
        retrain(settings, environment, ingest_conf(options), sys.stdout, options.result)
    except (ChainError, TransferGateError) as error:
        sys.stderr.write(f"\nretrain: {error}\n")
        return 1
    return 0


def retrain(
    settings: Settings,
    environment: dict[str, str],
    conf: dict[str, Any],
    out: TextIO,
    result_file: Path | None = None,
) -> dict[str, Any]:
    """Run the chain once and report on it.

    Args:
        settings: As the tasks will see them.
        environment: For all of Airflow's processes; makes tasks see ``settings``.
        conf: Parameters of the ``ingest_daily_bars`` run.
        out: Where progress and report are written.
        result_file: Where the result is written as JSON, if anywhere.

    Returns:
        ``{"seconds", "bars", "features", "foundation", "promotions", "summary"}``.

    Raises:
        ChainError: If a run or one of Airflow's processes fails.
    """
    progress = Progress(out)
    progress.say(f"starting Airflow below {settings.home.resolve() / 'airflow'}")
    started = time.time()
    with EmbeddedAirflow(settings, environment) as airflow:
        progress.say(f"Airflow answers on {airflow.url}")
        runs = _run_chain(airflow, conf, started, progress)
        result = collect(airflow, runs)
        progress.say("chain done; stopping Airflow")
    from transfergate import steps

    summary = steps.summary(settings, result["evaluation_id"])
    result |= {"summary": summary, "seconds": round(progress.seconds, 1)}
    out.write(report(settings, result, progress.seconds))
    if result_file is not None:
        result_file.parent.mkdir(parents=True, exist_ok=True)
        result_file.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return result


def _run_chain(
    airflow: EmbeddedAirflow, conf: dict[str, Any], started: float, progress: Progress
) -> list[Run]:
    api = airflow.api
    for run in api.discard_unfinished(CHAIN):
        progress.say(f"closed {run}, which an interrupted Airflow left open")
    airflow.start_scheduler()
    api.wait_for_dags(CHAIN, parsed_after=started, seconds=PARSE_SECONDS)
    try:
        for dag_id in CHAIN:
            api.set_paused(dag_id, paused=False)
        run_id = api.trigger(CHAIN[0], conf)
        return follow_chain(airflow, CHAIN[0], run_id, CHAIN[-1], progress)
    finally:  # the schedules belong to whoever runs Airflow for long
        with suppress(Exception):
            for dag_id in CHAIN:
                api.set_paused(dag_id, paused=True)


def collect(airflow: EmbeddedAirflow, runs: Sequence[Run]) -> dict[str, Any]:
    """What the tasks of a finished chain returned, by the chain's stages.

    Where a person refused the promotions, ``promotions`` says ``refused``.
    """
    last = {run.dag_id: run for run in runs}

    def result(dag_id: str, task_id: str, map_index: int = -1) -> Any:
        return airflow.api.result(dag_id, last[dag_id].run_id, task_id, map_index)

    promote = next(one for one in last["finetune_tickers"].instances if one.task_id == "promote")
    refused = {"promoted": [], "refreshed": [], "kept": {}, "refused": True}
    return {
        "bars": result("ingest_daily_bars", "load"),
        "features": result("build_features", "build", 0),
        "foundation": result("pretrain_foundation", "register"),
        "evaluation_id": result("finetune_tickers", "judge"),
        "promotions": refused
        if promote.state == "skipped"
        else result("finetune_tickers", "promote"),
    }


def report(settings: Settings, result: dict[str, Any], seconds: float) -> str:
    """The text after a finished chain: what is new, the verdicts, where to look."""
    from transfergate import steps

    bars, features, foundation = result["bars"], result["features"], result["foundation"]
    new_rows = 0 if bars["already_loaded"] else bars["new_revisions"]
    lines = [
        "",
        f"bars        batch {bars['batch_id']}: {bars['received']} received, {bars['loaded']} "
        f"loaded, {bars['quarantined']} quarantined; {_novelty(new_rows, 'row')}",
        f"features    snapshot {features['snapshot_id']}: {_novelty(features['created'])}",
        f"foundation  {foundation['foundation_version']}: {_novelty(foundation['registered'])}",
        f"verdicts    evaluation {result['evaluation_id']}",
        "",
        steps.render_summary(result["summary"]),
        *(
            ["", "promotions  refused, or not answered in time: every champion stays"]
            if "refused" in result["promotions"]
            else []
        ),
        "",
        f"evaluation  {result['summary'].get('report', '')}",
        f"data docs   {open_store(settings).location('data_docs/index.html')}",
        f"artefacts   {settings.artefacts_at}",
        f"task logs   {settings.home.resolve() / 'airflow' / 'logs'}",
        f"total       {seconds:.0f} s",
        "",
    ]
    return "\n".join(lines)


def _novelty(new: int | bool, unit: str = "") -> str:
    if not new:
        return "nothing new, all of it was there already"
    return f"{new} new {unit}{'' if new == 1 else 's'}" if unit else "new"


def chain_environment(settings: Settings, options: argparse.Namespace) -> dict[str, str]:
    """Environment in which the DAGs follow each other at once, on the chosen universe.

    Raises:
        ValueError: If a ticker is malformed, or both source and target.
    """
    environment = {
        **settings_environment(settings),
        "TRANSFERGATE_SCHEDULES__INGEST": "manual",
        "TRANSFERGATE_SCHEDULES__RETRAIN": "asset",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",  # no file changes meanwhile
    }
    chosen = {"sources": options.sources, "targets": options.targets}
    chosen = {name: tickers for name, tickers in chosen.items() if tickers}
    if chosen:
        universe = UniverseParams(
            **{**settings.source(options.source).universe.model_dump(exclude_unset=True), **chosen}
        )
        environment[f"TRANSFERGATE_SOURCES__{options.source.upper()}__UNIVERSE"] = json.dumps(
            # What is not set here may still be said by the data folder.
            universe.model_dump(mode="json", exclude_unset=True)
        )
    return environment


def _refuse_unknown(settings: Settings, options: argparse.Namespace) -> None:
    from transfergate import steps

    steps.require_universe(
        settings,
        source=options.source,
        data=str(options.data.resolve()) if options.data else None,
        sources=options.sources or (),
        targets=options.targets or (),
    )


def ingest_conf(options: argparse.Namespace) -> dict[str, Any]:
    """Parameters of the ``ingest_daily_bars`` run."""
    conf = {
        "source": options.source,
        "data": str(options.data.resolve()) if options.data else None,
        "start": options.start,
        "end": options.end,
    }
    return {name: value for name, value in conf.items() if value is not None}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="retrain", description=__doc__.split("\n")[0])
    parser.add_argument("--source", default="sample", help="name of a source")
    parser.add_argument("--data", type=Path, help="folder of bar files, for --source files")
    parser.add_argument("--sources", type=_tickers, help="who teaches: AAPL,IBM")
    parser.add_argument("--targets", type=_tickers, help="who is taught: GOOG,FB")
    parser.add_argument("--start", help="first session, YYYY-MM-DD")
    parser.add_argument("--end", help="last session, YYYY-MM-DD")
    parser.add_argument("--result", type=Path, help="write the result as JSON to this file")
    options = parser.parse_args(arguments)
    if options.data is not None and not options.data.is_dir():
        raise ValueError(f"--data {options.data}: there is no such folder")
    return options


def _tickers(text: str) -> tuple[str, ...]:
    return tuple(ticker.strip() for ticker in text.split(",") if ticker.strip())


if __name__ == "__main__":
    raise SystemExit(main())
