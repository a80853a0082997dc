"""Running the suite of expectations on a batch, at once or by portions of its tickers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from transfergate.progress import Progress
from transfergate.quality.batch_rules import batch_expectations
from transfergate.quality.declared import COLUMN_ARGUMENTS, build_expectations
from transfergate.quality.docs import publish_gx_pages
from transfergate.quality.gx_run import GxRun, rules_in_order
from transfergate.quality.merging import PortionResults, broken_rows, kind_of
from transfergate.quality.rows import JudgedRows
from transfergate.quality.suite import (
    BatchContext,
    review_expectations,
    row_expectations,
    structural_expectations,
)
from transfergate.quality.verdicts import Outcome, Validation, judge
from transfergate.settings import QualityParams
from transfergate.storage import ArtefactStore
from transfergate.storage.bars import BAR_SCHEMA

log = logging.getLogger(__name__)

_KEYS = ("ticker", "session_date")


def validate_frame(
    frame: pd.DataFrame, params: QualityParams, context: BatchContext, store: ArtefactStore
) -> Validation:
    """Judge a batch that is at hand, and publish Great Expectations' page of it.

    Args:
        frame: One row per bar received, with ``row_id`` from 0 and the columns of the
            relational checks; or, where its columns or types break the contract, the bars as
            they came, and then only the structure is looked at.
        params: Thresholds.
        context: What the batch is judged against.
        store: Where the Data Docs are.
    """
    return validate_portions([frame], JudgedRows.of(frame), params, context, store)[0]


def validate_portions(
    portions: Iterable[pd.DataFrame],
    rows: JudgedRows,
    params: QualityParams,
    context: BatchContext,
    store: ArtefactStore,
) -> tuple[Validation, JudgedRows]:
    """Judge a batch by portions of its tickers; what is said is said of the whole batch.

    Args:
        portions: Frames with the same columns, each ticker in one of them, with the batch's
            ``row_id``; at least one, in the same order each time they are asked for.
        rows: What is known of all rows.
        params: Thresholds.
        context: What the batch is judged against.
        store: Where the Data Docs are.

    Returns:
        The judgement, and the rows that break a rule.
    """
    log.info("batch %s: validating %d rows", context.batch_id, len(rows))
    first, *more = islice(iter(portions), 2)
    expectations = _expectations(first, rows, params, context)
    with TemporaryDirectory() as rendered:
        if not more:
            run = GxRun(expectations, context.batch_id, rendered)
            results = run.validate(first)
            outcomes = [_outcome(result, broken_rows(result)) for result in results]
            rows = replace(rows, found=first)
        else:
            run, outcomes, found = _in_portions(
                portions, expectations, context.batch_id, rendered, len(rows)
            )
            rows = replace(rows, found=found)
        run.publish()
        publish_gx_pages(store, Path(rendered), context.batch_id)
    if "row_id" in first.columns:
        rows = replace(rows, found=rows.found.set_index("row_id", drop=False))
    return judge(rows, [*outcomes, *_retracted(context)], params, context.released), rows


def _in_portions(
    portions: Iterable[pd.DataFrame],
    expectations: list[Any],
    batch_id: str,
    rendered: str,
    n_rows: int,
) -> tuple[GxRun, list[Outcome], pd.DataFrame]:
    by_kind: dict[str, list[Any]] = {"portions": [], "values": [], "whole": []}
    for expectation in expectations:
        by_kind[kind_of(expectation)].append(expectation)
    seen: dict[str, PortionResults] = {}
    kept, values, columns = [], [], []
    progress = Progress(f"batch {batch_id}: validated", n_rows, "rows")
    for frame in progress.over(portions, len):
        run = GxRun(by_kind["portions"], batch_id, rendered)
        results = run.validate(frame)
        hit = np.unique(np.concatenate([broken_rows(result) for result in results]))
        kept.append(frame[frame["row_id"].isin(hit)])
        for result in results:
            rule = str(result.expectation_config.meta["rule"])
            seen.setdefault(rule, PortionResults(result)).add(result)
        values.append(frame[_columns_of(by_kind["values"], frame, "ticker")].drop_duplicates())
        columns.append(frame[_columns_of(by_kind["whole"], frame, "row_id", *_KEYS)])
    merged = [(part.merged(), part.row_ids) for part in seen.values()]
    if by_kind["values"]:
        frame = pd.concat(values).drop_duplicates(ignore_index=True)
        found = GxRun(by_kind["values"], batch_id, rendered).validate(frame)
        merged += [(result, broken_rows(result)) for result in found]
    if by_kind["whole"]:
        frame = pd.concat(columns).sort_values("row_id", ignore_index=True)
        found = GxRun(by_kind["whole"], batch_id, rendered).validate(frame)
        own = [(result, broken_rows(result)) for result in found]
        merged += own
        missing = set(np.concatenate([rows for _, rows in own]).tolist())
        missing -= {row for part in kept for row in part["row_id"].tolist()}
        if missing:
            kept += [frame[frame["row_id"].isin(missing)] for frame in portions]
    run.merge(expectations, [result for result, _ in merged])
    outcomes = [_outcome(result, rows) for result, rows in merged]
    order = rules_in_order(expectations)
    outcomes.sort(key=lambda outcome: order.index(outcome.rule))
    return run, outcomes, pd.concat(kept).sort_values("row_id", ignore_index=True)


def _columns_of(expectations: list[Any], frame: pd.DataFrame, *always: str) -> list[str]:
    # Those that the expectations name; all of them where one names none.
    named = set(always) if expectations else set()
    for expectation in expectations:
        own: set[str] = set()
        for argument in COLUMN_ARGUMENTS:
            value = getattr(expectation, argument, None) or []
            own |= {value} if isinstance(value, str) else set(value)
        if not own:
            return list(frame.columns)
        named |= own
    return [column for column in frame.columns if column in named]


def _expectations(
    frame: pd.DataFrame, rows: JudgedRows, params: QualityParams, context: BatchContext
) -> list[Any]:
    derived = "row_id" in frame.columns
    columns = list(frame.columns) if derived else list(BAR_SCHEMA.names)
    expectations = list(structural_expectations(columns))
    if derived and len(frame):
        expectations += row_expectations(columns, context.negative_prices)
        expectations += review_expectations(columns, _raw_tickers(rows, context))
        expectations += batch_expectations(params, context)
        own = [str((expectation.meta or {}).get("rule")) for expectation in expectations]
        expectations += build_expectations(context.declared, columns, own)
    return expectations


def _retracted(context: BatchContext) -> list[Outcome]:
    # No row of the batch shows it: the jump stands between bars that were loaded before.
    if not context.retracted:
        return []
    text = "no split is taken back between bars on file, whose prices then jump unexplained"
    found = "; ".join(context.retracted)
    return [Outcome("retracted_split", text, "warning", False, found, ())]


def _raw_tickers(rows: JudgedRows, context: BatchContext) -> list[str]:
    # Those whose prices nothing adjusts, neither the vendor nor an action on file.
    if context.prices == "adjusted":
        return []
    tickers = set(rows.tickers.dropna().unique())
    if context.prices == "auto":
        tickers -= context.acted | rows.vendor_adjusted
    return sorted(tickers)


def _outcome(result: Any, row_ids: npt.NDArray[np.int64]) -> Outcome:
    config = result.expectation_config
    details = result.result or {}
    passed = bool(result.success)
    rows = tuple(row_ids.tolist())
    # A rule with a tolerance may pass although some rows break it.
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
