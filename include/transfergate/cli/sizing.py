"""The command of the sizing curve: what fine-tuning and the control make of less history."""

from __future__ import annotations

import argparse
from pathlib import Path

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_command, add_source, count, write_page


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, sizing)
    added.add_argument("ticker", metavar="TICKER", help="a target of the foundation")
    add_source(added)
    added.add_argument("--foundation", metavar="VERSION", help="default: the newest")
    added.add_argument(
        "--shares",
        type=_shares,
        metavar="10,20,...",
        help="per cent of the history before each cut; default: 10,20,30,50,60,80,100",
    )
    added.add_argument(
        "--tiers",
        type=_names,
        metavar="head,partial,full",
        help="what fine-tuning trains; also discriminative",
    )
    added.add_argument("--seeds", type=count, help="paired seeds; default: the settings'")
    added.add_argument(
        "--on",
        choices=("validation", "test"),
        default="validation",
        help="windows to score; test: only those that a verdict has used already",
    )
    added.add_argument("--html", type=Path, metavar="OUT", help="write a page to this file")


def sizing(options: argparse.Namespace) -> Result:
    """Train on shares of a ticker's history, each freeze tier beside its control; no verdict."""
    from transfergate.reporting import render_sizing, sizing_page
    from transfergate.steps import chain
    from transfergate.steps.sizing import size_ticker

    settings = settings_module.load()
    source = options.source or settings.ingest.source
    foundation = options.foundation or chain.newest(settings, "foundations", source)
    asked = {"shares": options.shares, "tiers": options.tiers, "n_seeds": options.seeds}
    given = {name: value for name, value in asked.items() if value}
    if options.html is not None:
        write_page(options.html, "", mode="a")
    result = size_ticker(settings, foundation, options.ticker, on=options.on, **given)
    text = render_sizing(result)
    if options.html is not None:
        write_page(options.html, sizing_page(result))
        text += f"\nreport {options.html.resolve()}"
    return result, text


def _shares(text: str) -> list[int]:
    """Read ``10,20%``."""
    found = [part.strip().removesuffix("%").strip() for part in text.split(",") if part.strip()]
    if not found or any(not part.isdecimal() or not 1 <= int(part) <= 100 for part in found):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected whole per cents from 1 to 100, such as 10,50,100"
        )
    return sorted({int(part) for part in found})


def _names(text: str) -> list[str]:
    """Read ``head,full``."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    unknown = sorted({*found} - {"head", "partial", "full", "discriminative"})
    if unknown or not found:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected some of head, partial, full and discriminative, with commas"
        )
    return list(dict.fromkeys(found))
