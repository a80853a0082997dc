"""The command that lists what a source trades."""

from __future__ import annotations

import argparse

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_as_of, add_command, add_source

_COLUMNS = (
    *("ticker", "name", "asset_class", "sector", "exchange", "currency", "index_ticker"),
    *("cost_bps", "first_session", "last_session", "bars"),
)


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, instruments)
    add_source(added)
    add_as_of(added)


def instruments(options: argparse.Namespace) -> Result:
    """List tickers with exchange, currency, cost, and first and last session."""
    from transfergate.steps.instruments import instruments as listed

    result = listed(settings_module.load(), source=options.source, as_of=options.as_of)
    rows = result["instruments"]
    # A column that nobody fills tells nothing.
    shown = [name for name in _COLUMNS if any(row[name] not in (None, "") for row in rows)]
    table = [shown, *([_cell(row[name]) for name in shown] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(shown))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )
    return result, text


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
