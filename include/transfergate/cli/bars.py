"""The command that shows bars as they were known at a moment."""

from __future__ import annotations

import argparse
from pathlib import Path

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_as_of, add_command, add_source, session

_SHOWN = 10


def add(commands: Commands) -> None:
    """Add the command."""
    added = add_command(commands, bars)
    added.add_argument("ticker", metavar="TICKER")
    add_source(added)
    add_as_of(added)
    added.add_argument("--adjusted", action="store_true", help="for splits and dividends")
    added.add_argument("--start", type=session, metavar="DATE", help="first session")
    added.add_argument("--end", type=session, metavar="DATE", help="last session")
    out = added.add_mutually_exclusive_group()
    out.add_argument("--csv", type=Path, metavar="OUT", help="write all rows to this CSV file")
    out.add_argument("--parquet", type=Path, metavar="OUT", help="or to this Parquet file")


def bars(options: argparse.Namespace) -> Result:
    """Show one ticker's bars as the warehouse knew them at a moment."""
    from transfergate.steps.bars import read_bars, write_csv, write_parquet

    table = read_bars(
        settings_module.load(),
        options.ticker,
        source=options.source,
        as_of=options.as_of,
        adjusted=options.adjusted,
        start=options.start,
        end=options.end,
    )
    rows = table.to_pylist()
    for row in rows:
        row["session_date"] = row["session_date"].isoformat()
    result = {"ticker": options.ticker, "rows": table.num_rows, "bars": rows}
    shown = table.slice(max(table.num_rows - _SHOWN, 0)).to_pandas()
    text = f"{options.ticker}: {table.num_rows} bars"
    if options.csv or options.parquet:
        path = options.csv or options.parquet
        (write_csv if options.csv else write_parquet)(table, path)
        del result["bars"]
        result["file"] = str(path.resolve())
        return result, f"{text} in {path.resolve()}"
    if table.num_rows > _SHOWN:
        text += f", the last {_SHOWN}"
    if table.num_rows:
        text += "\n" + shown.drop(columns=["ticker"]).to_string(index=False)
    return result, text
