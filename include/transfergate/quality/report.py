"""What a judgement leaves behind: two tables that add up to the batch, and its record."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from transfergate.quality.browse import rule_of
from transfergate.quality.rows import JudgedRows
from transfergate.quality.verdicts import Outcome, Validation
from transfergate.storage.bars import BAR_SCHEMA, LANDING_SCHEMA

QUARANTINE_SCHEMA = pa.schema(
    [("row_id", pa.int64()), *LANDING_SCHEMA, ("reasons", pa.list_(pa.string()))]
)
_FINDINGS = pa.schema(
    [
        ("row_id", pa.int64()),
        ("ticker", pa.string()),
        ("session_date", pa.date32()),
        ("rule", pa.string()),
        ("severity", pa.string()),
    ]
)
_SAMPLE_ROWS = 20
_SHOWN = ("adjusted_return", "split_ratio", "missing_sessions", "sessions_behind", "copy_number")


def split_rows(
    bars: pa.Table, validation: Validation, first_row: int = 0
) -> tuple[pa.Table, pa.Table]:
    """Accepted rows in the bars' schema, and quarantined rows with row_id and reasons.

    Args:
        bars: The batch, or some of its rows in their order, in the landing zone's schema; or one
            that breaks it and was refused.
        validation: Its judgement.
        first_row: Number of the first of these rows in the batch.

    Returns:
        Of a refused batch: none and all.
    """
    places = np.searchsorted(validation.row_ids, [first_row, first_row + bars.num_rows])
    row_ids = validation.row_ids[slice(*places)]
    kept = np.ones(bars.num_rows, dtype=bool)
    kept[row_ids - first_row] = False
    refused = bars.take(pa.array(row_ids - first_row))
    reasons = pa.array([validation.reasons[i] for i in row_ids.tolist()], pa.list_(pa.string()))
    quarantine = refused.add_column(0, "row_id", pa.array(row_ids))
    quarantine = quarantine.append_column("reasons", reasons)
    accepted = bars if kept.all() else bars.filter(pa.array(kept))
    if not bars.schema.remove_metadata().equals(LANDING_SCHEMA):
        return accepted, quarantine
    return accepted.select(BAR_SCHEMA.names), quarantine.cast(QUARANTINE_SCHEMA)


def report_of(validation: Validation, rows: JudgedRows) -> dict[str, Any]:
    """The judgement as JSON: counts, expectations with a sample of failing rows, refusals.

    Args:
        validation: The judgement.
        rows: What was judged.
    """
    first, last = rows.first_session, rows.last_session
    quarantined = len(validation.reasons)
    return {
        "received": validation.received,
        "accepted": validation.received - quarantined,
        "quarantined": quarantined,
        "tickers": int(rows.tickers.nunique()),
        "first_session": first.isoformat() if first else None,
        "last_session": last.isoformat() if last else None,
        "refusals": validation.refusals,
        "tickers_over_limit": validation.tickers_over_limit,
        "let_through": validation.let_through,
        "suspected_splits": _suspected(rows.found),
        **_counts(validation, rows.tickers),
        "known_flaws": [
            {**flaw.model_dump(mode="json"), "rows": rows} for flaw, rows in validation.known
        ],
        "expectations": [_expectation(outcome, rows.found) for outcome in validation.outcomes],
    }


def findings_of(validation: Validation, rows: JudgedRows) -> pa.Table:
    """Every row that breaks a rule with that rule, also where it only warns or is tolerated.

    Args:
        validation: The judgement.
        rows: What was judged.

    Returns:
        ``row_id, ticker, session_date, rule, severity``, in the suite's order.
    """
    columns = ["row_id", "ticker", "session_date"]
    found = [
        rows.found.loc[list(hit), columns].assign(rule=outcome.rule, severity=outcome.severity)
        for outcome in validation.outcomes
        if (hit := outcome.row_ids or outcome.tolerated)
    ]
    if not found:
        return _FINDINGS.empty_table()
    return pa.Table.from_pandas(pd.concat(found), preserve_index=False).cast(_FINDINGS)


def _suspected(frame: pd.DataFrame) -> list[dict[str, Any]]:
    # First session after each gap that looks like a split, with new shares per old.
    if "split_ratio" not in frame.columns:
        return []
    found = frame.loc[frame["split_ratio"].notna(), ["ticker", "session_date", "split_ratio"]]
    return [
        {name: _json(value) for name, value in zip(found.columns, row, strict=True)}
        for row in found.itertuples(index=False, name=None)
    ]


def _counts(validation: Validation, ticker_of: pd.Series[str]) -> dict[str, Any]:
    # Quarantined rows by rule, and by ticker with its rules; those with most rows first.
    names = [*ticker_of.cat.categories, None]
    codes = ticker_of.cat.codes.to_numpy()
    rules: Counter[tuple[str | None, str]] = Counter()
    rows: Counter[str | None] = Counter()
    for row_id, reasons in validation.reasons.items():
        ticker = names[codes[row_id]]
        rows[ticker] += 1
        for rule in {rule_of(reason) for reason in reasons}:
            rules[ticker, rule] += 1
    by_rule: Counter[str] = Counter()
    tickers_of: Counter[str] = Counter()
    by_ticker: dict[str | None, dict[str, int]] = defaultdict(dict)
    for (ticker, rule), count in sorted(rules.items(), key=lambda item: (-item[1], item[0][1])):
        by_rule[rule] += count
        tickers_of[rule] += 1
        by_ticker[ticker][rule] = count
    counts = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    received = dict(zip(names, counts, strict=True)) | {None: int(np.sum(codes < 0))}
    return {
        "quarantined_by_rule": [
            {"rule": rule, "rows": count, "tickers": tickers_of[rule]}
            for rule, count in sorted(by_rule.items(), key=lambda item: (-item[1], item[0]))
        ],
        "quarantined_by_ticker": [
            {"ticker": ticker, "received": received[ticker], "quarantined": count,
             "rules": by_ticker[ticker]}
            for ticker, count in sorted(rows.items(), key=lambda item: (-item[1], str(item[0])))
        ],
    }  # fmt: skip


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
