"""Whether bars may be trusted: one suite of expectations, quarantine, Data Docs.

The only importer of great_expectations, and only when a batch is judged.
"""

from transfergate.quality.browse import rule_of, write_quarantine_page
from transfergate.quality.declared import DeclaredExpectation, parse_expectations
from transfergate.quality.docs import gx_page_key
from transfergate.quality.judged import JudgedBatch, judged_batches
from transfergate.quality.markup import batch_state
from transfergate.quality.pages import report_key, write_batch_page, write_index
from transfergate.quality.quarantine import (
    NO_TICKER,
    Filter,
    Part,
    quarantine_csv,
    quarantine_part,
)
from transfergate.quality.report import QUARANTINE_SCHEMA, findings_of, report_of, split_rows
from transfergate.quality.rows import JudgedRows
from transfergate.quality.suite import BarValues, BatchContext
from transfergate.quality.validation import validate_frame, validate_portions
from transfergate.quality.verdicts import BATCH_REFUSED, TICKER_LIMIT, Validation

__all__ = [
    "BATCH_REFUSED",
    "NO_TICKER",
    "QUARANTINE_SCHEMA",
    "TICKER_LIMIT",
    "BarValues",
    "BatchContext",
    "DeclaredExpectation",
    "Filter",
    "JudgedBatch",
    "JudgedRows",
    "Part",
    "Validation",
    "batch_state",
    "findings_of",
    "gx_page_key",
    "judged_batches",
    "parse_expectations",
    "quarantine_csv",
    "quarantine_part",
    "report_key",
    "report_of",
    "rule_of",
    "split_rows",
    "validate_frame",
    "validate_portions",
    "write_batch_page",
    "write_index",
    "write_quarantine_page",
]
