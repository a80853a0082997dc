"""Commands of the chain: ingest, features, pretrain, finetune, and all of them at once."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import Any

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_command, add_source, lines, tickers
from transfergate.settings import Settings


def add(commands: Commands) -> None:
    """Add the chain's commands."""
    for function in (ingest, features, pretrain, finetune, run):
        _options(add_command(commands, function), function.__name__)
    add_command(commands, compact)


def ingest(options: argparse.Namespace) -> Result:
    """Fetch, validate and load bars."""
    from transfergate.steps import chain

    result = chain.ingest_all(settings_module.load(), **_asked_bars(options))
    return result, lines(result)


def features(options: argparse.Namespace) -> Result:
    """Compute features and publish their snapshot, or rebuild an old one and compare."""
    from transfergate import steps

    settings = settings_module.load()
    if options.rebuild is not None:
        result = steps.rebuild_snapshot(settings, options.rebuild, options.into)
        return result, lines(result)
    result = steps.build_features(settings, options.source or settings.ingest.source)
    return result, lines(result)


def compact(options: argparse.Namespace) -> Result:
    """Rewrite the warehouse file without the space that deleted rows left."""
    from transfergate import steps

    result = steps.compact(settings_module.load())
    return result, lines(result)


def pretrain(options: argparse.Namespace) -> Result:
    """Pre-train a foundation, back-test it on unseen sessions and register it."""
    from transfergate.steps import chain

    settings = settings_module.load()
    source = options.source or settings.ingest.source
    snapshot = options.snapshot or chain.newest(settings, "snapshots", source)
    result = chain.pretrain_all(settings, snapshot, options.sources, options.targets)
    return result, lines(result)


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


def _options(added: argparse.ArgumentParser, name: str) -> None:
    add_source(added)
    if name == "features":
        added.add_argument(
            "--rebuild", metavar="SNAPSHOT", help="from what was known when it was published"
        )
        added.add_argument("--into", type=Path, metavar="FOLDER", help="keep the rebuilt one here")
        added.set_defaults(status=lambda result: 0 if result.get("identical", True) else 2)
    if name in ("ingest", "run"):
        added.add_argument("--data", type=Path, help="folder of bar files, for --source files")
        added.add_argument("--tickers", type=tickers, help="A,B; default: all there are")
        added.add_argument("--start", metavar="DATE", help="first session")
        added.add_argument("--end", metavar="DATE", help="last session")
    if name in ("pretrain", "run"):
        added.add_argument("--sources", type=tickers, help="tickers to learn from")
    if name in ("pretrain", "finetune", "run"):
        about = "not to learn from" if name == "pretrain" else "to be taught"
        added.add_argument("--targets", type=tickers, help=f"tickers {about}")
    if name == "pretrain":
        added.add_argument("--snapshot", metavar="ID", help="default: the source's newest")
    if name == "finetune":
        added.add_argument("--foundation", metavar="VERSION", help="default: the newest")
