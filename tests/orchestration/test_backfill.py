"""Sessions filled in from the UI, forms that refuse, and notices: through a real Airflow."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta

import duckdb
import httpx
import pytest

from transfergate import steps
from transfergate.orchestration.assets import BY_HAND, CHAIN
from transfergate.orchestration.embedded import EmbeddedAirflow, settings_environment
from transfergate.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TICKERS = ["AAPL", "IBM"]
FILLED = [date(2012, 7, 3), date(2012, 7, 5), date(2012, 7, 6)]  # the 4th is a holiday
TOKEN = "T0/B0/xoxsecret"
LOCKED_TRIES = 30

NONSENSE = [
    ("ingest_daily_bars", {"source": "bloomberg"}),
    ("ingest_daily_bars", {"tickers": ["../etc/passwd"]}),
    ("ingest_daily_bars", {"start": "2012-13-01"}),
    ("ingest_daily_bars", {"end": "tomorrow"}),
    ("ingest_daily_bars", {"data": ""}),
    ("build_features", {"source": "all"}),
    ("pretrain_foundation", {"snapshot_id": "../x"}),
    ("pretrain_foundation", {"sources": "AAPL"}),
    ("pretrain_foundation", {"targets": [1]}),
    ("finetune_tickers", {"foundation_version": ""}),
    ("finetune_tickers", {"targets": ["$"]}),
    ("finetune_tickers", {"approval": "perhaps"}),
    ("roll_back_champion", {"ticker": "../FB", "why": "slippage"}),
    ("roll_back_champion", {"ticker": "FB", "why": " "}),
    ("roll_back_champion", {"ticker": "FB", "why": "slippage", "champion": "a b"}),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Settings of an installation with bars and features up to the end of June 2012."""
    settings = Settings(home=tmp_path_factory.mktemp("backfill"))
    plan = steps.plan_ingest(settings, source="sample", tickers=TICKERS, end="2012-06-29")
    landing = [steps.fetch_bars(settings, plan, batch) for batch in plan["ticker_batches"]]
    steps.load_bars(settings, plan, steps.validate_bars(settings, plan, landing))
    steps.build_features(settings, "sample")
    return settings


@pytest.fixture(scope="module")
def airflow(installed, run_mail_server, run_slack):
    extra = {
        "TRANSFERGATE_SCHEDULES__RETRAIN": "asset",  # every snapshot trains, if it may
        # Unpaused, ingest also runs for the last evening: it finds no folder and loads nothing.
        "TRANSFERGATE_INGEST__SOURCE": "files",
        "TRANSFERGATE_NOTIFY__EMAIL_TO": json.dumps(["ops@example.org"]),
        "TRANSFERGATE_NOTIFY__SLACK_CONNECTION": "slack_ops",
        "AIRFLOW_CONN_SMTP_DEFAULT": run_mail_server.connection,
        "AIRFLOW_CONN_SLACK_OPS": run_slack.connection(TOKEN),
        "NO_PROXY": "127.0.0.1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "OMP_NUM_THREADS": "1",
    }
    started = time.time()
    with EmbeddedAirflow(installed, settings_environment(installed) | extra) as running:
        running.start_scheduler()
        running.api.wait_for_dags((*CHAIN, *BY_HAND), parsed_after=started, seconds=120)
        yield running


@pytest.fixture
def client(airflow):
    login = {"username": "admin", "password": airflow.secrets["admin_password"]}
    token = httpx.post(f"{airflow.url}/auth/token", json=login, timeout=60).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{airflow.url}/api/v2", headers=headers, timeout=60) as one:
        yield one


def runs(client, dag_id, **query):
    answer = client.get(f"/dags/{dag_id}/dagRuns", params={"order_by": "logical_date", **query})
    return answer.json()["dag_runs"]


def wait_for(airflow, found, seconds=480):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        airflow.check()
        assert time.monotonic() < deadline, "timed out"
        time.sleep(1)
    return value


def ended(client, dag_id, at_least=1, **query):
    found = runs(client, dag_id, **query)
    over = all(one["state"] in ("success", "failed") for one in found)
    return found if over and len(found) >= at_least else None


@pytest.mark.parametrize(("dag_id", "conf"), NONSENSE)
def test_a_nonsense_value_is_refused_before_a_run_exists(client, dag_id, conf):
    answer = client.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
    assert answer.status_code == 400, answer.text
    assert runs(client, dag_id) == []


def fill(client, dag_id="ingest_daily_bars", conf=None, path="/backfills"):
    day = timedelta(days=1)
    body = {
        "dag_id": dag_id,
        "from_date": f"{FILLED[0]}T00:00:00Z",
        "to_date": f"{FILLED[-1] + day}T00:00:00Z",  # both ends are moments
        "dag_run_conf": conf or {},
        "max_active_runs": 2,
    }
    for _ in range(LOCKED_TRIES):
        answer = client.post(path, json=body)
        # On SQLite Airflow undoes what it began while its scheduler wrote, and asks to try again.
        if answer.status_code != 503 or "Database is locked" not in answer.json()["detail"]:
            break
        time.sleep(1)
    return answer


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("ingest_daily_bars", {"source": "bloomberg"}),
        ("build_features", {}),
        ("pretrain_foundation", {}),
        ("finetune_tickers", {}),
        ("roll_back_champion", {}),
    ],
)
def test_a_backfill_of_nonsense_or_of_training_is_refused(client, dag_id, conf):
    answer = fill(client, dag_id, conf)
    assert 400 <= answer.status_code < 500, answer.text
    assert runs(client, dag_id) == []


def test_a_backfill_loads_its_sessions_and_trains_nothing(airflow, client, installed):
    before = datetime.now(UTC)
    assert bars(installed, "session_date > '2012-06-29'") == set()
    for dag_id in CHAIN:
        airflow.api.set_paused(dag_id, paused=False)
    conf = {"source": "sample", "tickers": TICKERS}
    planned = fill(client, conf=conf, path="/backfills/dry_run").json()["backfills"]
    # Six in the evening in New York; the holiday is a day of the schedule as well.
    assert [one["logical_date"] for one in planned] == [
        f"2012-07-0{day}T22:00:00Z" for day in (3, 4, 5, 6)
    ]
    assert fill(client, conf=conf).status_code == 200
    filled = {"run_type": "backfill"}
    made = wait_for(airflow, lambda: ended(client, "ingest_daily_bars", 4, **filled))
    assert [one["state"] for one in made] == ["success"] * 4

    window = {date(2012, 7, 2), *FILLED}  # each run looks back for late corrections
    assert bars(installed, "session_date > '2012-06-29'") == {
        (t, d) for t in TICKERS for d in window
    }
    known = revisions(installed)
    assert min(known.values())[0] >= before, "known from now on, not from their session on"
    assert all(len(moments) == 1 for moments in known.values()), "each bar was loaded once"
    nothing_trained(airflow, client, installed)
    assert fill(client, conf=conf).status_code in (200, 409, 422)
    assert len(runs(client, "ingest_daily_bars", **filled)) == 4, (
        "what was filled in is not filled in again"
    )


def nothing_trained(airflow, client, installed):
    """Features were brought up to date; the training that they woke says why it does nothing."""
    wait_for(airflow, lambda: newest_session(installed) == "2012-07-06")
    wait_for(airflow, lambda: ended(client, "build_features"))
    for run in wait_for(airflow, lambda: ended(client, "pretrain_foundation")):
        instances = airflow.api.task_instances("pretrain_foundation", run["dag_run_id"])
        assert {one.state for one in instances} == {"skipped"}
    assert runs(client, "finetune_tickers") == []
    assert not (installed.home / "artefacts" / "foundations").exists()


def newest_session(installed):
    manifests = (installed.home / "artefacts" / "snapshots").glob("*/manifest.json")
    return max(json.loads(file.read_text())["sessions"][-1] for file in manifests)


def bars(installed, condition):
    with duckdb.connect(str(installed.warehouse_path), read_only=True) as conn:
        query = f"select distinct ticker, session_date from bar_revisions where {condition}"
        return set(conn.execute(query).fetchall())


def revisions(installed):
    with duckdb.connect(str(installed.warehouse_path), read_only=True) as conn:
        found = conn.execute(
            "select ticker, session_date, list(known_at) from bar_revisions "
            "where session_date > '2012-06-29' group by all"
        ).fetchall()
    return {(ticker, day): moments for ticker, day, moments in found}


def test_a_failed_task_reaches_mail_and_slack_and_its_log_keeps_the_secret(
    airflow, client, run_mail_server, run_slack
):
    airflow.api.set_paused("ingest_daily_bars", paused=False)
    run_id = airflow.api.trigger("ingest_daily_bars", {"source": "sample", "tickrs": ["AAPL"]})
    run = f"/dags/ingest_daily_bars/dagRuns/{run_id}"
    wait_for(airflow, lambda: client.get(run).json()["state"] == "failed")
    (_, to, mail), (path, _, message) = run_mail_server.mails[-1], run_slack.received[-1]
    assert to == ["ops@example.org"]
    assert mail["Subject"] == "transfergate: ingest_daily_bars.plan failed"
    assert path == f"/services/{TOKEN}"
    assert "unknown parameters 'tickrs'" in message["text"]
    assert f"{airflow.url}/dags/ingest_daily_bars/runs/" in message["text"]
    (plan,) = [one for one in airflow.api.task_instances("ingest_daily_bars", run_id)
               if one.task_id == "plan"]  # fmt: skip
    assert plan.attempt == 1, "the same inputs are refused again: no second try"
    log = plan.log(airflow.logs).read_text()
    assert "transfergate task failed: dag=ingest_daily_bars" in log
    assert "xoxsecret" not in log
