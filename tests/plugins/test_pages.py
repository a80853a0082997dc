"""The pages inside Airflow: readable when logged in, closed otherwise, never beyond a folder.

And what else needs an Airflow that runs: its pools, its secrets, the pruning of its old runs.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import jwt
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from tests.plugins.conftest import DAG_OF_RUNS, EVALUATION
from transfergate.orchestration.assets import BY_HAND, CHAIN, MAINTENANCE
from transfergate.orchestration.embedded import EmbeddedAirflow
from transfergate.orchestration.old_runs import prune_old_runs
from transfergate.orchestration.rest import ChainError
from transfergate.orchestration.ui.app import app
from transfergate.settings import RetentionParams, Settings

PATHS = ["/evaluations", f"/evaluations/{EVALUATION}/report.html", "/data_docs/index.html"]
ROUTES = [re.sub(r"{[^}]*}", "e1", route.path) for route in app.routes]


@pytest.fixture
def admin(airflow):
    login = {"username": "admin", "password": airflow.secrets["admin_password"]}
    token = httpx.post(f"{airflow.url}/auth/token", json=login).json()["access_token"]
    with httpx.Client(
        base_url=f"{airflow.url}/transfergate",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    ) as client:
        yield client


def test_nobody_reads_any_page_without_logging_in(airflow):
    for path in [*ROUTES, *PATHS]:
        answer = httpx.get(f"{airflow.url}/transfergate{path}", timeout=30)
        assert (path, answer.status_code) == (path, 401)
        assert answer.text == "Not authenticated"


def test_nobody_reads_any_page_with_a_token_that_others_signed(airflow):
    forged = jwt.encode({"sub": "admin", "role": "ADMIN", "exp": time.time() + 900}, "x" * 64)
    for path in [*ROUTES, *PATHS]:
        url = f"{airflow.url}/transfergate{path}"
        for given in (
            {"headers": {"Authorization": f"Bearer {forged}"}},
            {"headers": {"Cookie": f"_token={forged}"}},
        ):
            answer = httpx.get(url, timeout=30, **given)
            assert (path, answer.status_code in (401, 403)) == (path, True)
            assert "e1" not in answer.text


def test_a_user_who_may_read_no_dag_gets_no_data(airflow, admin):
    token = admin.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    algorithm = jwt.get_unverified_header(token)["alg"]
    secret = airflow.secrets["jwt_secret"]
    for role, status in (("ADMIN", 200), (None, 403)):
        own = jwt.encode(claims | {"sub": "guest", "role": role}, secret, algorithm)
        with httpx.Client(headers={"Authorization": f"Bearer {own}"}, timeout=30) as guest:
            for path in PATHS:
                answer = guest.get(f"{airflow.url}/transfergate{path}")
                assert (role, path, answer.status_code) == (role, path, status)
    with httpx.Client(headers={"Authorization": f"Bearer {own}"}, timeout=30) as guest:
        for path in ROUTES:
            answer = guest.get(f"{airflow.url}/transfergate{path}")
            assert "e1" not in answer.text, path
            assert "AAA" not in answer.text, path


def test_a_browser_without_a_session_is_sent_to_log_in(airflow):
    answer = httpx.get(f"{airflow.url}/transfergate/", headers={"Accept": "text/html"}, timeout=30)
    assert answer.status_code == 307
    assert answer.headers["location"] == "/auth/login?next=/transfergate/"


def test_style_sheets_and_scripts_are_kept_by_the_browser(admin):
    page = admin.get("/evaluations").text
    for name in ("pages.css", "pages.js", "theme.js"):
        address = re.search(rf"/transfergate(/static/{name}\?v=[0-9a-f]{{12}})", page)[1]
        answer = admin.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_a_page_that_is_not_there_leads_back(admin):
    answer = admin.get("/evaluations/none/report.html", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert 'href="/transfergate/"' in answer.text


@pytest.mark.parametrize(
    ("path", "text"), list(zip(PATHS, ("e1", "verdicts", "checked"), strict=True))
)
def test_a_logged_in_user_reads(admin, path, text):
    answer = admin.get(path)
    assert answer.status_code == 200
    assert text in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/evaluations/../champions/secret.json",
        "/evaluations/..%2fchampions%2fsecret.json",
        "/evaluations/%2e%2e/champions/secret.json",
        "/data_docs/%2fetc%2fpasswd",
        "/evaluations/e1",
        f"/evaluations/{EVALUATION}/link",
        f"/evaluations/{EVALUATION}/verdicts.json",
        "/evaluations/none/report.html",
        "/evaluations/a%00b",
        "/champions/secret.json",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
    ],
)
def test_nothing_outside_the_folders_is_served(admin, path):
    assert admin.get(path).status_code == 404


def test_the_page_is_in_the_navigation_bar(airflow):
    plugins = airflow.api.plugins()
    views = [view for plugin in plugins for view in plugin["external_views"]]
    assert "Transfer" in [view["name"] for view in views]


def test_a_run_has_a_tab_about_what_it_made(airflow):
    views = [view for plugin in airflow.api.plugins() for view in plugin["external_views"]]
    assert {view["destination"]: view["href"] for view in views} == {
        "nav": "/transfergate/",
        "dag": "/transfergate/dags/{DAG_ID}",
        "dag_run": "/transfergate/runs/{DAG_ID}/{RUN_ID}",
    }


def test_the_overview_sees_what_airflow_knows_of_the_chain(admin, airflow):
    assert "4 DAGs are paused" in admin.get("/").text
    airflow.api.set_paused("build_features", False)
    assert "3 DAGs are paused" in admin.get("/").text
    airflow.api.set_paused("build_features", True)


def test_the_tab_of_a_run_leads_to_what_it_made(admin, airflow):
    run = airflow.api.trigger("finetune_tickers", {})
    tab = f"/runs/finetune_tickers/{quote(run, safe='')}"
    assert "Nothing yet" in admin.get(tab).text
    told = {"key": "return_value", "value": "e1"}
    way = f"{airflow.url}/api/v2/dags/finetune_tickers/dagRuns/{quote(run, safe='')}"
    token = {"Authorization": admin.headers["Authorization"]}
    answer = httpx.post(
        f"{way}/taskInstances/judge/xcomEntries", json=told, headers=token, timeout=30
    )
    assert answer.status_code == 201
    assert admin.get(tab).headers["location"] == "/transfergate/evaluations/e1"


def test_the_tab_of_a_dag_leads_to_its_page(admin):
    assert admin.get("/dags/ingest_daily_bars").headers["location"] == "/transfergate/batches"
    assert "none of Transfergate" in admin.get("/dags/somebody_elses").text


@pytest.mark.parametrize("dag_id", [*CHAIN, *BY_HAND, *MAINTENANCE])
def test_every_dag_of_ours_has_a_page_of_ours(admin, dag_id):
    assert "none of Transfergate" not in admin.get(f"/dags/{dag_id}").text
    assert "none of Transfergate" not in admin.get(f"/runs/{dag_id}/none").text


def test_a_rollback_is_asked_for_with_the_session_of_the_browser(admin, airflow):
    # what rollback.js does: no token in the page, the cookie of the log-in goes along
    token = admin.headers["Authorization"].removeprefix("Bearer ")
    way = f"{airflow.url}/api/v2/dags/roll_back_champion"
    body = {
        "logical_date": None,
        "conf": {"ticker": "AAA", "champion": "a2", "why": "too risky"},
    }
    page = admin.get("/champions/AAA/rollback").text
    assert 'data-api="/api/v2/dags/roll_back_champion"' in page
    with httpx.Client(cookies={"_token": token}, timeout=30) as browser:
        assert browser.get(way).json()["is_paused"] is False
        answer = browser.post(f"{way}/dagRuns", json=body)
        assert answer.status_code == 200
        assert answer.json()["state"] == "queued"
        assert answer.json()["triggering_user_name"] == "admin"
        body["conf"]["why"] = "x"
        assert browser.post(f"{way}/dagRuns", json=body).status_code == 400
    assert httpx.post(f"{way}/dagRuns", json=body, timeout=30).status_code == 401


def test_pools_are_there_before_any_task_can_wait_for_them(airflow):
    assert airflow.api.pool_slots()["duckdb_writer"] == 1
    assert airflow.api.pool_slots()["gpu"] >= 1


def test_secrets_are_drawn_and_private(airflow):
    file = Path(airflow.home / "secrets.json")
    assert file.stat().st_mode & 0o077 == 0
    assert min(len(value) for value in airflow.secrets.values()) >= 16


def test_a_second_airflow_in_the_same_folder_is_refused(airflow):
    settings = Settings(home=airflow.home.parent)
    with pytest.raises(ChainError, match="another Airflow runs in"), EmbeddedAirflow(settings, {}):
        pass


def test_a_taken_port_is_refused_at_once(airflow, tmp_path):
    with pytest.raises(ChainError, match="taken by another program"):
        EmbeddedAirflow(Settings(home=tmp_path), {}, port=airflow.port)


def left(airflow) -> set[str]:
    page = airflow.api._call("GET", f"/dags/{DAG_OF_RUNS}/dagRuns", params={"limit": 100})
    return {run["dag_run_id"] for run in page["dag_runs"]}


def test_old_finished_runs_go_and_the_newest_and_unfinished_stay(airflow, connected, runs):
    found = prune_old_runs(connected, "all", delete=False)
    assert found[DAG_OF_RUNS] == 3, "of six, three stay: queued, young, and the newest old one"
    assert sum(found.values()) == 3
    assert left(airflow) == set(runs), "only counted"
    assert prune_old_runs(connected, "all", delete=True) == found
    assert left(airflow) == set(runs[3:])
    assert prune_old_runs(connected, "all", delete=True)[DAG_OF_RUNS] == 0
    few = connected.model_copy(update={"airflow_runs": 1})
    assert prune_old_runs(few, "all", delete=True)[DAG_OF_RUNS] == 1
    assert left(airflow) == set(runs[4:]), "neither what is young nor what has not ended"


def test_runs_stay_where_nobody_may_delete_them_or_else_is_asked_for(airflow, connected, runs):
    for params, what in ((RetentionParams(), "all"), (connected, "cache")):
        with pytest.raises(AirflowSkipException):
            prune_old_runs(params, what, delete=True)
    assert left(airflow) == set(runs)


def test_a_refusal_to_delete_a_run_is_told(airflow, connected, runs, monkeypatch):
    monkeypatch.setattr(type(airflow.api), "finished_runs", lambda *_: ["no such run/.."])
    with pytest.raises(ChainError, match="DELETE"):
        prune_old_runs(connected.model_copy(update={"airflow_runs": 1}), "all", delete=True)
    assert left(airflow) == set(runs)
