"""Transfergate's pages inside the Airflow UI.

Every Airflow process imports this file, each task's too: the web framework is imported only when
the API server asks for the app.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

BASE = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
"""Path below which Airflow answers, behind a proxy for example; empty at the root."""


class TransfergatePages(AirflowPlugin):
    """An entry of the navigation, a tab of each DAG and run, and the app that serves them."""

    name = "transfergate_pages"

    external_views = [  # noqa: RUF012 - Airflow reads a plain class attribute
        {
            "name": "Transfer",  # Airflow's bar cuts longer words
            "href": f"{BASE}/transfergate/",
            "destination": "nav",
            "url_route": "transfergate",
            "nav_top_level": True,
        },
        {
            "name": "Transfergate",
            "href": f"{BASE}/transfergate/dags/{{DAG_ID}}",
            "destination": "dag",
            "url_route": "transfergate-dag",
        },
        {
            "name": "What it made",
            "href": f"{BASE}/transfergate/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "transfergate-run",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The app, imported on demand."""
        from transfergate.orchestration.ui.app import PREFIX, app

        return [{"app": app, "url_prefix": PREFIX, "name": "Transfergate"}]
