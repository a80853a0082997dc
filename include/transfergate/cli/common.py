"""What the commands share: the parser that raises, results, small readers of options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Literal, NoReturn

from transfergate.errors import GateInputError

Result = tuple[dict[str, Any], str]
"""What a command prints with ``--json``, and what without."""
Command = Callable[[argparse.Namespace], Result]
Commands = Any
"""What ``ArgumentParser.add_subparsers`` returns."""


class UsageError(Exception):
    """The command line itself cannot be used."""


class Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process, so that ``--json`` holds there too."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def add_command(commands: Commands, function: Command) -> argparse.ArgumentParser:
    """Add a command named like its function, described by its docstring.

    Its exit status is 0; ``set_defaults(status=...)`` makes it a function of the result.
    """
    about = (function.__doc__ or "").strip()
    added: argparse.ArgumentParser = commands.add_parser(
        function.__name__, help=about, description=about
    )
    added.set_defaults(run=function, status=lambda result: 0)
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added.add_argument("-v", "--verbose", action="store_true", help="log to standard error")
    return added


def add_as_of(added: argparse.ArgumentParser) -> None:
    """Add the option that names the moment whose knowledge is asked for."""
    added.add_argument(
        "--as-of",
        type=_moment,
        metavar="WHEN",
        help="what was known then: a date (its end, UTC) or a moment",
    )


def add_source(added: argparse.ArgumentParser) -> None:
    """Add the option that names a source."""
    added.add_argument("--source", help="name of a source; default: the one in the settings")


def lines(result: dict[str, Any]) -> str:
    """One aligned line for each entry of a result."""
    width = max(map(len, result))
    return "\n".join(
        f"{name:<{width}}  {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in result.items()
    )


def tickers(text: str) -> list[str]:
    """Read ``A,B``."""
    return [ticker.strip() for ticker in text.split(",") if ticker.strip()]


def _moment(text: str) -> str:
    """Read a date or a moment that is not empty; what it says is read where it is used."""
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "empty, expected a date such as 2018-02-07 or a moment such as 2018-02-07T18:00Z"
        )
    return text


def count(text: str) -> int:
    """Read a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count, expected a whole number from 1 on")
    return int(text)


def session(text: str) -> str:
    """Read an ISO date."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date, expected ISO such as 2018-02-07"
        ) from error


def write_page(path: Path, page: str, *, mode: Literal["w", "a"] = "w") -> None:
    """Write an HTML page where the user asked for it.

    Appending nothing finds out, before long work, whether that will be possible.

    Raises:
        GateInputError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        raise GateInputError(
            f"--html {path}: cannot be written ({error.strerror}); name a file in a folder that "
            f"you may write to"
        ) from error
