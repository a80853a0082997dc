"""Deleting finished runs of our DAGs through Airflow's API, and with them their task instances.

A task may not open Airflow's database; a user with the right to delete runs may, by the API.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.sdk.exceptions import AirflowSkipException

from transfergate.orchestration.assets import BY_HAND, CHAIN, MAINTENANCE
from transfergate.orchestration.rest import AirflowApi
from transfergate.settings import RetentionParams

log = logging.getLogger(__name__)


def prune_old_runs(params: RetentionParams, what: str, *, delete: bool) -> dict[str, int]:
    """Delete finished runs that are old, or count them; the newest of each DAG stay.

    Args:
        params: For how long, how many, and by which connection.
        what: What the run was asked for; only ``all`` includes this.
        delete: False only counts.

    Raises:
        AirflowSkipException: If there is no connection, or something else was asked for.
        ChainError: If the API refuses.
    """
    if params.airflow_connection is None or what != "all":
        raise AirflowSkipException(
            "runs stay: retention.airflow_connection names no connection"
            if what == "all"
            else f"only {what} was asked for"
        )
    api = _connected(params.airflow_connection)
    before = datetime.now(UTC) - timedelta(days=params.airflow_days)
    found = {}
    for dag_id in (*CHAIN, *BY_HAND, *MAINTENANCE):
        old = api.finished_runs(dag_id, before)  # the oldest first
        younger = api.count_runs(dag_id) - len(old)
        old = old[: max(len(old) - max(params.airflow_runs - younger, 0), 0)]
        for run_id in old if delete else ():
            api.delete_run(dag_id, run_id)
        found[dag_id] = len(old)
    log.info("%s finished runs before %s: %s", "deleted" if delete else "found", before, found)
    return found


def _connected(connection_id: str) -> AirflowApi:
    from airflow.sdk import BaseHook

    found = BaseHook.get_connection(connection_id)
    port = f":{found.port}" if found.port else ""
    url = f"{found.conn_type if found.conn_type == 'https' else 'http'}://{found.host}{port}"
    return AirflowApi(url, found.login or "", found.password or "")
