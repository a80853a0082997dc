"""The command of the gate: judge a file of returns."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from transfergate import settings as settings_module
from transfergate.cli.common import Commands, Result, add_command, write_page
from transfergate.errors import GateInputError
from transfergate.settings import GateParams


def add(commands: Commands) -> None:
    """Add the gate's command."""
    added = add_command(commands, gate)
    added.add_argument("file", type=Path, metavar="FILE", help="*.parquet or *.csv of returns")
    added.add_argument("--config", type=Path, help="TOML or JSON with settings of the gate")
    added.add_argument("--html", type=Path, metavar="OUT", help="write a report to this file")
    added.add_argument(
        "--keep-going", action="store_true", help="judge the rest when a ticker is unusable"
    )


def gate(options: argparse.Namespace) -> Result:
    """Judge a Parquet or CSV file of out-of-sample returns."""
    from transfergate.evaluation.gate import finite, judge
    from transfergate.evaluation.returns_file import read_returns
    from transfergate.reporting import chart_data, describe, evaluation_page, render_verdicts

    params = _gate_params(options.config)
    returns = read_returns(options.file)
    result = judge(returns, params, keep_going=options.keep_going)
    series, descriptions = describe(returns.table)
    for ticker, report in result["tickers"].items():
        report |= finite(descriptions.get(ticker, {}))
    text = render_verdicts(result)
    if options.html is not None:
        charts = {ticker: chart_data(arms) for ticker, arms in series.items()}
        write_page(options.html, evaluation_page(result, charts))
        text += f"\nreport {options.html.resolve()}"
    return result, text


def _gate_params(config: Path | None) -> GateParams:
    """The gate's settings, with those of a TOML or JSON file on top (also below ``gate``)."""
    import tomllib

    from pydantic import ValidationError

    base = settings_module.load().gate
    if config is None:
        return base
    try:
        text = config.read_text(encoding="utf-8")
        given = json.loads(text) if config.suffix == ".json" else tomllib.loads(text)
        return GateParams.model_validate({**base.model_dump(), **given.get("gate", given)})
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise GateInputError(
            f"--config {config}: {error}; expected TOML or JSON with "
            f"{', '.join(GateParams.model_fields)}"
        ) from error
