"""What a judgement leaves behind: two tables that add up to the batch, and its record."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from transfergate.quality.validation import Outcome, Validation
from transfergate.storage.bars import BAR_SCHEMA

QUARANTINE_SCHEMA = pa.schema(
    [("row_id", pa.int64()), *BAR_SCHEMA, ("reasons", pa.list_(pa.string()))]
)
_SAMPLE_ROWS = 20
_SHOWN = ("adjusted_return", "split_ratio", "missing_sessions", "sessions_behind", "copy_number")


def split_rows(bars: pa.Table, validation: Validation) -> tuple[pa.Table, pa.Table]:
    """Accepted rows in the bars' schema, and quarantined rows with row_id and reasons.

    Args:
        bars: The batch, in the bars' schema.
        validation: Its judgement, not a refusal.
    """
    row_ids = sorted(validation.reasons)
    kept = np.ones(bars.num_rows, dtype=bool)
    kept[row_ids] = False
    refused = bars.take(pa.array(row_ids, pa.int64()))
    quarantine = refused.add_column(0, "row_id", pa.array(row_ids, pa.int64())).append_column(
        "reasons", pa.array([validation.reasons[i] for i in row_ids], pa.list_(pa.string()))
    )
    return bars.filter(pa.array(kept)), quarantine.cast(QUARANTINE_SCHEMA)


def report_of(validation: Validation, frame: pd.DataFrame) -> dict[str, Any]:
    """The judgement as JSON: counts, expectations with a sample of failing rows, refusals.

    Args:
        validation: The judgement.
        frame: What was judged.
    """
    by_id = frame.set_index("row_id", drop=False) if "row_id" in frame.columns else frame
    dates = frame["session_date"] if "session_date" in frame.columns else pd.Series([], dtype="O")
    quarantined = len(validation.reasons)
    return {
        "received": validation.received,
        "accepted": validation.received - quarantined,
        "quarantined": quarantined,
        "tickers": int(frame["ticker"].nunique()) if "ticker" in frame.columns else 0,
        "first_session": _json(dates.min()) if len(dates) else None,
        "last_session": _json(dates.max()) if len(dates) else None,
        "refusals": validation.refusals,
        "tickers_over_limit": validation.tickers_over_limit,
        "expectations": [_expectation(outcome, by_id) for outcome in validation.outcomes],
    }


def _expectation(outcome: Outcome, by_id: pd.DataFrame) -> dict[str, Any]:
    columns = ["row_id", *(name for name in BAR_SCHEMA.names if name != "currency")]
    rows = by_id.loc[list(outcome.row_ids[:_SAMPLE_ROWS])] if outcome.row_ids else by_id.iloc[:0]
    # Of the derived columns, only those that say something about one of these rows.
    columns += [
        name for name in _SHOWN if name in rows.columns and bool(rows[name].fillna(0).ne(0).any())
    ]
    return {
        "rule": outcome.rule,
        "text": outcome.text,
        "severity": outcome.severity,
        "passed": outcome.passed,
        "found": outcome.found,
        "rows": len(outcome.row_ids),
        "sample": [
            {name: _json(value) for name, value in zip(columns, row, strict=True)}
            for row in rows[columns].itertuples(index=False, name=None)
        ]
        if outcome.row_ids
        else [],
    }


def _json(value: Any) -> Any:
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
