"""The plugin's app as a browser sees it, for somebody who may read everything."""

from __future__ import annotations

import pytest
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models import import_all_models
from airflow.models.base import Base
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.ui import guard
from transfergate.orchestration.ui.app import app


@pytest.fixture(scope="session")
def airflow_tables():
    """Airflow's tables, empty."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    import_all_models()
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def pages(airflow_tables, monkeypatch):
    """A client of the whole app; only who is asking is not checked: test_ui_guards does."""
    asked = {
        call.call
        for route in app.routes
        if isinstance(route, APIRoute)
        for call in route.dependant.dependencies
        if "requires_access_dag" in getattr(call.call, "__qualname__", "")
        or getattr(call.call, "__name__", "") == "get_user"
    }
    overrides = dict.fromkeys(asked, lambda: None)
    overrides[guard._readable] = lambda: {*CHAIN, *BY_HAND}

    def session():
        with Session(airflow_tables) as opened:
            yield opened

    overrides[SessionDep.__metadata__[0].dependency] = session
    monkeypatch.setattr(app, "dependency_overrides", overrides)
    with TestClient(app, headers={"Accept": "text/html"}) as client:
        yield client
