"""No page of the plugin is open: whatever route is added, Airflow is asked who reads it."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import get_user
from fastapi.routing import APIRoute

from transfergate.orchestration.ui.app import app


def asked(dependant) -> set[object]:
    """Everything that runs before a route, however deep."""
    found = {dependant.call}
    for inner in dependant.dependencies:
        found |= asked(inner)
    return found


def test_every_route_asks_who_reads():
    assert [route.path for route in app.routes if not isinstance(route, APIRoute)] == []
    open_routes = [route.path for route in app.routes if get_user not in asked(route.dependant)]
    assert open_routes == []


def test_every_page_but_the_assets_asks_for_the_right_to_read_a_dag():
    def guards(route):
        return [
            call
            for call in asked(route.dependant)
            if "requires_access_dag" in getattr(call, "__qualname__", "")
        ]

    unguarded = [route.path for route in app.routes if len(guards(route)) != 1]
    assert unguarded == ["/static/{path:path}"]


def test_pages_only_read():
    assert {method for route in app.routes for method in route.methods} <= {"GET", "HEAD"}
