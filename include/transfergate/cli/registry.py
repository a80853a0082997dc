"""Commands of the registry: who is champion and why, promote, roll back, decide."""

from __future__ import annotations

import argparse
import getpass
from typing import Any

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
            added.add_argument(
                "--force", action="store_true", help="although the gate did not say PROMOTE"
            )
        added.add_argument("--who", default=getpass.getuser(), help="who approves it")
        added.add_argument("--why", help="the reason, for the history; --force asks for it")
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
    lines = [
        f"broken       {one['key']}: {one['problem']}\n"
        f"             at {one['where']}. {one['advice']}"
        for one in result["broken"]
    ]
    lines += [f"home         {result['home']}"]
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
            if item["known"]
            else "history broken: nobody can say what serves"
        )
        verdict = f", last verdict {item['verdict']}" if item["verdict"] else ""
        lines.append(f"{ticker:<12} {served}{verdict}{_looks(item['looks'])}")
        if options.ticker is not None:
            lines.append(f"  candidates {', '.join(item['candidates']) or 'none'}")
            lines += [
                f"  {row['number']} {row['action']}{' (forced)' if row['forced'] else ''} to "
                f"{row['version'] or 'flat'} by {row['who']} on {row['when']}: {row['why']}"
                for row in item["history"]
            ]
    return result, "\n".join(lines)


def _looks(block: dict[str, Any] | None) -> str:
    """How often a ticker was looked at, and when it may be again."""
    if not block or not block.get("number"):
        return ""
    wait, spent = block.get("next_admissible_sessions"), block.get("alpha_spent")
    when = "" if wait is None else f", next in {wait} sessions"
    if block.get("next_admissible_date"):
        when += f" (about {block['next_admissible_date']})"
    return (
        f"; look {block['number']}" + ("" if spent is None else f", alpha spent {spent:.3g}") + when
    )


def promote(options: argparse.Namespace) -> Result:
    """Make a candidate the champion by hand."""
    from transfergate import steps

    if options.force and not (options.why or "").strip():
        raise RegistryError(
            f"{options.ticker}: --force without --why; say why the gate is overruled, for the "
            f"history"
        )
    row = steps.promote(
        settings_module.load(),
        options.ticker,
        options.version,
        options.who,
        options.why or "by hand",
        force=options.force,
    )
    before = row["previous"] or "flat"
    forced = ", against the gate" if row["forced"] else ""
    return row, f"{row['ticker']}: {row['version']} is the champion{forced}, before: {before}"


def rollback(options: argparse.Namespace) -> Result:
    """Go back to the champion before the current one."""
    from transfergate import steps

    row = steps.rollback(
        settings_module.load(), options.ticker, options.who, options.why or "by hand"
    )
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
