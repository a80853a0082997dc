"""Running the suite of expectations on a batch."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from transfergate.quality.declared import build_expectations
from transfergate.quality.docs import publish_gx_pages
from transfergate.quality.suite import (
    SUITE_NAME,
    BatchContext,
    batch_expectations,
    review_expectations,
    row_expectations,
    structural_expectations,
)
from transfergate.quality.verdicts import Outcome, Validation, judge
from transfergate.settings import QualityParams
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import BAR_SCHEMA

log = logging.getLogger(__name__)

_SAMPLE_ROWS = 20


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
    return judge(frame, [_outcome(result) for result in results], params, context.released)


def _expectations(frame: pd.DataFrame, params: QualityParams, context: BatchContext) -> list[Any]:
    derived = "row_id" in frame.columns
    columns = list(frame.columns) if derived else list(BAR_SCHEMA.names)
    expectations = list(structural_expectations(columns))
    if derived and len(frame):
        expectations += row_expectations(columns, context.negative_prices)
        expectations += review_expectations(columns, _raw_tickers(frame, context))
        expectations += batch_expectations(params, context)
        own = [str((expectation.meta or {}).get("rule")) for expectation in expectations]
        expectations += build_expectations(context.declared, columns, own)
    return expectations


def _raw_tickers(frame: pd.DataFrame, context: BatchContext) -> list[str]:
    # Those whose prices nothing adjusts, neither the vendor nor an action on file.
    if context.prices == "adjusted":
        return []
    tickers = set(frame["ticker"].dropna())
    if context.prices == "auto":
        tickers -= context.acted | set(frame.loc[frame["adj_close"].notna(), "ticker"])
    return sorted(tickers)


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
    if listed and "row_id" in listed[0]:
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
        () if passed else rows,
        rows if passed else (),
    )


def _exception(info: Any) -> str:
    # Either one record, or one per metric.
    records = [info] if "raised_exception" in (info or {}) else list((info or {}).values())
    messages = [str(r.get("exception_message")) for r in records if r.get("raised_exception")]
    return messages[0].splitlines()[0] if messages else "the check gave none"
