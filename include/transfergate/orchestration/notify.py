"""What happens when a task has failed for good: one line that an alerting system can match."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class LogFailure(BaseNotifier):
    """Write one ERROR line that names DAG, run, task, map index, try and exception."""

    def notify(self, context: Context) -> None:
        """Log the failure described by the task's context."""
        log.error("%s", failure_line(context))


def failure_line(context: Any) -> str:
    """Render a failed task's context as ``key=value`` pairs on one line."""
    ti = context["ti"]
    error = " ".join(str(context.get("exception") or "killed or timed out").split())
    return (
        f"transfergate task failed: dag={ti.dag_id} run={ti.run_id} task={ti.task_id} "
        f"map_index={ti.map_index} try={ti.try_number} error={error}"
    )
