"""The ``transfergate`` command: the same steps as the DAGs, without Airflow.

Every command takes ``--json`` and then prints one JSON object on standard output and nothing else
there; logs and errors go to standard error. Exit 0 done, 2 unusable input or refused, 1 failure.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from transfergate import metrics
from transfergate import settings as settings_module
from transfergate.cli import (
    bars,
    calibrate,
    chain,
    gate,
    inspect,
    instruments,
    operations,
    quarantine,
    registry,
    secrets,
    sizing,
)
from transfergate.cli.common import Parser, UsageError
from transfergate.errors import TransferGateError


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
    _listen()
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
    return int(options.status(result))


def entry() -> NoReturn:
    """The command's process: ends with the status, whatever threads of libraries still run.

    Native threads that are alive when the interpreter shuts down can abort it, and a caller would
    read a refusal as a crash. A reader that closed the pipe early is no failure.
    """
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        status = 0
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


def _listen() -> None:
    """Send figures where the settings say; settings that cannot be used are the command's."""
    try:
        address = settings_module.load().metrics.statsd
        metrics.send_to(metrics.statsd(address) if address else None)
    except (TransferGateError, OSError) as error:
        logging.getLogger(__name__).warning("figures are not sent: %s", error)


def _refuse(error: Exception, status: int, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}))
    print(f"transfergate: {error}", file=sys.stderr)
    return status


def _parser() -> Parser:
    parser = Parser(
        prog="transfergate",
        description="Does pre-training help this ticker? The steps of the DAGs, without Airflow.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    groups = (
        chain,
        inspect,
        bars,
        instruments,
        quarantine,
        gate,
        registry,
        sizing,
        calibrate,
        secrets,
        operations,
    )
    for group in groups:
        group.add(commands)
    return parser
