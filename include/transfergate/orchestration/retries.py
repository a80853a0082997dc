"""Which failures are worth another try, and why; spread into a task's arguments.

Steps are transactions: a second try either finds the work done or does it anew.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from transfergate import settings
from transfergate.orchestration.figures import before_task
from transfergate.orchestration.notify import failure_notifiers

_BUSY = RetryRule(
    exception="transfergate.errors.WarehouseBusy",
    action=RetryAction.RETRY,
    retry_delay=timedelta(seconds=30),
    reason="another process holds the warehouse; it is released when that process ends",
)
_AWAY = RetryRule(
    exception=["transfergate.errors.StorageUnavailable", "transfergate.errors.SourceUnavailable"],
    action=RetryAction.RETRY,
    retry_delay=timedelta(minutes=2),
    reason="a store or source refuses or is away; nothing was published, and it may come back",
)
_REFUSED = RetryRule(
    exception=["transfergate.errors.TransferGateError", "builtins.ValueError"],
    action=RetryAction.FAIL,
    reason="a refusal depends on its inputs alone: the same inputs are refused again",
)

_QUEUES = settings.load().queues

DEFAULTS: dict[str, Any] = {
    "queue": _QUEUES.default,
    "retries": 1,
    "retry_delay": timedelta(seconds=10),
    "retry_policy": ExceptionRetryPolicy(rules=[_BUSY, _AWAY, _REFUSED]),
    "pre_execute": before_task,
    "on_failure_callback": failure_notifiers(settings.load().notify),
}
"""For every task: one more try in case its process was killed; refusals fail at once."""

FETCHING: dict[str, Any] = {
    "execution_timeout": timedelta(minutes=settings.load().ingest.fetch_timeout_minutes)
}
"""A source that never answers ends as a failure, tried once more."""

WAREHOUSE: dict[str, Any] = {
    "pool": "duckdb_writer",
    "queue": _QUEUES.warehouse,
    "retries": 3,
}
"""One writer at a time, on the machine that has the file: DuckDB refuses every other process while
one has it open."""

TRAINING: dict[str, Any] = {"pool": "gpu", "queue": _QUEUES.training, "retries": 2}
"""Training resumes from its checkpoints, so a lost worker costs minutes, not the run."""
