"""The ``transfergate`` command: the same steps as the DAGs, without Airflow.

Every command takes ``--json`` and then prints one JSON object on standard output and nothing else
there; logs and errors go to standard error. Exit 0 done, 2 unusable input or refused, 1 failure.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from transfergate import settings as settings_module
from transfergate.errors import GateInputError, RegistryError, TransferGateError
from transfergate.settings import GateParams, Settings

Result = tuple[dict[str, Any], str]
"""What a command prints with ``--json``, and what without."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser().parse_args(given)
    except UsageError as error:
        return _refuse(error, 2, as_json="--json" in given)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s: %(message)s",
    )
    try:
        result, text = options.run(options)
    except TransferGateError as error:
        return _refuse(error, 2, as_json=options.json)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        traceback.print_exc()
        return _refuse(error, 1, as_json=options.json)
    print(json.dumps(result, allow_nan=False, ensure_ascii=False) if options.json else text)
    return 0


def _refuse(error: Exception, status: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}))
    print(f"transfergate: {error}", file=sys.stderr)
    return status


class UsageError(Exception):
    """The command line itself cannot be used."""


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process, so that ``--json`` holds there too."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def ingest(options: argparse.Namespace) -> Result:
    """Fetch, validate and load bars."""
    from transfergate.steps import chain

    result = chain.ingest_all(settings_module.load(), **_asked_bars(options))
    return result, _lines(result)


def features(options: argparse.Namespace) -> Result:
    """Compute features and publish their snapshot."""
    from transfergate import steps

    settings = settings_module.load()
    result = steps.build_features(settings, options.source or settings.ingest.source)
    return result, _lines(result)


def pretrain(options: argparse.Namespace) -> Result:
    """Pre-train a foundation, back-test it on unseen sessions and register it."""
    from transfergate.steps import chain

    settings = settings_module.load()
    source = options.source or settings.ingest.source
    snapshot = options.snapshot or chain.newest(settings, "snapshots", source)
    result = chain.pretrain_all(settings, snapshot, options.sources, options.targets)
    return result, _lines(result)


def finetune(options: argparse.Namespace) -> Result:
    """Fine-tune each target beside its control, judge, promote what the gate approves."""
    from transfergate.steps import chain

    settings = settings_module.load()
    source = options.source or settings.ingest.source
    foundation = options.foundation or chain.newest(settings, "foundations", source)
    return _finetune(settings, foundation, options)


def run(options: argparse.Namespace) -> Result:
    """Run the whole chain: ingest, features, pretrain, finetune."""
    from transfergate import steps
    from transfergate.steps import chain

    settings = settings_module.load()
    bars = chain.ingest_all(settings, **_asked_bars(options))
    made = steps.build_features(settings, bars["source"])
    foundation = chain.pretrain_all(settings, made["snapshot_id"], options.sources, options.targets)
    result, text = _finetune(settings, foundation["foundation_version"], options)
    return {"bars": bars, "features": made, "foundation": foundation, **result}, text


def gate(options: argparse.Namespace) -> Result:
    """Judge a Parquet or CSV file of out-of-sample returns."""
    from transfergate.evaluation.gate import judge
    from transfergate.evaluation.returns_file import read_returns
    from transfergate.reporting import (
        arm_series,
        evaluation_page,
        performance_table,
        render_verdicts,
    )

    params = _gate_params(options.config)
    table = read_returns(options.file)
    result = judge(table, params, keep_going=options.keep_going)
    series = arm_series(table)
    performance = {ticker: performance_table(series[ticker]) for ticker in result["tickers"]}
    shown = {
        **result,
        "tickers": {
            ticker: {**report, "performance": performance[ticker]}
            for ticker, report in result["tickers"].items()
        },
    }
    text = render_verdicts(shown)
    if options.html is not None:
        _write_page(options.html, evaluation_page(shown, series))
        text += f"\nreport {options.html.resolve()}"
    return result, text


def status(options: argparse.Namespace) -> Result:
    """Show champions, candidates, evaluations, foundations and snapshots."""
    from transfergate import steps

    result = steps.status(settings_module.load())
    if options.ticker is not None:
        known = result["tickers"]
        if options.ticker not in known:
            raise RegistryError(
                f"{options.ticker}: never judged, and it has no candidate and no champion below "
                f"{result['home']}; there are: {', '.join(known) or 'none'}; name one of these"
            )
        result["tickers"] = {options.ticker: known[options.ticker]}
    lines = [f"home         {result['home']}"]
    lines += [
        f"{name:<12} {len(result[name])}: {', '.join(result[name][-5:]) or 'none yet'}"
        for name in ("snapshots", "foundations", "evaluations")
    ]
    for ticker, item in result["tickers"].items():
        champion = item["champion"]
        served = (
            f"champion {champion['version']}, by {champion['who']} on {champion['when']}"
            if champion
            else "no champion, flat serves"
        )
        verdict = f", last verdict {item['verdict']}" if item["verdict"] else ""
        lines.append(f"{ticker:<12} {served}{verdict}")
        if options.ticker is not None:
            lines.append(f"  candidates {', '.join(item['candidates']) or 'none'}")
            lines += [
                f"  {row['number']} {row['action']} to {row['version'] or 'flat'} by {row['who']} "
                f"on {row['when']}: {row['why']}"
                for row in item["history"]
            ]
    return result, "\n".join(lines)


def promote(options: argparse.Namespace) -> Result:
    """Make a candidate the champion by hand."""
    from transfergate import steps

    row = steps.promote(
        settings_module.load(), options.ticker, options.version, options.who, options.why
    )
    before = row["previous"] or "flat"
    return row, f"{row['ticker']}: {row['version']} is the champion, before: {before}"


def rollback(options: argparse.Namespace) -> Result:
    """Go back to the champion before the current one."""
    from transfergate import steps

    row = steps.rollback(settings_module.load(), options.ticker, options.who, options.why)
    now = f"{row['version']} is the champion again" if row["version"] else "flat serves"
    return row, f"{row['ticker']}: {row['previous']} rolled back, {now}"


def decide(options: argparse.Namespace) -> Result:
    """Print the position that the champion wants to hold next."""
    from transfergate import steps

    result = steps.decide(settings_module.load(), options.ticker, options.as_of)
    when = f" after the close of {result['as_of']}" if result["as_of"] else ""
    return result, (
        f"{result['ticker']}{when}: target position "
        f"{result['target_position']:+.2f} ({result['reason']}"
        + (f", version {result['version']})" if result["version"] else ")")
    )


def summary(options: argparse.Namespace) -> Result:
    """Show an evaluation: every arm's figures, the evidence, the verdict and its reasons."""
    from transfergate import steps

    result = steps.summary(settings_module.load(), options.evaluation)
    return result, f"{steps.render_summary(result)}\nreport {result['report']}"


def _finetune(settings: Settings, foundation: str, options: argparse.Namespace) -> Result:
    from transfergate import steps
    from transfergate.steps import chain

    who = f"gate, for {getpass.getuser()}"
    result = chain.finetune_all(settings, foundation, options.targets, approved_by=who)
    shown = steps.summary(settings, result["evaluation_id"])
    return result, f"{steps.render_summary(shown)}\nreport {result['report']}"


def _asked_bars(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "source": options.source,
        "tickers": options.tickers,
        "start": options.start,
        "end": options.end,
        "data": str(options.data) if options.data else None,
    }


def _gate_params(config: Path | None) -> GateParams:
    """The gate's settings, with those of a TOML or JSON file on top (also below ``gate``)."""
    import tomllib

    from pydantic import ValidationError

    base = settings_module.load().gate
    if config is None:
        return base
    try:
        text = config.read_text(encoding="utf-8")
        given = json.loads(text) if config.suffix == ".json" else tomllib.loads(text)
        return GateParams.model_validate({**base.model_dump(), **given.get("gate", given)})
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise GateInputError(
            f"--config {config}: {error}; expected TOML or JSON with "
            f"{', '.join(GateParams.model_fields)}"
        ) from error


def _write_page(path: Path, page: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise GateInputError(
            f"--html {path}: cannot be written ({error.strerror}); name a file in a folder that "
            f"you may write to"
        ) from error


def _lines(result: dict[str, Any]) -> str:
    width = max(map(len, result))
    return "\n".join(
        f"{name:<{width}}  {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in result.items()
    )


def _tickers(text: str) -> list[str]:
    return [ticker.strip() for ticker in text.split(",") if ticker.strip()]


def _session(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date, expected ISO such as 2018-02-07"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="transfergate",
        description="Does pre-training help this ticker? The steps of the DAGs, without Airflow.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], Result]) -> argparse.ArgumentParser:
        about = (function.__doc__ or "").strip()
        added = commands.add_parser(function.__name__, help=about, description=about)
        added.set_defaults(run=function)
        added.add_argument("--json", action="store_true", help="print one JSON object")
        added.add_argument("-v", "--verbose", action="store_true", help="log to standard error")
        return added

    for function in (ingest, features, pretrain, finetune, run):
        _chain_options(command(function), function.__name__)
    added = command(gate)
    added.add_argument("file", type=Path, metavar="FILE", help="*.parquet or *.csv of returns")
    added.add_argument("--config", type=Path, help="TOML or JSON with settings of the gate")
    added.add_argument("--html", type=Path, metavar="OUT", help="write a report to this file")
    added.add_argument(
        "--keep-going", action="store_true", help="judge the rest when a ticker is unusable"
    )
    command(status).add_argument("ticker", nargs="?", metavar="TICKER")
    for function in (promote, rollback):
        added = command(function)
        added.add_argument("ticker", metavar="TICKER")
        if function is promote:
            added.add_argument("version", metavar="VERSION")
        added.add_argument("--who", default=getpass.getuser(), help="who approves it")
        added.add_argument("--why", default="by hand", help="the reason, for the history")
    added = command(decide)
    added.add_argument("ticker", metavar="TICKER")
    added.add_argument(
        "--as-of", type=_session, metavar="DATE", help="a session; default: the newest there is"
    )
    command(summary).add_argument("evaluation", nargs="?", metavar="EVALUATION")
    return parser


def _chain_options(added: argparse.ArgumentParser, name: str) -> None:
    added.add_argument("--source", choices=settings_module.SOURCE_NAMES)
    if name in ("ingest", "run"):
        added.add_argument("--data", type=Path, help="folder of bar files, for --source files")
        added.add_argument("--tickers", type=_tickers, help="A,B; default: all there are")
        added.add_argument("--start", metavar="DATE", help="first session")
        added.add_argument("--end", metavar="DATE", help="last session")
    if name in ("pretrain", "run"):
        added.add_argument("--sources", type=_tickers, help="tickers to learn from")
    if name in ("pretrain", "finetune", "run"):
        about = "not to learn from" if name == "pretrain" else "to be taught"
        added.add_argument("--targets", type=_tickers, help=f"tickers {about}")
    if name == "pretrain":
        added.add_argument("--snapshot", metavar="ID", help="default: the source's newest")
    if name == "finetune":
        added.add_argument("--foundation", metavar="VERSION", help="default: the newest")


if __name__ == "__main__":
    raise SystemExit(main())
