"""Commands of the registry: who is champion and why, promote, roll back, decide."""

from __future__ import annotations

import argparse
import getpass

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_command, session
from transfergate.errors import RegistryError


def add(commands: Commands) -> None:
    """Add the registry's commands."""
    add_command(commands, status).add_argument("ticker", nargs="?", metavar="TICKER")
    for function in (promote, rollback):
        added = add_command(commands, function)
        added.add_argument("ticker", metavar="TICKER")
        if function is promote:
            added.add_argument("version", metavar="VERSION")
        added.add_argument("--who", default=getpass.getuser(), help="who approves it")
        added.add_argument("--why", default="by hand", help="the reason, for the history")
    added = add_command(commands, decide)
    added.add_argument("ticker", metavar="TICKER")
    added.add_argument(
        "--as-of", type=session, metavar="DATE", help="a session; default: the newest there is"
    )
    add_command(commands, summary).add_argument("evaluation", nargs="?", metavar="EVALUATION")


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
