"""Links hold where Airflow answers below a path of its own, and a log-in leads back."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from tests.made_records import chain
from transfergate import steps
from transfergate.orchestration import addresses
from transfergate.orchestration.notify import approval_notice
from transfergate.orchestration.ui import app as app_module
from transfergate.orchestration.ui import data
from transfergate.orchestration.ui.app import PREFIX, app
from transfergate.settings import Settings

BASE = "https://host.example/airflow"


@pytest.fixture
def below(monkeypatch, tmp_path):
    """Airflow's address has a path, as behind a proxy."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", BASE)
    monkeypatch.setenv("TRANSFERGATE_HOME", str(tmp_path))
    monkeypatch.setattr(data, "_KEPT", {})
    addresses.base_path.cache_clear()
    yield chain(tmp_path / "artefacts")
    addresses.base_path.cache_clear()


def mounted(root_path: str) -> TestClient:
    whole = FastAPI(root_path=root_path)
    whole.mount(PREFIX, app)
    return TestClient(whole, base_url="https://host.example", headers={"Accept": "text/html"})


def test_every_link_of_a_page_stands_below_the_path(below, pages):
    with mounted("/airflow") as client:
        for path in ("/", "/champions/AAA", "/lineage/champion/AAA", "/evaluations", "/batches"):
            answer = client.get(f"/airflow{PREFIX}{path}")
            assert answer.status_code == 200
            links = re.findall(r'(?:href|src|data-api|data-done)="(/[^"]*)"', answer.text)
            assert links
            assert [link for link in links if not link.startswith("/airflow/")] == []
        tab = client.get(f"/airflow{PREFIX}/dags/finetune_tickers", follow_redirects=False)
        assert tab.headers["location"] == "/airflow/transfergate/evaluations"


def test_the_approval_leads_to_the_report_below_the_path(below, tmp_path):
    asked = steps.approval_request(Settings(home=tmp_path), "e1", addresses.pages())
    assert "(/airflow/transfergate/evaluations/e1)" in asked["body"]


def test_a_notice_leads_below_the_path(below):
    ti = SimpleNamespace(
        dag_id="finetune_tickers", run_id="r", task_id="approve", map_index=-1, try_number=1,
        log_url=f"{BASE}/dags/finetune_tickers/runs/r/tasks/approve?try_number=1",
    )  # fmt: skip
    task = SimpleNamespace(subject="Promote?", response_timeout=timedelta(hours=1))
    url = approval_notice({"ti": ti, "task": task}).url
    assert url == f"{BASE}/dags/finetune_tickers/runs/r/tasks/approve/required_actions"


def refused() -> None:
    raise HTTPException(401, "Not authenticated")


@pytest.mark.parametrize(
    ("asked", "back"),
    [
        ("/evaluations/e1?ticker=AAA", "/evaluations/e1?ticker=AAA"),
        ("/evaluations/e1?ticker=%5EGSPC&x=1%262", "/evaluations/e1?ticker=%5EGSPC&x=1%262"),
        ("/champions/%5EGSPC", "/champions/%5EGSPC"),
        ("/", "/"),
        ("//evil.example/x?next=https://evil.example", None),
        ("/%2F%2Fevil.example", None),
        ("/batches/b1/quarantine?ticker=https%3A%2F%2Fevil.example", None),
    ],
)
def test_a_log_in_leads_back_to_all_that_was_asked_for(below, monkeypatch, asked, back):
    monkeypatch.setattr(app, "dependency_overrides", {get_user: refused})
    manager = SimpleNamespace(get_url_login=lambda: "/airflow/auth/login")
    monkeypatch.setattr(app_module, "get_auth_manager", lambda: manager)
    with mounted("/airflow") as client:
        answer = client.get(f"/airflow{PREFIX}{asked}", follow_redirects=False)
    if answer.status_code == 404:  # no such route: nobody is sent anywhere
        assert back is None
        return
    assert answer.status_code == 307
    (way,) = parse_qs(urlsplit(answer.headers["location"]).query)["next"]
    assert way.startswith("/airflow/transfergate/"), "a path below ours, never a host"
    assert back is None or way == f"/airflow/transfergate{back}"
