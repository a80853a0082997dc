"""Transfergate's pages inside the Airflow UI.

Every Airflow process imports this file, each task's too: the web framework is imported only when
the API server asks for the app.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class TransfergatePages(AirflowPlugin):
    """A page in the navigation bar, and the app that serves it."""

    name = "transfergate_pages"

    external_views = [  # noqa: RUF012 - Airflow reads a plain class attribute
        {
            "name": "Transfergate",
            "href": "/transfergate/",
            "destination": "nav",
            "url_route": "transfergate",
            "nav_top_level": True,
        }
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The app, imported on demand."""
        from transfergate.orchestration.ui.app import PREFIX, app

        return [{"app": app, "url_prefix": PREFIX, "name": "Transfergate"}]
