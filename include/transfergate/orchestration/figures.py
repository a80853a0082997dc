"""The pipeline's own figures on their way through Airflow's metrics, StatsD or OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfergate import metrics
from transfergate.orchestration.forms import refuse_unknown

if TYPE_CHECKING:
    from airflow.sdk import Context


def before_task(context: Context) -> None:
    """What every task does first: refuse a run with unknown keys, and let figures go to Airflow.

    Raises:
        ValueError: As ``refuse_unknown``.
    """
    refuse_unknown(context)
    metrics.send_to(to_airflow)


def to_airflow(kind: metrics.Kind, name: str, value: float) -> None:
    """Give one figure to Airflow, which does nothing where its metrics are off."""
    from airflow.sdk.observability import stats

    if kind == "count":
        stats.incr(name, round(value))
    else:
        stats.gauge(name, value)
