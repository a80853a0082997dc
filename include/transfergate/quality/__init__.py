"""Whether bars may be trusted: one suite of expectations, quarantine, Data Docs.

The only importer of great_expectations, and only when a batch is judged.
"""

from transfergate.quality.docs import report_key, write_batch_page, write_index
from transfergate.quality.report import QUARANTINE_SCHEMA, report_of, split_rows
from transfergate.quality.suite import BatchContext
from transfergate.quality.validation import Validation, validate_frame

__all__ = [
    "QUARANTINE_SCHEMA",
    "BatchContext",
    "Validation",
    "report_key",
    "report_of",
    "split_rows",
    "validate_frame",
    "write_batch_page",
    "write_index",
]
