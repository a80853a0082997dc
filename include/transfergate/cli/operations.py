"""Commands that keep an installation in order: prune, back up, restore."""

from __future__ import annotations

import argparse
from pathlib import Path

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_command, lines


def add(commands: Commands) -> None:
    """Add the commands."""
    added = add_command(commands, prune)
    added.add_argument(
        "--delete", action="store_true", help="do it; without, only say what would go"
    )
    added.add_argument(
        "--what",
        choices=("all", "artefacts", "litter", "cache"),
        default="all",
        help="cache: local copies on this machine",
    )
    for function in (backup, restore):
        add_command(commands, function).add_argument("folder", type=Path, metavar="FOLDER")


def prune(options: argparse.Namespace) -> Result:
    """Delete what neither champions nor looks nor running work need, as settings.retention says."""
    from transfergate import steps

    result = steps.prune(settings_module.load(), delete=options.delete, what=options.what)
    done = "deleted" if result["deleted"] else "would delete (--delete does it)"
    text = [f"{done}: {'' if result['pruned'] else 'nothing'}".rstrip()]
    for kind, count in result["pruned"].items():
        shown = ", ".join(result["names"][kind][:5])
        text.append(f"  {kind:<14} {count}: {shown}{', …' if count > 5 else ''}")
    kept = ", ".join(f"{count} {kind}" for kind, count in result["kept"].items() if count)
    return result, "\n".join([*text, f"marked to stay: {kept or 'nothing'}"])


def backup(options: argparse.Namespace) -> Result:
    """Copy warehouse, artefacts and MLflow's SQLite file to a new folder, consistently."""
    from transfergate import steps

    result = steps.backup(settings_module.load(), options.folder)
    return result, lines(result)


def restore(options: argparse.Namespace) -> Result:
    """Put a backup into an installation that has nothing yet."""
    from transfergate import steps

    result = steps.restore(settings_module.load(), options.folder)
    return result, lines(result)
