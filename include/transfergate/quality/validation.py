"""Judging a batch: run the suite, sort rows into accepted and quarantined, or refuse the batch."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from transfergate.quality.docs import publish_gx_pages
from transfergate.quality.suite import (
    SUITE_NAME,
    BatchContext,
    batch_expectations,
    row_expectations,
    structural_expectations,
)
from transfergate.settings import QualityParams
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import BAR_SCHEMA

log = logging.getLogger(__name__)

_SAMPLE_ROWS = 20
TICKER_LIMIT = "ticker_over_limit"


@dataclass(frozen=True)
class Outcome:
    """What one expectation found.

    Attributes:
        rule: Its name, as it stands in a quarantined row's reasons.
        text: What it demands.
        severity: ``critical`` or ``warning``.
        passed: Whether it holds.
        found: What was seen, in words, where it does not.
        row_ids: Rows that break it; empty for one about the whole batch.
    """

    rule: str
    text: str
    severity: str
    passed: bool
    found: str
    row_ids: tuple[int, ...]


@dataclass(frozen=True)
class Validation:
    """The judgement of one batch.

    Attributes:
        received: Rows of the batch.
        reasons: Rules broken by each quarantined row, by ``row_id``; the others are accepted.
        refusals: Why the whole batch is refused; empty where it may be loaded.
        outcomes: Of every expectation, in the suite's order.
        tickers_over_limit: Why each ticker is quarantined whole.
    """

    received: int
    reasons: dict[int, list[str]]
    refusals: list[str]
    outcomes: list[Outcome]
    tickers_over_limit: dict[str, str]


def validate_frame(
    frame: pd.DataFrame, params: QualityParams, context: BatchContext, store: ArtefactStore
) -> Validation:
    """Judge a batch and publish Great Expectations' page of it.

    Args:
        frame: One row per bar received, with ``row_id`` from 0 and the columns of the
            relational checks; or, where its columns or types break the contract, the bars as
            they came, and then only the structure is looked at.
        params: Thresholds.
        context: What the batch is judged against.
        store: Where the Data Docs are.
    """
    log.info("batch %s: validating %d rows", context.batch_id, len(frame))
    with TemporaryDirectory() as rendered:
        expectations = _expectations(frame, params, context)
        results = _run(frame, expectations, context.batch_id, rendered)
        publish_gx_pages(store, Path(rendered), context.batch_id)
    outcomes = [_outcome(result) for result in results]
    refusals = [
        f"{outcome.rule}: expected {outcome.text}, found {outcome.found}"
        for outcome in outcomes
        if not outcome.passed and outcome.severity == "critical" and not outcome.row_ids
    ]
    reasons: dict[int, list[str]] = {}
    for outcome in outcomes:
        if outcome.severity == "critical":
            for row_id in outcome.row_ids:
                reasons.setdefault(row_id, []).append(outcome.rule)
    over_limit: dict[str, str] = {}
    if not refusals:
        over_limit = _quarantine_tickers(frame, reasons, params.max_bad_row_frac)
        refusals = _too_little_left(frame, reasons, over_limit, params.max_bad_ticker_frac)
    return Validation(len(frame), reasons, refusals, outcomes, over_limit)


def _expectations(frame: pd.DataFrame, params: QualityParams, context: BatchContext) -> list[Any]:
    derived = "row_id" in frame.columns
    columns = list(frame.columns) if derived else list(BAR_SCHEMA.names)
    expectations = list(structural_expectations(columns))
    if derived and len(frame):
        expectations += [*row_expectations(), *batch_expectations(params, context)]
    return expectations


def _run(frame: pd.DataFrame, expectations: list[Any], batch_id: str, rendered: str) -> list[Any]:
    # Everything but the rendered site lives in memory: no configuration is left behind. The
    # site is a folder of its own, because a build deletes pages of runs that it does not know.
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={
            "site": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": rendered,
                },
            }
        },
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    asset = context.data_sources.add_pandas("bars").add_dataframe_asset("bars")
    definition = gx.ValidationDefinition(
        name="bars",
        data=asset.add_batch_definition_whole_dataframe("batch"),
        suite=context.suites.add(gx.ExpectationSuite(name=SUITE_NAME, expectations=expectations)),
    )
    indexed = [name for name in ("row_id", "ticker", "session_date") if name in frame.columns]
    checkpoint = gx.Checkpoint(
        name="bars",
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")],
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": indexed,
            "partial_unexpected_count": _SAMPLE_ROWS,
            "return_unexpected_index_query": False,
        },
    )
    result = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": frame}, run_id=RunIdentifier(run_name=batch_id)
    )
    return [item for run in result.run_results.values() for item in run.results]


def _outcome(result: Any) -> Outcome:
    config = result.expectation_config
    details = result.result or {}
    passed = bool(result.success)
    rows: tuple[int, ...] = ()
    # A rule with a tolerance may pass although some rows break it.
    listed = details.get("unexpected_index_list") or []
    if not passed and listed and "row_id" in listed[0]:
        rows = tuple(sorted({int(item["row_id"]) for item in listed}))
    if passed:
        found = ""
    elif rows:
        found = f"{len(rows):,} of {details['element_count']:,} rows break it"
    elif "observed_value" in details:
        found = str(details["observed_value"])
    else:
        found = f"no result ({_exception(result.exception_info)})"
    return Outcome(
        config.meta["rule"],
        config.meta["text"],
        str(getattr(config.severity, "value", config.severity)),
        passed,
        found,
        rows,
    )


def _exception(info: Any) -> str:
    # Either one record, or one per metric.
    records = [info] if "raised_exception" in (info or {}) else list((info or {}).values())
    messages = [str(r.get("exception_message")) for r in records if r.get("raised_exception")]
    return messages[0].splitlines()[0] if messages else "the check gave none"


def _quarantine_tickers(
    frame: pd.DataFrame, reasons: dict[int, list[str]], max_bad_row_frac: float
) -> dict[str, str]:
    # Adds a reason to every row of a ticker with too many bad rows. The limit is rounded up to
    # whole rows: one bad row must not condemn a ticker of which a daily batch has but a few.
    ticker_of = frame.set_index("row_id")["ticker"]
    received = ticker_of.value_counts()
    bad = Counter(ticker_of.loc[list(reasons)].dropna())
    over_limit = {}
    for ticker, count in sorted(bad.items()):
        if count > math.ceil(max_bad_row_frac * received[ticker]):
            over_limit[ticker] = (
                f"{TICKER_LIMIT}: {count} of {received[ticker]} rows broke a rule, "
                f"limit {max_bad_row_frac:.2%}"
            )
    for row_id, ticker in ticker_of[ticker_of.isin(list(over_limit))].items():
        reasons.setdefault(int(str(row_id)), []).append(over_limit[ticker])
    return over_limit


def _too_little_left(
    frame: pd.DataFrame,
    reasons: dict[int, list[str]],
    over_limit: dict[str, str],
    max_bad_ticker_frac: float,
) -> list[str]:
    # Of rows, too: in a batch of one session a ticker is a row.
    tickers = frame["ticker"].nunique()
    if len(over_limit) > max_bad_ticker_frac * tickers:
        shown = ", ".join(list(over_limit)[:10]) + (", …" if len(over_limit) > 10 else "")
        return [
            f"bad_tickers: expected at most {max_bad_ticker_frac:.0%} of {tickers} tickers over "
            f"their limit of bad rows, found {len(over_limit)}: {shown}"
        ]
    if len(reasons) == len(frame) or len(reasons) > max_bad_ticker_frac * len(frame):
        return [
            f"bad_rows: expected at most {max_bad_ticker_frac:.0%} of {len(frame)} rows to be "
            f"quarantined and one to be left, found {len(reasons)}"
        ]
    return []
