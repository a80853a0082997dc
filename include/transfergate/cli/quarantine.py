"""Commands of the quarantine: list, show, export, release."""

from __future__ import annotations

import argparse
import csv
import getpass
import io
from datetime import date
from pathlib import Path
from typing import Any

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_command, count, session

_KEPT = 15


def add(commands: Commands) -> None:
    """Add ``quarantine`` with its four commands."""
    about = "Look at rows that were refused, and let genuine ones through."
    group = commands.add_parser("quarantine", help=about, description=about)
    actions = group.add_subparsers(required=True, metavar="ACTION")
    listed = add_command(actions, _list)
    _add_choice(listed)
    listed.add_argument("--reason", metavar="RULE", help="such as close_positive")
    listed.add_argument("--limit", type=count, default=20, help="rows to list; default 20")
    listed.add_argument(
        "--as-actions", action="store_true", help="print suspected splits as a CSV of actions"
    )
    shown = add_command(actions, show)
    shown.add_argument("batch", metavar="BATCH")
    shown.add_argument("row", metavar="ROW", type=int)
    exported = add_command(actions, export)
    exported.add_argument("out", metavar="OUT", type=Path, help="a .csv or .parquet file")
    _add_choice(exported)
    exported.add_argument("--reason", metavar="RULE", help="such as close_positive")
    released = add_command(actions, release)
    _add_choice(released)
    released.add_argument("--reason", metavar="RULE", help="only rows that broke this rule")
    released.add_argument("--rows", type=_row_ids, default=(), metavar="N,M", help="of the batch")
    released.add_argument("--who", default=getpass.getuser(), help="who lets them through")
    released.add_argument("--why", required=True, help="the reason, for whoever asks later")


def _list(options: argparse.Namespace) -> Result:
    """Count refused rows by batch, reason and ticker, and list the first of them."""
    from transfergate.steps import quarantine

    settings, asked = settings_module.load(), _asked(options)
    if options.as_actions:
        result = quarantine.suspected_actions(settings, asked)
        return result, _actions_csv(result["actions"])
    result = quarantine.list_quarantine(settings, asked, options.limit)
    lines = [f"{result['rows']:,} rows in quarantine"]
    for batch in result["batches"][:_KEPT]:
        lines.append(
            f"  batch {batch['batch_id']} of {batch['source']}, {batch['state']}: "
            f"{batch['rows']:,} rows, {batch['released']:,} released"
        )
    for name in ("reasons", "tickers"):
        counts = result[name]
        shown = ", ".join(f"{key} {count:,}" for key, count in list(counts.items())[:_KEPT])
        more = f", and {len(counts) - _KEPT} more" if len(counts) > _KEPT else ""
        lines.append(f"  {name}: {shown}{more}" if counts else f"  {name}: none")
    lines += [_line(row) for row in result["shown"]]
    if result["rows"] > len(result["shown"]):
        lines.append(f"… and {result['rows'] - len(result['shown']):,} more: --limit, --ticker, …")
    return result, "\n".join(lines)


_list.__name__ = "list"


def show(options: argparse.Namespace) -> Result:
    """Show one refused row: its values, the rules it broke, file and line, whether released."""
    from transfergate.steps import quarantine

    row = quarantine.show_quarantined(settings_module.load(), options.batch, options.row)
    values = {
        **row,
        "reasons": "; ".join(row["reasons"]),
        "unreadable": "; ".join(f"{name}: {text!r}" for name, text in row["unreadable"].items()),
    }
    if row["release"]:
        values["release"] = "; ".join(f"{name} {value}" for name, value in row["release"].items())
    width = max(map(len, values))
    return row, "\n".join(
        f"{name:<{width}}  {'' if value is None else value}" for name, value in values.items()
    )


def export(options: argparse.Namespace) -> Result:
    """Write refused rows, with what they broke and whether they were released, to a file."""
    from transfergate.steps import quarantine

    result = quarantine.export_quarantine(settings_module.load(), _asked(options), options.out)
    return result, f"{result['rows']:,} rows in {result['file']}"


def release(options: argparse.Namespace) -> Result:
    """Load refused rows as genuine, with who and why; they stay in the quarantine."""
    from transfergate.steps import releases

    result = releases.release_quarantined(
        settings_module.load(), _asked(options), options.rows, options.who, options.why
    )
    return result, str(result["message"])


def _add_choice(added: argparse.ArgumentParser) -> None:
    added.add_argument("--source", metavar="NAME", help="name of a source")
    added.add_argument("--batch", metavar="BATCH", help="id of a batch, or its beginning")
    added.add_argument("--ticker", metavar="TICKER")
    added.add_argument("--start", type=session, metavar="DATE", help="first session")
    added.add_argument("--end", type=session, metavar="DATE", help="last session")


def _asked(options: argparse.Namespace) -> Any:
    from transfergate.steps.quarantine import Asked

    return Asked(
        source=options.source,
        batch=options.batch,
        ticker=options.ticker,
        reason=options.reason,
        first=date.fromisoformat(options.start) if options.start else None,
        last=date.fromisoformat(options.end) if options.end else None,
    )


def _row_ids(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 3,17") from error


def _actions_csv(actions: list[dict[str, Any]]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(("ticker", "effect_date", "kind", "value"))
    writer.writerows(action.values() for action in actions)
    return sink.getvalue().rstrip("\n")


def _line(row: dict[str, Any]) -> str:
    prices = " ".join(
        "null" if row[name] is None else f"{row[name]:.8g}" if isinstance(row[name], float)
        else str(row[name])
        for name in ("open", "high", "low", "close")
    )  # fmt: skip
    where = f" {row['origin']}:{row['line'] or ''}".rstrip(":") if row.get("origin") else ""
    rules = ", ".join(dict.fromkeys(reason.split(":")[0] for reason in row["reasons"]))
    return (
        f"{row['batch_id'][:8]} {row['row_id']:>8} {row['ticker']!s:<10} {row['session_date']} "
        f"{prices}{where}  {rules}{' (released)' if row['released'] else ''}"
    )
